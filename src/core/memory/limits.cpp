#include "core/memory/limits.hpp"

#include <algorithm>

#include "base/invariant.hpp"
#include "core/memory/books.hpp"

namespace vramd::memory {
namespace {
u64 hundredths_of(u64 bytes, u64 hundredths) { return static_cast<u64>(u128{bytes} * hundredths / hundredths_whole); }
u64 less(u64 from, u64 taken) { return from > taken ? from - taken : 0; }
}  // namespace

u64 max_bytes(const DeviceLimits& limits, u64 capacity_bytes) {
    switch (limits.form) {
        case LimitForm::bytes:
            return std::min(limits.max_bytes, capacity_bytes);
        case LimitForm::percentage:
            return hundredths_of(capacity_bytes, std::min(limits.max_hundredths, hundredths_whole));
        case LimitForm::none:
            break;
    }
    return capacity_bytes;
}

u64 usable_bytes(const DeviceLimits& limits, u64 capacity_bytes) { return less(max_bytes(limits, capacity_bytes), limits.reserve_bytes); }

u64 emergency_bytes(const DeviceLimits& limits, u64 capacity_bytes) {
    return hundredths_of(usable_bytes(limits, capacity_bytes), limits.emergency_hundredths);
}

Result<DeviceLimits> changed(DeviceLimits limits, const LimitsChange& change, u64 capacity_bytes) {
    if (change.max_bytes && change.max_hundredths)
        return refuse(Code::invalid_field, "/maxPercentage", "At most one of /maxBytes and /maxPercentage can be given.");
    if (change.max_bytes && *change.max_bytes > capacity_bytes)
        return refuse(Code::invalid_field, "/maxBytes", *change.max_bytes, capacity_bytes);
    if (change.reserve_bytes && *change.reserve_bytes > capacity_bytes)
        return refuse(Code::invalid_field, "/reserveBytes", *change.reserve_bytes, capacity_bytes);
    if (change.max_hundredths && *change.max_hundredths > hundredths_whole)
        return refuse(Code::invalid_field, "/maxPercentage", *change.max_hundredths, hundredths_whole);
    if (change.emergency_hundredths && (*change.emergency_hundredths == 0 || *change.emergency_hundredths > hundredths_whole))
        return refuse(Code::invalid_field, "/emergencyThresholdPercentage", *change.emergency_hundredths, hundredths_whole);
    if (change.owner_quotas && change.owner_quotas->size() > owner_quotas_max)
        return refuse(Code::invalid_field, "/ownerQuotas", change.owner_quotas->size(), owner_quotas_max);
    if (change.max_bytes) {
        limits.form = LimitForm::bytes;
        limits.max_bytes = *change.max_bytes;
        limits.max_hundredths = hundredths_whole;
    }
    if (change.max_hundredths) {
        limits.form = *change.max_hundredths == hundredths_whole ? LimitForm::none : LimitForm::percentage;
        limits.max_hundredths = *change.max_hundredths;
        limits.max_bytes = 0;
    }
    if (change.reserve_bytes) limits.reserve_bytes = *change.reserve_bytes;
    if (change.emergency_hundredths) limits.emergency_hundredths = *change.emergency_hundredths;
    if (change.owner_quotas) limits.owner_quotas = *change.owner_quotas;
    return limits;
}

// ------------------------------------------------------------------------------------------------------------------- as the books keep
// them
void Books::apply(const LimitsSet& event) {
    INVARIANT(event.device < devices_.size());
    devices_[event.device].limits = event.limits;
    devices_[event.device].limits_revision += 1;
}

u64 Books::usable_bytes(u16 device) const { return memory::usable_bytes(devices_[device].limits, devices_[device].capacity_bytes); }

u64 Books::uncommitted_bytes(u16 device) const {
    INVARIANT(device_sums_[device].committed <= devices_[device].capacity_bytes);
    return less(usable_bytes(device), device_sums_[device].committed);
}

u64 Books::reserved_bytes(u16 device) const {
    const DeviceSums& sums = device_sums_[device];
    const u64 capacity = devices_[device].capacity_bytes;
    return std::min(capacity - usable_bytes(device), less(capacity, sums.live + sums.zombie));
}

u64 Books::free_bytes(u16 device) const {
    const DeviceSums& sums = device_sums_[device];
    return less(usable_bytes(device), sums.live + sums.zombie);
}

void Books::hold(u16 device, u32 owner, u64 bytes) { held_[{device, name(owner)}] += bytes; }

void Books::let_go(u16 device, u32 owner, u64 bytes) {
    const auto found = held_.find({device, name(owner)});
    INVARIANT(found != held_.end() && found->second >= bytes);
    found->second -= bytes;
    if (found->second == 0) held_.erase(found);
}

u64 Books::held_by(u16 device, std::string_view owner) const {
    const auto found = held_.find({device, std::string(owner)});
    return found == held_.end() ? 0 : found->second;
}

u64 Books::quota_left(u16 device, std::string_view owner) const {
    const auto& quotas = devices_[device].limits.owner_quotas;
    const auto quota = quotas.find(std::string(owner));
    return quota == quotas.end() ? number_max : less(quota->second, held_by(device, owner));
}

Result<void> Books::allow(u16 device, std::string_view owner, u64 granted_bytes, Could could) const {
    const DeviceRow& row = devices_[device];
    const u64 usable = usable_bytes(device);
    const std::string asked = std::to_string(granted_bytes) + " bytes were asked for";
    if (granted_bytes > usable && usable < row.capacity_bytes)
        return std::unexpected(Error{Code::limit_exceeded, "/sizeBytes", granted_bytes, usable,
                                     asked + "; the limits of " + row.id + " allow " + std::to_string(usable) + " in all."});
    const auto quota = row.limits.owner_quotas.find(std::string(owner));
    if (quota == row.limits.owner_quotas.end()) return {};
    const u64 held = could == Could::now ? held_by(device, owner) : 0;
    const u64 left = less(quota->second, held);
    if (granted_bytes <= left) return {};
    return std::unexpected(Error{Code::quota_exceeded, "/sizeBytes", granted_bytes, left,
                                 asked + "; " + std::string(owner) + " may hold " + std::to_string(quota->second) + " on " + row.id +
                                     " and holds " + std::to_string(held) + "."});
}
}  // namespace vramd::memory
