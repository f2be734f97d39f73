#include "core/memory/suballocator.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace vramd;
using namespace vramd::memory;

namespace {
std::vector<Hole> holes_of(const SubAllocator& space) {
    std::vector<Hole> holes;
    space.for_each_hole([&](const Hole& hole) { holes.push_back(hole); });
    return holes;
}
std::vector<LiveRange> live_of(const SubAllocator& space) {
    std::vector<LiveRange> live;
    space.for_each_live([&](const LiveRange& range) { live.push_back(range); });
    return live;
}
}  // namespace

TEST_CASE("a request gets the lowest place that holds it, in whole granules") {
    SubAllocator space(1 * mib);
    const auto first = space.allocate(1000, 256);
    const auto second = space.allocate(1, 1);
    REQUIRE(first);
    REQUIRE(second);
    CHECK(first->offset_bytes == 0);
    CHECK(first->granted_bytes == 1024);
    CHECK(second->offset_bytes == 1024);
    CHECK(second->granted_bytes == 256);
    CHECK(space.free(first->handle) == Freed::freed);
    CHECK(space.allocate(1025, 256)->offset_bytes == 1280);
    CHECK(space.allocate(1024, 256)->offset_bytes == 0);
    CHECK(space.consistent());
}

TEST_CASE("a second free, an old handle and an invented one are told apart from a live one in every build") {
    SubAllocator space(1 * mib);
    const Handle old = space.allocate(256, 256)->handle;
    CHECK(space.free(Handle{}) == Freed::stale);
    CHECK(space.free(old) == Freed::freed);
    CHECK(space.free(old) == Freed::stale);
    const Handle reused = space.allocate(512, 256)->handle;
    CHECK(reused.index == old.index);
    CHECK(space.free(old) == Freed::stale);
    CHECK(space.resize(old, 1024) == Resized::stale);
    CHECK(!space.find(old));
    CHECK(space.free({reused.index, reused.generation + 1}) == Freed::stale);
    CHECK(space.free({1'000'000, 1}) == Freed::stale);
    CHECK(space.find(reused)->granted_bytes == 512);
    CHECK(space.stats().live_count == 1);
    CHECK(space.free(reused) == Freed::freed);
    CHECK(space.free({reused.index, reused.generation + 1}) == Freed::stale);  // The even generation that the free slot now has.
    CHECK(space.consistent());
}

TEST_CASE("the gap in front of an aligned range stays usable") {
    SubAllocator space(16 * mib);
    REQUIRE(space.allocate(256, 256));
    const auto aligned = space.allocate(1 * mib, 2 * mib);
    REQUIRE(aligned);
    CHECK(aligned->offset_bytes == 2 * mib);
    CHECK(aligned->granted_bytes == 1 * mib);
    CHECK(holes_of(space) == std::vector<Hole>{{256, 2 * mib - 256}, {3 * mib, 13 * mib}});
    CHECK(space.allocate(2 * mib - 256, 256)->offset_bytes == 256);
    CHECK(space.stats().used_bytes == 3 * mib);
}

TEST_CASE("an alignment of 1 GiB is honoured without asking for more than the size") {
    SubAllocator space(4 * gib);
    REQUIRE(space.allocate(1, 1));
    CHECK(space.allocate(3 * gib, gib)->offset_bytes == gib);
    CHECK(space.stats().used_bytes == 3 * gib + 256);
    CHECK(!space.allocate(256, gib));
    CHECK(space.allocate(256, 512 * mib)->offset_bytes == 512 * mib);
}

TEST_CASE("sizes and alignments that make no sense get nothing and change nothing") {
    SubAllocator space(1 * mib);
    const SubAllocator before = space;
    CHECK(!space.allocate(0, 256));
    CHECK(!space.fit(0, 256));
    CHECK(!space.fit(256, 768));
    CHECK(!space.fit(1 * mib + 1, 256));
    CHECK(!space.allocate(256, 0));
    CHECK(!space.allocate(256, 768));
    CHECK(!space.allocate(UINT64_MAX, 256));
    CHECK(!space.allocate(1 * mib + 1, 256));
    CHECK(!space.allocate(256, u64{1} << 63));
    CHECK(!space.reserve_at(0, 0));
    CHECK(!space.reserve_at(1, 256));
    CHECK(!space.reserve_at(1 * mib, 256));
    CHECK(!space.reserve_at(UINT64_MAX - 255, 512));
    CHECK(!space.reserve_at(512, 1 * mib));
    CHECK(space.same_layout(before));
    CHECK(space.consistent());
}

