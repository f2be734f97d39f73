#include <cmath>

#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
namespace {
u64 used_bytes(const report::DeviceBooks& books) { return books.live_bytes + books.zombie_bytes; }

HealthState health_of(device::Health health) {
    switch (health) {
        case device::Health::good:
            return HealthState::good;
        case device::Health::degraded:
            return HealthState::degraded;
        case device::Health::lost:
            break;
    }
    return HealthState::lost;
}

Percentage percentage_from(double value) { return {static_cast<u64>(std::lround(std::clamp(value, 0.0, 100.0) * 100))}; }

/// The part of a status that judges: the score as its description says, and a sentence for each part below 100.
void judge(DeviceStatus& status) {
    const u64 by_health = status.health == HealthState::good ? 100 : status.health == HealthState::degraded ? 50 : 0;
    const u64 over = status.usage_percentage.units > 75'00 ? status.usage_percentage.units - 75'00 : 0;
    const u64 by_room = 100 - over * 4 / 100;
    const u64 by_calm = status.stall ? 100 - status.stall->full10s_percentage.units / 100 : 100;
    status.health_score = std::min({by_health, by_room, by_calm});
    if (by_room < 100) status.health_reasons.emplace_back("More than 75 % of the device is in use.");
    if (by_calm < 100) status.health_reasons.emplace_back("All tasks of the machine waited for memory part of the last 10 s.");
}

Share share_of(const report::OwnerUsage& usage) { return {usage.owner, usage.live_bytes, usage.allocations}; }
}  // namespace

std::string hex_text(u64 number) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text(16, '0');
    for (std::size_t i = 16; i-- > 0; number >>= 4) text[i] = digits[number & 15];
    return text;
}

ContentStats tell_content(const engine::ContentStats& told) {
    ContentStats stats;
    stats.scanned_bytes = told.scanned_bytes;
    stats.zero_bytes = told.zero_bytes;
    stats.zero_percentage = percentage_of(told.zero_bytes, told.scanned_bytes);
    stats.distinct_values = told.distinct_values;
    stats.entropy_bits_per_byte = {told.entropy_hundredths};
    stats.checksum = hex_text(told.checksum);
    stats.duration_ms = milliseconds_of_ns(told.duration_ns);
    return stats;
}

Allocation tell_allocation(const report::AllocationTold& told) {
    Allocation record;
    record.id = to_text(told.id);
    record.device_id = told.device_id;
    record.size_bytes = told.size_bytes;
    record.granted_bytes = told.granted_bytes;
    record.alignment = told.alignment_bytes;
    record.allocation_type = told.type;
    record.status = told.status;
    record.owner = told.owner;
    record.purpose = told.purpose;
    record.persistent = told.persistent;
    record.shareable = told.shareable;
    record.is_pinned = told.pinned;
    record.block_id = "blk_" + std::to_string(told.block);
    record.offset_bytes = told.offset_bytes;
    record.created_at = time_of_ns(told.created_wall_ns);
    record.last_accessed = time_of_ns(told.accessed_wall_ns);
    record.access_count = told.access_count;
    record.attached_clients = told.attached_clients;
    if (told.lease_seconds != 0) {
        record.lease_seconds = told.lease_seconds;
        const Moment now = read_clocks();
        const u64 left_ns = told.lease_until_monotonic_ns > now.monotonic_ns ? told.lease_until_monotonic_ns - now.monotonic_ns : 0;
        record.lease_expires_at = time_of_ns(now.wall_ns + left_ns);
    }
    if (!told.model.empty()) record.model = told.model;
    return record;
}

AllocationList tell_allocations(const report::AllocationPage& page) {
    AllocationList list;
    list.items.reserve(page.items.size());
    for (const report::AllocationTold& told : page.items) list.items.push_back(tell_allocation(told));
    if (page.next_before_serial) list.next_cursor = "p" + std::to_string(*page.next_before_serial);
    return list;
}

Performance tell_total(u64 total_ns) {
    Performance performance;
    performance.total_ms = milliseconds_of_ns(total_ns);
    return performance;
}

