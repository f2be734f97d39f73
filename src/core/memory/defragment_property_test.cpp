#include <doctest/doctest.h>

#include "core/memory/defragment_trial.hpp"

using namespace vramd;
using namespace vramd::memory;

namespace {
PlanBounds any_bounds(Choices& choices) {
    PlanBounds bounds;
    if (choices.one_in(3)) bounds.moved_bytes_max = choices.below(40) * arena_granule_bytes;
    if (choices.one_in(3)) bounds.moves_max = choices.below(12);
    if (choices.one_in(3)) bounds.target_fragmentation_hundredths = choices.below(10'000);
    if (choices.one_in(4)) bounds.scope = PlanScope::within_blocks;
    return bounds;
}
LayoutWish any_wish(Choices& choices) {
    LayoutWish wish;
    wish.blocks = choices.below(12);
    wish.owners = 1 + choices.below(3);
    wish.range_granules_max = 1 + choices.below(24);
    wish.held_one_in = choices.below(3) * 12;
    wish.closed_one_in = choices.below(3) * 8;
    return wish;
}
}  // namespace

TEST_CASE("a plan can be done move by move: nothing overlaps, nothing held moves, no block has two owners") {
    u64 moves = 0;
    u64 emptied = 0;
    for (u64 seed = 1; seed <= 4000; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        const Layout layout = any_layout(choices, any_wish(choices));
        const auto strategy = static_cast<DefragmentStrategy>(choices.below(4));
        const PlanBounds bounds = any_bounds(choices);
        const Plan made = plan(layout, strategy, bounds);
        PlanTrial trial(layout);
        const auto fault = trial.run(made);
        REQUIRE_MESSAGE(!fault, fault.value_or(""));
        // What the plan says of itself is what happened.
        CHECK(trial.moved_bytes == made.moved_bytes);
        CHECK(trial.released == made.empty.size() + made.emptied_blocks);
        CHECK(made.gained_bytes == trial.layout.figures.uncommitted_bytes - layout.figures.uncommitted_bytes);
        CHECK(made.after == figures_of(trial.layout));
        CHECK(made.moved_bytes <= bounds.moved_bytes_max);
        CHECK(made.moves.size() <= bounds.moves_max);
        moves += made.moves.size();
        emptied += made.emptied_blocks;
    }
    CHECK(moves > 5000);
    CHECK(emptied > 1000);
}

TEST_CASE("no plan makes the largest free run smaller, and none evacuates for less than it moves but a thorough one") {
    for (u64 seed = 1; seed <= 2000; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        const Layout layout = any_layout(choices, any_wish(choices));
        const auto strategy = static_cast<DefragmentStrategy>(choices.below(4));
        PlanBounds bounds;
        const Plan made = plan(layout, strategy, bounds);
        CHECK(made.after.free_bytes == layout.figures.free_bytes);
        CHECK(made.after.uncommitted_bytes >= layout.figures.uncommitted_bytes);
        if (strategy != DefragmentStrategy::thorough) CHECK((made.moves.empty() || made.gained_bytes > made.moved_bytes));
        if (strategy == DefragmentStrategy::quick) CHECK(made.moved_bytes <= quick_moved_bytes_max);
        CHECK(!made.bounded);
    }
}

TEST_CASE("what evacuates moves little more than the best plan would for the same gain") {
    u128 ours = 0;
    u128 best = 0;
    u64 gained = 0;
    u64 possible = 0;
    for (u64 seed = 1; seed <= 400; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        LayoutWish wish{.blocks = 3 + choices.below(4), .block_granules_max = 32, .owners = 1 + choices.below(2), .range_granules_max = 8};
        wish.alignment_log2_max = 8;
        wish.held_one_in = wish.closed_one_in = 0;
        const Layout layout = any_layout(choices, wish);
        const Plan made = plan(layout, DefragmentStrategy::balanced, {});
        const BestEvacuation optimum(layout);
        possible += optimum.most_gained_bytes();
        gained += made.gained_bytes;
        if (made.moves.empty()) continue;
        const auto least = optimum.least_moved_bytes(made.gained_bytes);
        REQUIRE(least);
        CHECK(*least <= made.moved_bytes);
        ours += made.moved_bytes;
        best += *least;
    }
    // Measured: 1.02 and 0.93. The bounds leave room for another order of equals, not for a worse rule.
    MESSAGE("moved, of the least: " << static_cast<double>(ours) / static_cast<double>(best));
    MESSAGE("gained, of the most: " << static_cast<double>(gained) / static_cast<double>(possible));
    CHECK(ours * 100 <= best * 110);
    CHECK(gained * 100 >= possible * 90);
}
