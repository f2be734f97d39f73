/// How tight memory is on a device: one level from 0 to 100, why, how fast it changes, and when a band counts as crossed.
///
/// The level is the highest of four parts, each of which alone can make an allocation fail or the machine stall:
///  - room: of what may be handed out, how much is used or has been taken from under us by others;
///  - machine: of the hardware's memory, how much is in use (for a host: MemTotal less MemAvailable);
///  - group: of the tightest control group above this process, how much is used and not given back at once (page cache not counted);
///  - stall: how long tasks wait for memory (the kernel's PSI over 10 s), by two polylines: all tasks at once for 10, 30 and 60 % of the
///    time is a level of 75, 90 and 95; at least one task for 25, 60 and 100 % of it likewise.
/// A part that the system says nothing of is absent and counts for nothing.
///
/// Levels are in hundredths; no floating point. Pure: no thread, clock or system call.
#pragma once
#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "terms/pressure.hpp"

namespace vramd::memory {
inline constexpr u64 level_max = 100'00;
inline constexpr u64 moderate_from = 75'00;
inline constexpr u64 high_from = 90'00;
inline constexpr u64 critical_from = 95'00;
/// How far below its threshold a level must fall before its band is left.
inline constexpr u64 band_hysteresis = 2'00;
/// How long a level must stand beyond a threshold before that counts.
inline constexpr u64 band_settles_ns = 1'000'000'000;

/// What a judgement rests on. Bytes; shares of time in hundredths of a percent.
struct PressureInput {
    u64 usable_bytes = 0;  ///< What may be handed out: the capacity less what is reserved.
    u64 used_bytes = 0;    ///< Live and zombie.
    u64 uncommitted_bytes = 0;
    std::optional<u64>
        obtainable_bytes;  ///< What the device could still make: its pool and what the system has. Less than uncommitted: taken.
    std::optional<u64> physical_bytes;          ///< The hardware's memory …
    std::optional<u64> system_available_bytes;  ///< … and what of it is to be had.
    std::optional<u64> other_processes_bytes;
    std::optional<u64> group_limit_bytes;
    std::optional<u64> group_available_bytes;
    std::optional<u64> some_stall;
    std::optional<u64> full_stall;
};

enum class PressurePart : u8 { room, machine, group, stall };
inline constexpr std::size_t pressure_parts = 4;

/// One part's judgement. `used_bytes` of `whole_bytes`; both 0 for the stall.
struct PartLevel {
    u64 level = 0;
    u64 used_bytes = 0;
    u64 whole_bytes = 0;
    PressureCause cause = PressureCause::this_service;
};
struct Pressure {
    u64 level = 0;
    PressureBand band = PressureBand::low;
    PressureCause cause = PressureCause::this_service;
    PressurePart decisive = PressurePart::room;  ///< The part with the highest level; of equals the first.
    std::array<std::optional<PartLevel>, pressure_parts> parts;
    u64 taken_bytes = 0;  ///< Of what no block covers, what the system does not have any more.
};

[[nodiscard]] constexpr PressureBand band_of(u64 level) {
    return level >= critical_from   ? PressureBand::critical
           : level >= high_from     ? PressureBand::high
           : level >= moderate_from ? PressureBand::moderate
                                    : PressureBand::low;
}
[[nodiscard]] Pressure judge(const PressureInput& input);

/// Bytes in use at a moment.
struct UsePoint {
    u64 at_ns = 0;
    u64 bytes = 0;
};
/// Bytes per second by least squares over the points, which are in the order of time; absent with fewer than three, or less than a
/// second between the first and the last.
[[nodiscard]] std::optional<i64> slope_of(std::span<const UsePoint> points);
/// Seconds until `used_bytes`, growing so, reach the critical share of `whole_bytes`, rounded up; 0 when they have, absent when they never
/// will or not within `horizon_seconds`.
inline constexpr u64 horizon_seconds = 7 * 86'400;
[[nodiscard]] std::optional<u64> seconds_to_critical(u64 used_bytes, u64 whole_bytes, i64 bytes_per_second);

/// Decides when a crossing counts: the level must stand beyond the threshold (when falling, beyond it by `band_hysteresis`) for
/// `band_settles_ns`. So two crossings of one device are at least that far apart, and a level that trembles at a threshold makes none.
class BandWatch {
public:
    explicit BandWatch(PressureBand told = PressureBand::low) : told_(told) {}
    /// The band that counts from now on, where it is another than before.
    std::optional<PressureBand> step(u64 level, u64 now_ns);
    [[nodiscard]] PressureBand told() const { return told_; }

private:
    PressureBand told_;
    std::optional<u64> beyond_since_ns_;
    bool rising_ = false;
};

/// The band that was last recorded of each device: what a restarted core goes on from, so that no crossing is told twice.
/// Invariant: only devices with another band than `low` have a row.
class Pressures {
public:
    void apply(const PressureChanged& event);
    [[nodiscard]] PressureBand band(u16 device) const;
    /// Since when it stands there; 0: nothing was ever recorded, or it is low.
    [[nodiscard]] u64 since_wall_ns(u16 device) const;
    void audit(std::size_t devices, std::vector<std::string>& findings) const;
    void save(std::vector<std::byte>& out) const;
    /// Errors: `system_failed` where the bytes are not what `save` wrote.
    [[nodiscard]] static Result<Pressures> restore(std::span<const std::byte> bytes);

private:
    struct Row {
        PressureBand band = PressureBand::low;
        u64 since_wall_ns = 0;
        template <class Self, class V>
        static void fields(Self& s, V&& visit) {
            visit(s.band, s.since_wall_ns);
        }
    };
    std::map<u16, Row> rows_;
};
}  // namespace vramd::memory
