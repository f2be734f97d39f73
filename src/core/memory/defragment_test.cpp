#include <doctest/doctest.h>

#include "core/memory/defragment.hpp"

using namespace vramd;
using namespace vramd::memory;

namespace {
constexpr u64 now_ns = 1000 * ns_per_second;

/// A layout written down block by block.
struct Written {
    Layout layout{{}, now_ns, {}};
    u64 next_serial = 1;
    LayoutBlock& block(u64 size_bytes, u32 owner = 0) {
        LayoutBlock& block = layout.blocks.emplace_back();
        block.key = layout.blocks.size();
        block.owner = owner;
        block.size_bytes = size_bytes;
        return block;
    }
    /// A range at the offset; the next serial is its name.
    LayoutRange& range(LayoutBlock& block, u64 offset_bytes, u64 size_bytes) {
        return block.ranges.emplace_back(LayoutRange{next_serial++, offset_bytes, size_bytes, round_up(size_bytes, arena_granule_bytes)});
    }
    Layout done() {
        layout.figures.blocks = layout.blocks.size();
        layout.figures.uncommitted_bytes = mib;
        layout.figures.free_bytes = mib;
        for (const LayoutBlock& block : layout.blocks) {
            layout.figures.free_bytes += block.size_bytes;
            for (const LayoutRange& range : block.ranges) layout.figures.free_bytes -= range.granted_bytes;
        }
        layout.figures = figures_of(layout);
        return layout;
    }
};
/// Two blocks of one owner, of which the first has room for all that lies in the second.
Written two_blocks(u64 second_live_bytes) {
    Written written;
    (void)written.range(written.block(4 * mib), 0, 2 * mib);
    (void)written.range(written.block(4 * mib), mib, second_live_bytes);
    return written;
}
}  // namespace

