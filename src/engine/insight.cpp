/// What is told of pressure, of the past and of what would help. Devices are read before the lock is taken; what costs more than a fold
/// runs on a copy after it is let go.
#include <malloc.h>

#include <algorithm>

#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
constexpr std::size_t waiting_told_max = 100;  // Advice looks at who is served next, not at all who wait.
constexpr u64 heap_kept_ns = 10 * ns_per_second;
}  // namespace

std::map<std::string, device::Reading> Runner::read_devices() {
    std::map<std::string, device::Reading> readings;
    for (auto& [id, configured] : devices_) readings.emplace(id, configured.device->read(device::Look::use));
    return readings;
}

report::Surroundings Runner::surroundings(const std::map<std::string, device::Reading>& readings) {
    report::Surroundings around;
    around.now_wall_ns = ports_.clock().wall_ns;
    for (const memory::DeviceRow& row : state_.books.devices()) {
        const auto reading = readings.find(row.id);
        const bool there = reading != readings.end() && row.capacity_bytes > 0;
        around.machine.push_back(there ? std::optional(machine_of(reading->second)) : std::nullopt);
    }
    around.in_use = used_allocations();
    around.frozen = frozen_blocks();
    std::vector<const Waiting*> waiting;
    for (const auto& [order, one] : waiting_)
        if (one.for_room) waiting.push_back(&one);
    std::ranges::stable_sort(waiting, std::ranges::greater{}, [](const Waiting* one) { return standing_of(*one); });
    if (waiting.size() > waiting_told_max) waiting.resize(waiting_told_max);
    for (const Waiting* one : waiting) around.waiting.push_back(one->command);
    return around;
}

std::vector<PressureTold> Runner::pressures(const Caller& caller) {
    const auto readings = read_devices();
    std::vector<PressureTold> told;
    const Lock lock(lock_);
    const report::Surroundings around = surroundings(readings);
    for (u16 i = 0; i < around.machine.size(); ++i) {
        if (!around.machine[i]) continue;
        told.push_back(judge_now(i, readings.at(state_.books.devices()[i].id)));
        told.back().actions = report::actions_for(state_, i, caller, around);
        for (const model::Resident& model : report::residents(state_, i, around.in_use))
            if (!model.pinned && !model.in_use) told.back().reclaimable_bytes += model.size_bytes;
    }
    return told;
}

Result<PressureTold> Runner::pressure(const Caller& caller, std::string_view device_id) {
    for (PressureTold& told : pressures(caller))
        if (told.device_id == device_id) return std::move(told);
    const Lock lock(lock_);
    return core::no_device(state_.books, device_id);
}

PastTold Runner::past_of(const std::string& device_id, report::Window window) {
    const u64 now = ports_.clock().wall_ns;
    PastTold told;
    told.device_id = device_id;
    told.window = window;
    told.span = past_.span(device_id, window, now).value_or(report::Span{now, now, {}, {}});
    told.owners = past_.named(device_id, report::NameKind::owner, window, now);
    told.purposes = past_.named(device_id, report::NameKind::purpose, window, now);
    told.models = past_.named(device_id, report::NameKind::model, window, now);
    return told;
}

std::vector<PastTold> Runner::past(std::string_view device_id, report::Window window) {
    std::vector<PastTold> told;
    const Lock lock(lock_);
    for (const auto& [id, configured] : devices_)
        if (device_id.empty() || device_id == id) told.push_back(past_of(id, window));
    return told;
}

std::vector<AnalysisTold> Runner::analysis(std::string_view device_id, report::Window window) {
    std::vector<AnalysisTold> list;
    const Lock lock(lock_);
    for (const auto& [id, configured] : devices_) {
        const auto index = state_.books.device_named(id);
        if (!index || (!device_id.empty() && device_id != id)) continue;
        AnalysisTold told;
        told.past = past_of(id, window);
        told.books = report::device_books(state_, *index, report::Detail::histogram);
        told.samples = past_.samples(id, window, ports_.clock().wall_ns);
        told.copies = past_.worked(id, report::Work::copy, window, ports_.clock().wall_ns);
        told.clears = past_.worked(id, report::Work::clear, window, ports_.clock().wall_ns);
        const LinkLimits::End end = LinkLimits::end_of(*configured.device);
        told.copy_limit_bytes_per_second = link_limits_.copy(end, end).bytes_per_second;
        told.fill_limit_bytes_per_second = link_limits_.fill(end).bytes_per_second;
        for (const auto& [key, block] : state_.books.blocks()) {
            if (block.row.device != *index) continue;
            if (block.space) {
                const memory::SubAllocatorStats stats = block.space->stats();
                told.arena_bytes += block.row.size_bytes;
                told.arena_used_bytes += stats.used_bytes;
                told.requested_bytes += stats.requested_bytes;
                told.granted_bytes += stats.used_bytes;
                continue;
            }
            for (const auto& [offset, serial] : block.allocations()) {
                const memory::AllocationRow& row = state_.books.allocation_by_serial(serial)->row;
                told.requested_bytes += row.size_bytes;
                told.granted_bytes += row.granted_bytes;
            }
        }
        list.push_back(std::move(told));
    }
    return list;
}

