/// Relief: what vramd gives back by itself when memory runs short, before the kernel's killer acts.
///
/// What: of a judgement of pressure, how many bytes are to go and what of ours may. Why here: it is a table of three steps and arithmetic
/// over values; that somebody looks often enough is the engine's (engine/relief.cpp).
///
/// Rules
/// 1. Two parts of the judgement count, each of which others can drive up: the machine's memory and the control group's. How full the
///    device itself is is no reason: that is what the watermarks are for.
/// 2. Each threshold that is passed lets more go: arenas that hold nothing and what only the RAM cache keeps; models that nobody touched
///    for ten minutes too; any model that nobody uses or pinned.
/// 3. Each goes down to two points below its threshold, no further: then the next look finds peace, and nothing goes twice for one cause.
/// 4. Waiting tasks (the kernel's stall figures) are no reason by themselves, for whoever waits may wait for a limit of its own; but where
///    memory is short by 1, they raise the step, one victim a second.
/// Pure functions.
#pragma once
#include <array>
#include <vector>

#include "core/memory/pressure.hpp"
#include "terms/limits.hpp"

namespace vramd::core {
/// From which level on what goes: hundredths, rising. 100'00: never.
struct ReliefMarks {
    u64 cache = memory::moderate_from;  ///< Empty arenas and cached copies;
    u64 idle = memory::high_from;       ///< models that were idle for ten minutes too;
    u64 any = memory::critical_from;    ///< any model that nobody uses or pinned.
    bool operator==(const ReliefMarks&) const = default;
    [[nodiscard]] std::array<u64, 3> steps() const { return {cache, idle, any}; }
};
/// No relief.
inline constexpr ReliefMarks no_relief{100'00, 100'00, 100'00};

/// One step: what of ours may go until `wanted_bytes` are back, with what the steps before it gave.
struct ReliefStep {
    ReclaimReach reach = ReclaimReach::cache;
    u64 idle_min_ns = 0;
    u64 wanted_bytes = 0;
    bool operator==(const ReliefStep&) const = default;
};
/// The steps in their order; none where memory is not short. `returning_bytes`: of ours, still counted as used and on its way back;
/// `since_last_ns`: when something last went. The stall adds the one byte that asks for one victim.
[[nodiscard]] std::vector<ReliefStep> relief_for(const memory::Pressure& pressure, const ReliefMarks& marks, u64 returning_bytes,
                                                 u64 since_last_ns);
/// Whether the first threshold is less than ten points away, so that it pays to look more often.
[[nodiscard]] bool is_near(const memory::Pressure& pressure, const ReliefMarks& marks);
}  // namespace vramd::core