TEST_CASE("a sparse block's ranges go to the holes of a fuller one, and the device gains the block") {
    const Layout layout = two_blocks(300'000).done();
    const Plan made = plan(layout, DefragmentStrategy::balanced, {});
    REQUIRE(made.moves.size() == 1);
    CHECK(made.moves[0] == PlannedMove{2, 2, 1, 2 * mib, 300'032});
    CHECK(made.emptied_blocks == 1);
    CHECK(made.gained_bytes == 4 * mib);
    CHECK(made.moved_bytes == 300'032);
    CHECK(layout.figures.largest_free_bytes == 4 * mib - mib - 300'032);
    CHECK(made.after.uncommitted_bytes == 5 * mib);
    CHECK(made.after.largest_free_bytes == 5 * mib);
    CHECK(made.after.fragmentation_hundredths() == 2552);  // 7,040,000 bytes are free.
}

TEST_CASE("a quick plan leaves blocks that are more than a quarter live, a balanced one does not") {
    const Layout layout = two_blocks(mib + 256).done();
    CHECK(plan(layout, DefragmentStrategy::quick, {}).moves.empty());
    CHECK(plan(layout, DefragmentStrategy::balanced, {}).moves.size() == 1);
    CHECK(plan(two_blocks(mib).done(), DefragmentStrategy::quick, {}).moves.size() == 1);
}

TEST_CASE("a quick plan moves no more than 64 MiB") {
    Written written;
    for (int i = 0; i < 20; ++i) (void)written.range(written.block(64 * mib), 0, 48 * mib);
    for (int i = 0; i < 20; ++i) (void)written.range(written.block(64 * mib), 0, 7 * mib);
    const Layout layout = written.done();
    const Plan quick = plan(layout, DefragmentStrategy::quick, {});
    CHECK(quick.moved_bytes == 63 * mib);
    CHECK(quick.bounded);
    CHECK(plan(layout, DefragmentStrategy::balanced, {}).emptied_blocks == 20);
}

TEST_CASE("a conservative plan leaves what is large or was accessed within a minute") {
    Written idle = two_blocks(mib);
    CHECK(plan(idle.done(), DefragmentStrategy::conservative, {}).moves.size() == 1);
    Written large = two_blocks(mib + 1);
    CHECK(plan(large.done(), DefragmentStrategy::conservative, {}).moves.empty());
    Written fresh = two_blocks(mib);
    fresh.layout.blocks[1].ranges[0].accessed_wall_ns = now_ns - 59 * ns_per_second;
    CHECK(plan(fresh.done(), DefragmentStrategy::conservative, {}).moves.empty());
    fresh.layout.blocks[1].ranges[0].accessed_wall_ns = now_ns - 60 * ns_per_second;
    CHECK(plan(fresh.done(), DefragmentStrategy::conservative, {}).moves.size() == 1);
}

TEST_CASE("a thorough plan slides ranges down, so that a block's holes are one") {
    Written written;
    LayoutBlock& block = written.block(4 * mib);
    for (u64 i = 0; i < 8; ++i) (void)written.range(block, i * 512 * kib, 256 * kib);
    const Layout layout = written.done();
    CHECK(layout.figures.holes == 9);
    const Plan made = plan(layout, DefragmentStrategy::thorough, {});
    CHECK(made.after.holes == 2);
    CHECK(made.moves.size() == 4);  // The upper half fills the holes of the lower one.
    CHECK(plan(layout, DefragmentStrategy::balanced, {}).moves.empty());
    PlanBounds within;
    within.scope = PlanScope::within_blocks;
    CHECK(plan(layout, DefragmentStrategy::balanced, within).after.holes == 2);
}

TEST_CASE("ranges of another owner are no place to go") {
    Written written;
    (void)written.range(written.block(4 * mib, 1), 0, 2 * mib);
    (void)written.range(written.block(4 * mib, 2), 0, 1000);
    CHECK(plan(written.done(), DefragmentStrategy::thorough, {}).moves.empty());
}

TEST_CASE("a range in use or one that is to stay keeps its block, and the plan says so") {
    Written in_use = two_blocks(1000);
    in_use.layout.blocks[1].ranges[0].hold = Hold::in_use;
    in_use.layout.blocks[0].ranges[0].hold = Hold::pinned;
    const Plan made = plan(in_use.done(), DefragmentStrategy::thorough, {});
    CHECK(made.moves.empty());
    CHECK(made.left_in_use == 1);
    CHECK(made.left_pinned == 1);
}

TEST_CASE("an empty block is released without a move, and nothing is moved into it") {
    Written written = two_blocks(1000);
    (void)written.block(8 * mib);
    const Plan made = plan(written.done(), DefragmentStrategy::balanced, {});
    CHECK(made.empty == std::vector<BlockKey>{3});
    CHECK(made.moves.size() == 1);
    CHECK(made.moves[0].to == 1);
    CHECK(made.gained_bytes == 12 * mib);
}

TEST_CASE("a plan ends when the device is no more fragmented than was asked for") {
    Written written;
    for (int i = 0; i < 8; ++i) (void)written.range(written.block(4 * mib), 0, 3 * mib);
    for (int i = 0; i < 8; ++i) (void)written.range(written.block(4 * mib), 0, 512 * kib);
    const Layout layout = written.done();
    PlanBounds bounds;
    bounds.target_fragmentation_hundredths = 7'000;
    const Plan made = plan(layout, DefragmentStrategy::balanced, bounds);
    CHECK(layout.figures.fragmentation_hundredths() > 7'000);
    CHECK(made.after.fragmentation_hundredths() <= 7'000);
    CHECK(made.emptied_blocks < plan(layout, DefragmentStrategy::balanced, {}).emptied_blocks);
    CHECK(!made.bounded);
}

TEST_CASE("alignments hold: a hole that is large enough but lies wrongly is passed over") {
    Written written;
    LayoutBlock& full = written.block(2 * mib);
    (void)written.range(full, 0, 256);
    (void)written.range(full, 256 + 64 * kib, 2 * mib - 64 * kib - 256);
    LayoutBlock& sparse = written.block(mib);
    written.range(sparse, 0, 64 * kib).alignment_bytes = 64 * kib;
    CHECK(plan(written.done(), DefragmentStrategy::thorough, {}).moves.empty());
    written.layout.blocks[1].ranges[0].alignment_bytes = 256;
    CHECK(plan(written.done(), DefragmentStrategy::thorough, {}).moves.size() == 1);
}