void Runner::advice(const Caller& caller, Done<std::vector<report::Advice>> done) {
    aside([this, caller, done = std::move(done)]() mutable {
        const auto readings = read_devices();
        report::Surroundings around;
        core::State copy;
        {
            const Lock lock(lock_);
            around = surroundings(readings);
            copy = state_;
        }
        done(report::advise(std::move(copy), caller, around));
    });
}

void Runner::aside(std::move_only_function<void()> work) {
    {
        const Lock lock(lock_);
        asides_.push_back(std::move(work));
        if (asides_.size() > 1) return;
    }
    ports_.executor->post([this] { next_aside(); });
}

void Runner::next_aside() {
    std::move_only_function<void()> work;
    {
        const Lock lock(lock_);
        work = std::move(asides_.front());
    }
    work();
    work = nullptr;
    const Lock lock(lock_);
    asides_.pop_front();
    if (!asides_.empty()) return ports_.executor->post([this] { next_aside(); });
    // A copy of a large state leaves hundreds of megabytes of small free pieces in this thread's part of the heap. The next work of this
    // kind uses them again, far sooner than fresh memory is touched; when none has come for a while they go back to the system.
    ports_.executor->post_at(ports_.clock().monotonic_ns + heap_kept_ns, [this, round = ++asides_done_] {
        {
            const Lock soon(lock_);
            if (round != asides_done_ || !asides_.empty()) return;
        }
        malloc_trim(0);
    });
}

std::vector<ModelsOfDevice> Runner::model_memory() {
    std::vector<ModelsOfDevice> list;
    {
        const Lock lock(lock_);
        for (const auto& [id, configured] : devices_) list.push_back({id, 0, 0, {}});
        for (const auto& [serial, copy] : state_.catalogue.copies()) {
            const auto device = std::ranges::find(list, state_.books.devices()[copy.device].id, &ModelsOfDevice::device_id);
            if (device == list.end()) continue;
            const memory::AllocationRow& row = state_.books.allocation(copy.allocation)->row;
            ModelMemoryTold told;
            told.model = report::model(state_, *state_.catalogue.model(copy.model));
            told.place = *std::ranges::find(told.model.places, copy.allocation, &report::ModelPlaceTold::allocation);
            told.block_bytes = state_.books.block(row.block)->row.size_bytes;
            // While its block is being made, the device need not have it.
            told.on_device = state_.books.block(row.block)->row.state != BlockState::ready;
            device->catalogue_bytes += told.place.predicted_bytes;
            device->models.push_back(std::move(told));
        }
        for (const auto& [use, sums] : state_.books.uses()) {
            if (!use.of_model) continue;
            const auto device = std::ranges::find(list, state_.books.devices()[use.device].id, &ModelsOfDevice::device_id);
            if (device != list.end()) device->books_bytes += sums.live;
        }
    }
    for (ModelsOfDevice& device : list) {
        const std::vector<device::BlockSpec> blocks = devices_.find(device.device_id)->second.device->blocks();
        for (ModelMemoryTold& told : device.models) {
            BlockKey key = 0;
            {
                const Lock lock(lock_);
                const memory::Allocation* allocation = state_.books.allocation(told.place.allocation);
                if (allocation != nullptr) key = allocation->row.block;
            }
            const auto block = std::ranges::find(blocks, key, &device::BlockSpec::key);
            const bool gone = key == 0;  // Unloaded since: nothing to compare.
            told.on_device = told.on_device || gone || block != blocks.end();
            if (!told.on_device) told.differences.push_back("The device has no block for it.");
            if (!gone && block != blocks.end() && block->size_bytes != told.block_bytes)
                told.differences.push_back("The device's block has " + std::to_string(block->size_bytes) + " bytes, the books say " +
                                           std::to_string(told.block_bytes) + ".");
            if (told.place.size_bytes != told.place.predicted_bytes)
                told.differences.push_back("Its header says " + std::to_string(told.place.predicted_bytes) + " bytes, its memory has " +
                                           std::to_string(told.place.size_bytes) + ".");
        }
    }
    return list;
}

WorkTold Runner::work() {
    const Lock lock(lock_);
    WorkTold told = work_;
    told.waiting_loads = waiting_loads_.size();
    for (const auto& [serial, transfer] : state_.transfers.transfers()) {
        told.transfers_queued += transfer.state == TransferState::queued ? 1 : 0;
        told.transfers_running += transfer.state == TransferState::running ? 1 : 0;
    }
    told.waiting_allocations = waiting_.size();
    return told;
}
}  // namespace vramd::engine