DeviceAfter tell_after(const report::DeviceBooks& books) {
    return {books.device_id, used_bytes(books), books.free_bytes, books.largest_free_bytes, tell_fragmentation(books).percentage};
}

AllocationMade tell_made(const engine::Allocated& allocated) {
    AllocationMade made;
    static_cast<Allocation&>(made) = tell_allocation(allocated.record);
    made.performance = tell_total(allocated.total_ns);
    made.performance.wait_ms = milliseconds_of_ns(allocated.wait_ns);
    made.performance.placement_ms = milliseconds_of_ns(allocated.placement_ns);
    made.performance.zeroing_ms = milliseconds_of_ns(allocated.zeroing_ns);
    made.device_after = tell_after(allocated.device_after);
    return made;
}

Freed tell_freed(const engine::Freed& freed) {
    const FreeStatus status = freed.status == AllocationStatus::zombie ? FreeStatus::zombie
                              : freed.cached                           ? FreeStatus::cached
                                                                       : FreeStatus::freed;
    return {freed.freed_bytes, status, tell_total(freed.total_ns), tell_after(freed.device_after)};
}

Moved tell_moved(u64 bytes, u64 duration_ns, u64 limit_bytes_per_second) {
    Moved moved;
    moved.bytes = bytes;
    moved.duration_ms = milliseconds_of_ns(duration_ns);
    if (duration_ns > 0) moved.bytes_per_second = static_cast<u64>(u128{bytes} * ns_per_second / duration_ns);
    if (limit_bytes_per_second > 0) moved.efficiency_percentage = percentage_of(moved.bytes_per_second, limit_bytes_per_second);
    return moved;
}

Fragmentation tell_fragmentation(const report::DeviceBooks& books) {
    Fragmentation told;
    const u64 scattered = books.free_bytes > books.largest_free_bytes ? books.free_bytes - books.largest_free_bytes : 0;
    told.percentage = percentage_of(scattered, books.free_bytes);
    told.holes = books.holes;
    told.largest_free_bytes = books.largest_free_bytes;
    told.free_bytes = books.free_bytes;
    for (std::size_t i = 0; i < books.hole_histogram.size(); ++i)
        if (books.hole_histogram[i] > 0) told.histogram.push_back({u64{1} << i, books.hole_histogram[i]});
    return told;
}

u64 available_bytes(const engine::DeviceTold& told) {
    const report::DeviceBooks& books = told.books;
    if (!told.reading.os_available_bytes) return books.free_bytes;
    const u64 obtainable = told.reading.pool_bytes + *told.reading.os_available_bytes;
    const u64 taken = books.uncommitted_bytes > obtainable ? books.uncommitted_bytes - obtainable : 0;
    return books.free_bytes > taken ? books.free_bytes - taken : 0;
}

DeviceStatus tell_status(const engine::DeviceTold& told) {
    DeviceStatus status;
    const report::DeviceBooks& books = told.books;
    const device::Reading& reading = told.reading;
    status.device_id = books.device_id;
    status.memory_type = reading.memory_type;
    status.health = health_of(reading.health);
    status.health_reasons = reading.reasons;
    status.total_bytes = books.total_bytes;
    status.used_bytes = used_bytes(books);
    status.available_bytes = available_bytes(told);
    status.reserved_bytes = books.reserved_bytes;
    status.live_bytes = books.live_bytes;
    status.zombie_bytes = books.zombie_bytes;
    status.free_bytes = books.free_bytes;
    status.reclaimable_bytes = books.reclaimable_bytes;
    status.pool_bytes = reading.pool_bytes;
    status.physical_bytes = reading.physical_bytes;
    status.other_processes_bytes = reading.other_processes_bytes;
    status.system_available_bytes = reading.os_available_bytes;
    status.group_limit_bytes = reading.group_limit_bytes;
    status.group_used_bytes = reading.group_used_bytes;
    status.usage_percentage = percentage_of(status.used_bytes, status.total_bytes);
    status.allocation_count = books.allocations;
    status.block_count = books.blocks;
    for (const device::NumaNode& node : reading.numa_nodes) status.numa_nodes.push_back({node.id, node.total_bytes, node.free_bytes});
    for (const device::ProcessUse& other : reading.other_processes)
        status.other_processes.push_back({other.pid, other.name.empty() ? std::nullopt : std::optional(other.name), other.used_bytes});
    const device::HugePages& huge = reading.huge_pages;
    status.huge_pages = {huge.size_bytes, huge.total_count, huge.free_count, huge.shared_memory_policy};
    if (const auto& stall = reading.stall)
        status.stall = Stall{percentage_from(stall->some_10s_percentage), percentage_from(stall->some_60s_percentage),
                             percentage_from(stall->full_10s_percentage), percentage_from(stall->full_60s_percentage)};
    judge(status);
    return status;
}

