/// What is told of devices, memory and the daemon: a fold under the lock, live readings beside it.
#include <unistd.h>

#include <algorithm>

#include "base/disk.hpp"
#include "device/channel.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
/// Those whose limit is known.
std::vector<LinkTold> Runner::links_of(std::string_view device_id) {
    std::vector<LinkTold> links;
    const auto own = devices_.find(device_id);
    if (own == devices_.end()) return links;
    for (const auto& [id, other] : devices_) {
        const LinkLimits::Rate rate = link_limits_.copy(LinkLimits::end_of(*own->second.device), LinkLimits::end_of(*other.device));
        if (id != device_id && rate.bytes_per_second > 0) links.push_back({id, rate.bytes_per_second, rate.measured_wall_ns});
    }
    return links;
}

std::vector<DeviceTold> Runner::devices() {
    std::vector<report::DeviceBooks> books;
    {
        const Lock lock(lock_);
        for (u16 i = 0; i < state_.books.devices().size(); ++i)
            if (device_of(i) != nullptr) {
                books.push_back(report::device_books(state_, i, report::Detail::sums));
                leave_out_used(books.back(), i);
            }
    }
    std::vector<DeviceTold> told;
    for (report::DeviceBooks& row : books) {
        device::Device& device = *devices_.find(row.device_id)->second.device;
        std::vector<LinkTold> links = links_of(row.device_id);
        told.push_back({std::move(row), device.facts(), device.read(), std::move(links)});
    }
    return told;
}

Result<DeviceTold> Runner::device(std::string_view device_id) {
    const auto configured = devices_.find(device_id);
    DeviceTold told;
    {
        const Lock lock(lock_);
        const auto index = state_.books.device_named(device_id);
        if (configured == devices_.end()) return core::no_device(state_.books, device_id);
        // A read-only core may not have been able to enter it.
        if (!index) return refuse(Code::not_found, "device", "The device " + std::string(device_id) + " is not in the books yet.");
        told.books = report::device_books(state_, *index, report::Detail::histogram);
        leave_out_used(told.books, *index);
    }
    told.facts = configured->second.device->facts();
    told.reading = configured->second.device->read();
    told.links = links_of(device_id);
    return told;
}

Result<void> Runner::known_device(std::string_view device_id) {
    const Lock lock(lock_);
    if (devices_.contains(device_id) || state_.books.device_named(device_id)) return {};
    return core::no_device(state_.books, device_id);
}

report::AllocationPage Runner::allocations(const Caller& caller, const report::AllocationFilter& filter) {
    const Lock lock(lock_);
    report::AllocationPage page = report::allocations(state_, caller, filter);
    for (report::AllocationTold& told : page.items) told.attached_clients = attached_to(told.id.serial);
    return page;
}

Result<report::AllocationTold> Runner::allocation(const Caller& caller, AllocationId id) {
    const Lock lock(lock_);
    const memory::Allocation* allocation = state_.books.allocation(id);
    if (allocation == nullptr || !core::may_see(state_, caller, *allocation))
        return refuse(Code::not_found, "allocation", "There is no allocation " + to_text(id) + ", or it is not yours.");
    report::AllocationTold told = report::allocation(state_, *allocation);
    told.attached_clients = attached_to(id.serial);
    return told;
}

report::UsageTold Runner::usage(const Caller& caller, std::string_view device_id) {
    const Lock lock(lock_);
    return report::usage(state_, caller, device_id.empty() ? std::nullopt : state_.books.device_named(device_id));
}

SystemTold Runner::system() {
    SystemTold told;
    told.version = options_.version;
    told.keeper_pid = options_.keeper_pid;
    told.core_pid = getpid();
    told.generation = options_.generation;
    told.started_wall_ns = options_.started_wall_ns;
    told.core_started_wall_ns = core_started_wall_ns_;
    told.boot_id = options_.boot_id;
    told.ledger_file_bytes = options_.ledger_segment_bytes;
    told.ledger_disk_free_bytes = free_on_disk(options_.state_directory).value_or(0);
    const std::vector<Loading::Running> running = ports_.loading->running();
    const Lock lock(lock_);
    told.ledger_sequence = ledger_->sequence();
    told.ledger_room_bytes = ledger_->room_bytes();
    told.recovery = recovery_;
    told.read_only = !read_only_reason_.empty();
    told.read_only_reason = read_only_reason_;
    for (const Loading::Running& job : running) {
        const model::Operation* operation = state_.catalogue.operation_by_serial(job.job);
        told.workers.push_back({job.pid, job.what, operation == nullptr ? OperationId{} : operation->id});
    }
    return told;
}

AuditTold Runner::audit() {
    AuditTold told;
    const auto blocks_by_state = [this] {
        const Lock lock(lock_);
        std::map<BlockKey, BlockState> blocks;
        for (const auto& [key, block] : state_.books.blocks()) blocks.emplace(key, block.row.state);
        return blocks;
    };
    {
        core::State copy;
        {
            const Lock lock(lock_);
            copy = state_;
            told.ledger_sequence = ledger_->sequence();
        }
        told.findings = core::audit(copy);
        told.state_hash = core::state_hash(copy);
        told.checked = copy.books.allocations().size() + copy.books.blocks().size() + copy.catalogue.models().size();
    }
    // Registry against backend, both ways. Blocks come and go meanwhile: only what holds before and after is a finding.
    const auto before = blocks_by_state();
    std::map<BlockKey, std::string> on_devices;
    for (auto& [id, device] : devices_)
        for (const device::BlockSpec& block : device.device->blocks()) on_devices.emplace(block.key, id);
    const auto after = blocks_by_state();
    for (const auto& [key, state] : before) {
        const auto still = after.find(key);
        const bool ready = state == BlockState::ready && still != after.end() && still->second == BlockState::ready;
        if (ready && !on_devices.contains(key))
            told.findings.push_back("block " + std::to_string(key) + " is in the books and on no device.");
    }
    for (const auto& [key, id] : on_devices)
        if (!before.contains(key) && !after.contains(key))
            told.findings.push_back("block " + std::to_string(key) + " is on " + id + " and not in the books.");
    told.ok = told.findings.empty();
    const Lock lock(lock_);
    work_.audits += 1;
    work_.audits_failed += told.ok ? 0 : 1;
    work_.audit_findings = told.findings.size();
    return told;
}

std::optional<KeyTold> Runner::key_used(const Caller& caller) {
    if (caller.key.text.empty()) return std::nullopt;
    const u64 now = ports_.clock().wall_ns;
    const Lock lock(lock_);
    const KeyUsed* used = state_.keys.find(caller.owner, caller.key.text, caller.key.call, now);
    if (used == nullptr) return std::nullopt;
    return KeyTold{used->body, used->subject, used->device_id, used->bytes};
}
}  // namespace vramd::engine
