#include "core/report/track.hpp"

#include <algorithm>

namespace vramd::report {
namespace {
/// Times that differ by less are one clock read on two threads; beyond it, the clock was set back.
constexpr u64 set_back_ns = ns_per_second;
}  // namespace

void Bucket::merge(const Bucket& other) {
    level_min = std::min(level_min, other.level_min);
    level_max = std::max(level_max, other.level_max);
    level_ns += other.level_ns;
    covered_ns += other.covered_ns;
    arrived_count += other.arrived_count;
    arrived_bytes += other.arrived_bytes;
    left_count += other.left_count;
    left_bytes += other.left_bytes;
    moved_count += other.moved_count;
    moved_bytes += other.moved_bytes;
    moved_ns += other.moved_ns;
}

Bucket& Track::bucket(std::size_t grain, u64 index) {
    Ring& ring = rings_[grain];
    if (ring.empty()) ring.resize(ring_sizes[grain]);
    Bucket& found = ring[index % ring.size()];
    if (found.index != index) {
        found = Bucket{};
        found.index = index;
        found.level_min = found.level_max = level_bytes_;
    }
    return found;
}

/// The level stood from the last look until now.
void Track::advance(u64 wall_ns) {
    if (wall_ns <= now_ns_) {
        if (now_ns_ - wall_ns > set_back_ns) now_ns_ = wall_ns;
        return;
    }
    for (std::size_t grain = 0; grain < rings_.size(); ++grain) {
        const u64 width = ns_of(static_cast<Grain>(grain));
        const u64 reach_ns = width * (ring_sizes[grain] - 1);
        u64 from = std::max(now_ns_, wall_ns > reach_ns ? wall_ns - reach_ns : 0);
        while (from < wall_ns) {
            const u64 index = from / width;
            const u64 until = std::min((index + 1) * width, wall_ns);
            Bucket& now = bucket(grain, index);
            now.level_min = std::min(now.level_min, level_bytes_);
            now.level_max = std::max(now.level_max, level_bytes_);
            now.level_ns += u128{level_bytes_} * (until - from);
            now.covered_ns += until - from;
            from = until;
        }
    }
    now_ns_ = wall_ns;
}

template <class Change>
void Track::each_present(Change&& change) {
    for (std::size_t grain = 0; grain < rings_.size(); ++grain) change(bucket(grain, now_ns_ / ns_of(static_cast<Grain>(grain))));
}

void Track::reach(u64 level_bytes) {
    level_bytes_ = level_bytes;
    each_present([level_bytes](Bucket& now) {
        now.level_min = std::min(now.level_min, level_bytes);
        now.level_max = std::max(now.level_max, level_bytes);
    });
}

void Track::set(u64 level_bytes, u64 wall_ns) {
    advance(wall_ns);
    if (level_bytes != level_bytes_) reach(level_bytes);
}

void Track::count_arrived(u64 bytes, u64 wall_ns) {
    advance(wall_ns);
    each_present([bytes](Bucket& now) { now.arrived_count += 1, now.arrived_bytes += bytes; });
}

void Track::count_left(u64 bytes, u64 wall_ns) {
    advance(wall_ns);
    each_present([bytes](Bucket& now) { now.left_count += 1, now.left_bytes += bytes; });
}

void Track::count_moved(u64 bytes, u64 duration_ns, u64 wall_ns) {
    advance(wall_ns);
    each_present([bytes, duration_ns](Bucket& now) { now.moved_count += 1, now.moved_bytes += bytes, now.moved_ns += duration_ns; });
}

void Track::arrived(u64 bytes, u64 wall_ns) {
    count_arrived(bytes, wall_ns);
    reach(level_bytes_ + bytes);
}

void Track::left(u64 bytes, u64 wall_ns) {
    count_left(bytes, wall_ns);
    reach(level_bytes_ - std::min(level_bytes_, bytes));
}

Span Track::span(Window window, u64 wall_ns) {
    advance(wall_ns);
    Span told;
    told.to_wall_ns = now_ns_;
    const auto grain = static_cast<std::size_t>(grain_of(window));
    const u64 width = ns_of(grain_of(window));
    const u64 span_ns = seconds_of(window) * ns_per_second;
    const u64 last = now_ns_ / width;
    u64 index = now_ns_ > span_ns ? (now_ns_ - span_ns) / width : 0;
    if (!rings_[grain].empty())
        for (; index <= last; ++index) {
            const Bucket& known = rings_[grain][index % rings_[grain].size()];
            if (known.index == index) told.points.push_back(known);
        }
    if (told.points.empty()) {
        told.from_wall_ns = now_ns_;
        told.all.level_min = told.all.level_max = level_bytes_;
        return told;
    }
    told.all = told.points.front();
    for (std::size_t i = 1; i < told.points.size(); ++i) told.all.merge(told.points[i]);
    told.from_wall_ns = told.points.front().index * width;
    return told;
}

void Track::absorb(const Track& earlier) {
    for (std::size_t grain = 0; grain < rings_.size(); ++grain)
        for (const Bucket& theirs : earlier.rings_[grain]) {
            if (theirs.index == ~u64{0}) continue;
            if (rings_[grain].empty()) rings_[grain].resize(ring_sizes[grain]);
            Bucket& ours = rings_[grain][theirs.index % ring_sizes[grain]];
            if (ours.index == theirs.index)
                ours.merge(theirs);
            else if (ours.index == ~u64{0} || ours.index < theirs.index)
                ours = theirs;
        }
}
}  // namespace vramd::report
