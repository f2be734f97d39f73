/// What a device's limits mean in bytes.
///
/// Of the capacity the limits keep back what is above the most that may be used, and the reserve. What is in use already when limits are
/// set stays in use: the limits bind what is asked for from then on, and reclaim (core/reclaim.hpp) brings the rest down.
/// Pure functions; no state, no thread.
#pragma once
#include "base/result.hpp"
#include "terms/limits.hpp"

namespace vramd::memory {
/// As many owners can have a quota on one device.
inline constexpr std::size_t owner_quotas_max = 200;
inline constexpr u64 hundredths_whole = 100'00;

/// The most that may be used of a capacity, the reserve included. At most the capacity.
[[nodiscard]] u64 max_bytes(const DeviceLimits& limits, u64 capacity_bytes);
/// The same less the reserve: what can be handed out.
[[nodiscard]] u64 usable_bytes(const DeviceLimits& limits, u64 capacity_bytes);
/// The use from which on models go by themselves.
[[nodiscard]] u64 emergency_bytes(const DeviceLimits& limits, u64 capacity_bytes);
/// The limits after a change. Errors: `invalid_field`, by the field's JSON pointer, where a value cannot be.
[[nodiscard]] Result<DeviceLimits> changed(DeviceLimits limits, const LimitsChange& change, u64 capacity_bytes);
}  // namespace vramd::memory