TEST_CASE("a space rebuilt from its ranges in any order places all that follows as the original does") {
    SubAllocator space(1 * mib);
    std::vector<Handle> handles;
    for (u64 i = 0; i < 100; ++i) handles.push_back(space.allocate(256 * (1 + i % 7), 256)->handle);
    for (u64 i = 0; i < 100; i += 3) CHECK(space.free(handles[i]) == Freed::freed);
    SubAllocator rebuilt(1 * mib);
    const auto live = live_of(space);
    for (u64 i = 0; i < live.size(); ++i) {
        const LiveRange& range = live[i * 37 % live.size()];
        CHECK(rebuilt.reserve_at(range.offset_bytes, range.requested_bytes)->offset_bytes == range.offset_bytes);
    }
    CHECK(rebuilt.same_layout(space));
    for (u64 i = 0; i < 200; ++i) {
        const auto ours = space.allocate(256 * (1 + i % 11), 256U << i % 4);
        const auto theirs = rebuilt.allocate(256 * (1 + i % 11), 256U << i % 4);
        REQUIRE(ours.has_value() == theirs.has_value());
        if (ours) CHECK(ours->offset_bytes == theirs->offset_bytes);
    }
    CHECK(rebuilt.same_layout(space));
}

TEST_CASE("a range that is partly taken cannot be reserved") {
    SubAllocator space(1 * mib);
    REQUIRE(space.reserve_at(1024, 1024));
    CHECK(!space.reserve_at(768, 512));
    CHECK(!space.reserve_at(1024, 1024));
    CHECK(!space.reserve_at(1280, 256));
    CHECK(!space.reserve_at(1792, 512));
    CHECK(space.reserve_at(768, 256));
    CHECK(space.reserve_at(2048, 256));
    CHECK(space.consistent());
}

TEST_CASE("a range grows into the hole behind it, no further, and gives back what it no longer needs") {
    SubAllocator space(1 * mib);
    const Handle a = space.allocate(1024, 256)->handle;
    const Handle b = space.allocate(1024, 256)->handle;
    const Handle c = space.allocate(1024, 256)->handle;
    CHECK(space.resize(a, 1025) == Resized::no_room);
    CHECK(space.free(b) == Freed::freed);
    CHECK(space.resize(a, 1500) == Resized::resized);
    CHECK(space.find(a)->granted_bytes == 1536);
    CHECK(space.find(a)->requested_bytes == 1500);
    CHECK(space.resize(a, 2049) == Resized::no_room);
    CHECK(space.resize(a, 2048) == Resized::resized);
    CHECK(holes_of(space).size() == 1);
    CHECK(space.resize(a, 100) == Resized::resized);
    CHECK(holes_of(space).front() == Hole{256, 1792});
    CHECK(space.resize(a, 0) == Resized::no_room);
    CHECK(space.resize(a, UINT64_MAX) == Resized::no_room);
    CHECK(space.resize(c, 1 * mib - 2048) == Resized::resized);
    CHECK(space.stats().highest_used_bytes == 1 * mib);
    CHECK(space.consistent());
}

TEST_CASE("the space grows at its end and shrinks down to its last live range") {
    SubAllocator space(1024);
    const Handle whole = space.allocate(1024, 256)->handle;
    CHECK(space.grow(1024) == SpaceChange::out_of_range);
    CHECK(space.grow(2048) == SpaceChange::changed);
    CHECK(space.grow(4096) == SpaceChange::changed);
    CHECK(space.grow(SubAllocator::capacity_max_bytes(256) + 256) == SpaceChange::out_of_range);
    CHECK(space.allocate(256, 256)->offset_bytes == 1024);
    CHECK(space.shrink(1279) == SpaceChange::occupied);
    CHECK(space.shrink(4096) == SpaceChange::out_of_range);
    CHECK(space.shrink(1536) == SpaceChange::changed);
    CHECK(space.shrink(1280) == SpaceChange::changed);
    CHECK(space.stats().hole_count == 0);
    CHECK(!space.allocate(256, 256));
    CHECK(space.free(whole) == Freed::freed);
    CHECK(space.consistent());
    SubAllocator empty(0);
    CHECK(!empty.allocate(1, 1));
    CHECK(empty.grow(256) == SpaceChange::changed);
    CHECK(empty.allocate(1, 1));
    CHECK(empty.consistent());
}

TEST_CASE("the largest space of 2^32 - 1 granules can be filled, emptied and used at its very end") {
    constexpr u64 capacity = SubAllocator::capacity_max_bytes(256);
    SubAllocator space(capacity);
    const auto all = space.allocate(capacity, 256);
    REQUIRE(all);
    CHECK(space.stats().free_bytes == 0);
    CHECK(space.free(all->handle) == Freed::freed);
    CHECK(space.reserve_at(capacity - 256, 256));
    CHECK(space.stats().highest_used_bytes == capacity);
    CHECK(space.allocate(capacity - 256, 256)->offset_bytes == 0);
    CHECK(space.consistent());
}

TEST_CASE("the figures say what was asked, what was granted, what is free and in how many pieces") {
    SubAllocator space(64 * kib, 4 * kib);
    const Handle a = space.allocate(1, 1)->handle;
    const Handle b = space.allocate(5000, 1)->handle;
    CHECK(space.allocate(4096, 1));
    CHECK(space.free(a) == Freed::freed);
    const auto stats = space.stats();
    CHECK(stats.capacity_bytes == 64 * kib);
    CHECK(stats.used_bytes == 12 * kib);
    CHECK(stats.requested_bytes == 5000 + 4096);
    CHECK(stats.free_bytes == 52 * kib);
    CHECK(stats.largest_free_bytes == 48 * kib);
    CHECK(stats.highest_used_bytes == 16 * kib);
    CHECK(stats.live_count == 2);
    CHECK(stats.hole_count == 2);
    CHECK(stats.bookkeeping_bytes > 0);
    const auto histogram = space.hole_histogram();
    CHECK(histogram.counts[12] == 1);
    CHECK(histogram.counts[15] == 1);
    CHECK(space.free(b) == Freed::freed);
    CHECK(space.stats().largest_free_bytes == 48 * kib);
}

