#include "api/tell.hpp"

namespace vramd::api {
namespace {
/// Of one device, or of several together.
MemorySnapshot snapshot_of(std::span<const FreeFigures> devices) {
    MemorySnapshot told;
    u64 largest_of_each = 0;
    for (const FreeFigures& device : devices) {
        told.total_bytes += device.capacity_bytes;
        told.free_bytes += device.free_bytes;
        told.uncommitted_bytes += device.uncommitted_bytes;
        told.largest_free_bytes = std::max(told.largest_free_bytes, device.largest_free_bytes);
        largest_of_each += device.largest_free_bytes;
        told.holes += device.holes;
        told.blocks += device.blocks;
        told.allocations += device.allocations;
    }
    told.used_bytes = told.total_bytes - told.free_bytes;
    told.usage_percentage = percentage_of(told.used_bytes, told.total_bytes);
    told.fragmentation_percentage = percentage_of(told.free_bytes - largest_of_each, told.free_bytes);
    return told;
}

std::optional<MemorySnapshot> after_of(const report::UpkeepProgress& told) {
    if (told.result.after.empty()) return std::nullopt;
    return snapshot_of(told.result.after);
}

std::vector<DeviceBeforeAfter> devices_of(const report::UpkeepProgress& told) {
    std::vector<DeviceBeforeAfter> list;
    for (std::size_t i = 0; i < told.before.size(); ++i) {
        DeviceBeforeAfter& device = list.emplace_back();
        device.device_id = told.device_ids[i];
        device.before = snapshot_of({&told.before[i], 1});
        if (i < told.result.after.size()) device.after = snapshot_of({&told.result.after[i], 1});
    }
    return list;
}

/// By how much the largest free runs grew, per byte moved.
Rate efficiency_of(const report::UpkeepProgress& told) {
    u64 gained = 0;
    for (std::size_t i = 0; i < told.result.after.size(); ++i) {
        const u64 before = told.before[i].largest_free_bytes;
        const u64 after = told.result.after[i].largest_free_bytes;
        gained += after > before ? after - before : 0;
    }
    return {told.moved_bytes == 0 ? 0 : static_cast<u64>(u128{gained} * 100 / told.moved_bytes)};
}
}  // namespace

Defragmentation tell_defragmentation(const report::UpkeepProgress& told) {
    Defragmentation done;
    done.strategy = told.request.strategy;
    done.moves = told.moves;
    done.moved_bytes = told.moved_bytes;
    for (const UpkeepActed& acted : told.result.actions) {
        done.freed_bytes += acted.freed_bytes;
        done.stopped_by = acted.stopped_by;
        done.why_left = acted.why_left;
    }
    done.efficiency = efficiency_of(told);
    done.before = snapshot_of(told.before);
    done.after = after_of(told);
    done.devices = devices_of(told);
    done.duration_ms = milliseconds_of_ns(told.result.duration_ns);
    return done;
}

Optimization tell_optimization(const report::UpkeepProgress& told) {
    Optimization done;
    done.before = snapshot_of(told.before);
    done.after = after_of(told);
    for (const UpkeepActed& acted : told.result.actions)
        done.actions.push_back({acted.action, acted.stopped_by, acted.moves, acted.moved_bytes, acted.freed_bytes, acted.released_blocks,
                                acted.ended_leases, acted.models, acted.left, acted.why_left});
    done.devices = devices_of(told);
    done.duration_ms = milliseconds_of_ns(told.result.duration_ns);
    return done;
}
}  // namespace vramd::api
