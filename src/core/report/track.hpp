/// One quantity of bytes over time in bounded memory: three rings of buckets (a second × 120, a minute × 120, an hour × 192), each of
/// which knows the least, the most and the mean of what was there, and what came and went.
///
/// Why rings of fixed size: a week is to be told of after millions of events, in memory that does not grow. A bucket holds the integral
/// of the level over the time that it covers, so that a mean is a mean over time and not over events; and it says how much of its time it
/// covers, so that a restart or a clock set back leaves a gap and not a lie.
///
/// Times are wall-clock nanoseconds and may jump. Backwards: what follows lands in earlier buckets again. Forwards: the level is taken to
/// have stood, for as long as the rings reach. Pure values.
#pragma once
#include <array>
#include <vector>

#include "base/clock.hpp"
#include "base/types.hpp"

namespace vramd::report {
struct Bucket {
    u64 index = ~u64{0};  ///< Which second, minute or hour since 1970; no bucket has the largest.
    u64 level_min = 0;
    u64 level_max = 0;
    u128 level_ns = 0;  ///< Σ level × time.
    u64 covered_ns = 0;
    u64 arrived_count = 0;
    u64 arrived_bytes = 0;
    u64 left_count = 0;
    u64 left_bytes = 0;
    u64 moved_count = 0;  ///< Transfers from or to here that ended well …
    u64 moved_bytes = 0;
    u64 moved_ns = 0;  ///< … and the time that their bytes took; several at once count each.

    /// Rounded down; the lowest level where no time is covered.
    [[nodiscard]] u64 level_mean() const { return covered_ns == 0 ? level_min : static_cast<u64>(level_ns / covered_ns); }
    /// Takes in what another bucket of the same time knows.
    void merge(const Bucket& other);
};

/// The spans that can be asked for.
enum class Window : u8 { minute, five_minutes, hour, day, week };
[[nodiscard]] constexpr u64 seconds_of(Window window) {
    constexpr std::array<u64, 5> seconds = {60, 300, 3600, 86'400, 7 * 86'400};
    return seconds[static_cast<std::size_t>(window)];
}
/// How wide the buckets are that answer a window.
enum class Grain : u8 { second, minute, hour };
[[nodiscard]] constexpr u64 ns_of(Grain grain) {
    constexpr std::array<u64, 3> seconds = {1, 60, 3600};
    return seconds[static_cast<std::size_t>(grain)] * ns_per_second;
}
[[nodiscard]] constexpr Grain grain_of(Window window) {
    return window == Window::minute ? Grain::second : window <= Window::hour ? Grain::minute : Grain::hour;
}
inline constexpr std::array<std::size_t, 3> ring_sizes = {120, 120, 192};

/// What a window knows. Rates are counts and bytes over `covered_ns`.
struct Span {
    u64 from_wall_ns = 0;  ///< Start of the first bucket that knows anything, at most a bucket before the window's.
    u64 to_wall_ns = 0;
    Bucket all;                  ///< All of it together; `index` means nothing.
    std::vector<Bucket> points;  ///< By time; those that know nothing are left out.
};

/// Not synchronised.
class Track {
public:
    explicit Track(u64 level_bytes = 0, u64 wall_ns = 0) : level_bytes_(level_bytes), now_ns_(wall_ns) {}
    /// The level is another from now on; nothing came or went.
    void set(u64 level_bytes, u64 wall_ns);
    void arrived(u64 bytes, u64 wall_ns);
    /// More than there is leaves nothing.
    void left(u64 bytes, u64 wall_ns);
    /// Counted as arrived or left, the level untouched: somebody else sets it.
    void count_arrived(u64 bytes, u64 wall_ns);
    void count_left(u64 bytes, u64 wall_ns);
    void count_moved(u64 bytes, u64 duration_ns, u64 wall_ns);
    [[nodiscard]] Span span(Window window, u64 wall_ns);
    [[nodiscard]] u64 level_bytes() const { return level_bytes_; }
    [[nodiscard]] u64 now_ns() const { return now_ns_; }
    /// Takes in what was known before this track began.
    void absorb(const Track& earlier);

private:
    using Ring = std::vector<Bucket>;
    void advance(u64 wall_ns);
    void reach(u64 level_bytes);
    template <class Change>
    void each_present(Change&& change);
    Bucket& bucket(std::size_t grain, u64 index);

    std::array<Ring, 3> rings_;  ///< Empty until something is known.
    u64 level_bytes_ = 0;
    u64 now_ns_ = 0;
};
}  // namespace vramd::report
