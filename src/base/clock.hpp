/// Time as values. Only the shell reads a clock; the core is told the time in each command.
#pragma once
#include <ctime>

#include "base/types.hpp"

namespace vramd {
/// One reading of both clocks, in nanoseconds.
struct Moment {
    u64 wall_ns = 0;       ///< Since 1970-01-01T00:00:00Z; may jump. For showing only.
    u64 monotonic_ns = 0;  ///< Since the machine's start (CLOCK_BOOTTIME); never jumps. For deadlines and durations.
    bool operator==(const Moment&) const = default;
};

inline constexpr u64 ns_per_us = 1000;
inline constexpr u64 ns_per_ms = 1'000'000;
inline constexpr u64 ns_per_second = 1'000'000'000;

[[nodiscard]] inline u64 clock_ns(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<u64>(now.tv_sec) * ns_per_second + static_cast<u64>(now.tv_nsec);
}
[[nodiscard]] inline u64 monotonic_ns() { return clock_ns(CLOCK_BOOTTIME); }
[[nodiscard]] inline Moment read_clocks() { return {clock_ns(CLOCK_REALTIME), clock_ns(CLOCK_BOOTTIME)}; }
}  // namespace vramd
