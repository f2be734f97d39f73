/// Advice about a device's limits: a quota that is nearly used up while there is room, a limit below what is held, a reserve that keeps
/// somebody waiting. For admins, as only they may set limits.
#pragma once
#include "core/report/advice.hpp"

namespace vramd::report {
inline constexpr u64 quota_full_hundredths = 90'00;

/// Adds what helps on one device. Each change is tried on `copy`, which is as before in the end but for its limits' revision.
void advise_limits(core::State& copy, u16 device, const Caller& caller, const Surroundings& around, std::vector<Advice>& list);
}  // namespace vramd::report