MemoryStatus tell_statuses(std::vector<DeviceStatus> devices) {
    MemoryStatus all;
    all.health_score = 100;
    for (const DeviceStatus& one : devices) {
        all.total_bytes += one.total_bytes;
        all.used_bytes += one.used_bytes;
        all.available_bytes += one.available_bytes;
        all.reserved_bytes += one.reserved_bytes;
        all.zombie_bytes += one.zombie_bytes;
        all.reclaimable_bytes += one.reclaimable_bytes;
        all.health = std::max(all.health, one.health);
        all.health_score = std::min(all.health_score, one.health_score);
    }
    all.usage_percentage = percentage_of(all.used_bytes, all.total_bytes);
    all.devices = std::move(devices);
    return all;
}

Usage tell_usage(const report::UsageTold& told, const std::vector<engine::DeviceTold>& devices, const Caller& caller) {
    Usage usage;
    u64 total_bytes = 0;
    for (const engine::DeviceTold& device : devices) {
        usage.live_bytes += device.books.live_bytes;
        usage.zombie_bytes += device.books.zombie_bytes;
        usage.allocation_count += device.books.allocations;
        total_bytes += device.books.total_bytes;
        // Devices of one kind share the hardware, so the largest figure is all of it; adding would count processes twice.
        if (const auto& others = device.reading.other_processes_bytes)
            usage.other_processes_bytes = std::max(usage.other_processes_bytes.value_or(0), *others);
    }
    usage.used_bytes = usage.live_bytes + usage.zombie_bytes;
    usage.mean_allocation_bytes = usage.allocation_count == 0 ? 0 : usage.live_bytes / usage.allocation_count;
    usage.usage_percentage = percentage_of(usage.used_bytes, total_bytes);
    Share others{"other", 0, 0};
    for (const report::OwnerUsage& owner : told.by_owner) {
        if (caller.role == Role::admin || owner.owner == caller.owner || owner.owner == "vramd") {
            usage.by_owner.push_back(share_of(owner));
        } else {
            others.bytes += owner.live_bytes;
            others.allocations += owner.allocations;
        }
    }
    if (others.allocations > 0) usage.by_owner.push_back(others);
    for (const report::OwnerUsage& purpose : told.by_purpose) usage.by_purpose.push_back(share_of(purpose));
    for (const report::OwnerUsage& model : told.by_model) usage.by_model.push_back(share_of(model));
    return usage;
}

Device tell_device(const engine::DeviceTold& told) {
    std::vector<Link> links;
    for (const engine::LinkTold& link : told.links)
        links.push_back({link.to_device_id, link.bytes_per_second, time_of_ns(link.measured_wall_ns)});
    return {told.books.device_id,
            told.facts.kind,
            told.facts.name,
            told.facts.driver,
            told.facts.uuid.empty() ? std::nullopt : std::optional(told.facts.uuid),
            told.reading.memory_type,
            told.facts.capabilities,
            told.books.total_bytes,
            told.facts.granularity_bytes,
            told.reading.physical_bytes,
            told.reading.pinned_bytes,
            health_of(told.reading.health),
            told.reading.reasons,
            std::move(links)};
}
}  // namespace vramd::api