TEST_CASE("a copy goes its own way and the original does not notice") {
    SubAllocator space(1 * mib);
    std::vector<Handle> handles;
    for (int i = 0; i < 1000; ++i) handles.push_back(space.allocate(256, 256)->handle);
    for (u64 i = 0; i < 1000; i += 2) CHECK(space.free(handles[i]) == Freed::freed);
    SubAllocator copy = space;
    CHECK(copy.same_layout(space));
    for (u64 i = 1; i < 1000; i += 2) CHECK(copy.free(handles[i]) == Freed::freed);
    CHECK(copy.stats().hole_count == 1);
    CHECK(space.stats().live_count == 500);
    CHECK(space.stats().hole_count == 501);
    CHECK(space.consistent());
    CHECK(copy.consistent());
    space = copy;
    CHECK(space.same_layout(copy));
    const SubAllocator moved = std::move(copy);
    CHECK(moved.same_layout(space));
}

TEST_CASE("half the space in holes of one size: one granule more is refused, exactly that size is served every time") {
    constexpr u64 pieces = 2000;
    constexpr u64 piece = 1000 * 256;
    SubAllocator space(pieces * piece);
    std::vector<Handle> handles;
    for (u64 i = 0; i < pieces; ++i) handles.push_back(space.allocate(piece, 256)->handle);
    for (u64 i = 0; i < pieces; i += 2) CHECK(space.free(handles[i]) == Freed::freed);
    CHECK(space.stats().hole_count == pieces / 2);
    CHECK(!space.allocate(piece + 256, 256));
    u64 served = 0;
    while (space.allocate(piece, 256)) ++served;
    CHECK(served == pieces / 2);
    CHECK(space.stats().free_bytes == 0);
    CHECK(space.consistent());
}

TEST_CASE("an aligned request is served by the one hole among thousands that is placed for it") {
    SubAllocator space(64 * mib);
    std::vector<Handle> handles;
    while (const auto piece = space.allocate(4096, 256)) handles.push_back(piece->handle);
    for (u64 i = 1; i < handles.size(); i += 2) CHECK(space.free(handles[i]) == Freed::freed);  // All holes begin 4 KiB off 8 KiB.
    CHECK(!space.allocate(4096, 8192));
    CHECK(space.free(handles[handles.size() - 200]) == Freed::freed);
    CHECK(space.allocate(4096, 8192)->offset_bytes == (handles.size() - 200) * 4096);
    CHECK(space.consistent());
}

TEST_CASE("a hole that has grown past the beginning of the next leaf is still found by the range freed in front of it") {
    // Ranges of one granule; freeing every fourth in order gives leaves of eight holes each. The leaf in the middle shrinks to one hole
    // between two leaves too full to join, and that hole grows over the place where the next leaf's first hole was.
    SubAllocator space(1000 * 256);
    std::vector<Handle> pieces;
    while (const auto piece = space.allocate(256, 256)) pieces.push_back(piece->handle);
    const auto release = [&](u64 piece) {
        REQUIRE(space.free(pieces[piece]) == Freed::freed);
        REQUIRE(space.consistent());
    };
    for (u64 hole = 0; hole < 200; ++hole) release(4 * hole + 1);
    constexpr u64 middle = 40;  // The middle leaf's first hole.
    for (u64 i = 0; i < 5; ++i) {
        release(4 * (middle - 8 + i) + 3);
        release(4 * (middle + 9 + i) + 3);
    }
    const u64 next_begin = 4 * (middle + 8) + 1;
    pieces[next_begin] = space.reserve_at(next_begin * 256, 256)->handle;
    for (u64 piece = 4 * middle + 2; piece <= next_begin; ++piece)
        if (piece % 4 != 1 || piece == next_begin) release(piece);
    for (u64 piece = 4 * middle - 2; piece <= 4 * middle; ++piece) release(piece);
    CHECK(space.stats().largest_free_bytes == (next_begin - (4 * middle - 3) + 1) * 256);
}

TEST_CASE("the hole that a range would leave reaches to its live neighbours, or to the edges of the space") {
    SubAllocator space(4096, 256);
    const auto first = space.reserve_at(0, 256);
    const auto middle = space.reserve_at(512, 256);
    const auto last = space.reserve_at(2048, 256);
    REQUIRE((first && middle && last));
    CHECK(space.hole_without(first->handle) == Hole{0, 512});
    CHECK(space.hole_without(middle->handle) == Hole{256, 1792});
    CHECK(space.hole_without(last->handle) == Hole{768, 3328});
    CHECK(space.free(middle->handle) == Freed::freed);
    CHECK(space.hole_without(first->handle) == Hole{0, 2048});
}
