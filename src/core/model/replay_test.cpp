#include "core/model/replay.hpp"

#include <doctest/doctest.h>

#include <string_view>

#include "base/clock.hpp"

using namespace vramd;
using namespace vramd::model;

namespace {
constexpr Watermarks only_what_does_not_fit{100'00, 100'00};

ReplayRequest at(u64 time_ms, u32 model, u64 use_ms = 0) { return {time_ms * ns_per_ms, use_ms * ns_per_ms, model, Keeps::while_used}; }
/// A request for each letter, 20 s apart.
ReplayTrace letters(std::string_view text, std::vector<ReplayModel> models) {
    ReplayTrace trace{std::move(models), {}};
    for (std::size_t i = 0; i < text.size(); ++i) trace.requests.push_back(at(i * 20'000, static_cast<u32>(text[i] - 'a')));
    return trace;
}
std::vector<ReplayModel> equal(u64 count) { return std::vector<ReplayModel>(count, ReplayModel{1, ns_per_ms}); }
ReplayRules fits(u64 capacity_bytes) { return {capacity_bytes, only_what_does_not_fit}; }
}  // namespace

TEST_CASE("the textbook's trace gives the textbook's figures: FIFO, LRU and Belady with three and with four frames") {
    // Belady 1969: under FIFO four frames do worse than three.
    const ReplayTrace trace = letters("abcdabeabcde", equal(5));
    CHECK(replay(trace, fits(3), EvictionOrder::fifo).loads == 9);
    CHECK(replay(trace, fits(4), EvictionOrder::fifo).loads == 10);
    CHECK(replay(trace, fits(3), EvictionOrder::lru).loads == 10);
    CHECK(replay(trace, fits(4), EvictionOrder::lru).loads == 8);
    CHECK(replay_hindsight(trace, 3).loads == 7);
    CHECK(replay_hindsight(trace, 4).loads == 6);
}

TEST_CASE("smart keeps what is slow to load, where fifo and lru drop it") {
    // Two of three fit; a takes 10 s to load, b and c 10 ns_per_ms.
    const ReplayTrace trace = letters("abcabcabc", {{2, 10'000 * ns_per_ms}, {2, 10 * ns_per_ms}, {2, 10 * ns_per_ms}});
    const ReplayResult smart = replay(trace, fits(4), EvictionOrder::smart);
    CHECK(smart.loads == 7);  // a once, b and c each time.
    CHECK(smart.loaded_bytes == 14);
    for (const EvictionOrder order : {EvictionOrder::fifo, EvictionOrder::lru}) {
        CHECK(replay(trace, fits(4), order).loads == 9);
        CHECK(replay(trace, fits(4), order).waited_ns > smart.waited_ns);
    }
}

TEST_CASE("a model that is there costs no wait, one that is loading the rest, and one that is not its whole load") {
    ReplayTrace trace{{{10, 100 * ns_per_ms}}, {at(0, 0), at(30, 0), at(500, 0)}};
    const ReplayResult told = replay(trace, fits(10), EvictionOrder::lru);
    CHECK(told.loads == 1);
    CHECK(told.hits == 2);
    CHECK(told.joined == 1);
    CHECK(told.waited_ns == 170 * ns_per_ms);
    CHECK(told.waited_p50_ns == 70 * ns_per_ms);
    CHECK(told.waited_p99_ns == 100 * ns_per_ms);
    CHECK(told.peak_bytes == 10);
    CHECK(told.loaded_bytes == 10);
}

TEST_CASE("a load that finds only used models waits until a use ends, and a later one does not overtake it") {
    // a is used until 1010 ns_per_ms; b does not fit beside it; c would, but came after b.
    ReplayTrace trace{{{6, 10 * ns_per_ms}, {6, 10 * ns_per_ms}, {1, 10 * ns_per_ms}},
                      {at(0, 0, 1000), at(100, 1), at(200, 2), at(300, 0)}};
    const ReplayResult told = replay(trace, fits(10), EvictionOrder::fifo);
    CHECK(told.refused == 0);
    CHECK(told.delayed == 2);
    CHECK(told.evictions == 1);
    CHECK(told.hits == 1);  // The second use of a, while it is there.
    CHECK(told.waited_ns == (10 + (1010 - 100 + 10) + (1010 - 200 + 10)) * ns_per_ms);
}

TEST_CASE("what is larger than the memory is refused, and what only pinned models stand in the way of too; all else goes on") {
    ReplayTrace trace{{{8, ns_per_ms}, {11, ns_per_ms}, {5, ns_per_ms}, {2, ns_per_ms}}, {at(0, 0), at(10, 1), at(20, 2), at(30, 3)}};
    trace.requests[0].keeps = Keeps::pinned;
    const ReplayResult told = replay(trace, fits(10), EvictionOrder::fifo);
    CHECK(told.refused == 2);
    CHECK(told.loads == 2);
    CHECK(told.evictions == 0);
    CHECK(told.peak_bytes == 10);
}

TEST_CASE("usage beyond the high watermark evicts down to the low one, before it would have to") {
    // Ten models of a tenth each: the ninth would make it 90 %, so two go, the oldest, and 70 % are left with it.
    const ReplayTrace trace = letters("abcdefghi", equal(9));
    const ReplayResult told = replay(trace, {10, {}}, EvictionOrder::fifo);
    CHECK(told.peak_bytes == 8);
    CHECK(told.evictions == 2);
    // 80 % themselves are not beyond.
    CHECK(replay(letters("abcdefgh", equal(8)), {10, {}}, EvictionOrder::fifo).evictions == 0);
    // One that is larger than the low mark may still be loaded, alone.
    CHECK(replay(letters("ab", {{2, ns_per_ms}, {9, ns_per_ms}}), {10, {}}, EvictionOrder::fifo).refused == 0);
}

TEST_CASE("a large victim makes up for small ones: those stay") {
    // a is oldest, and small; room for d takes b, and with b gone a need not go.
    const ReplayTrace trace = letters("abcd", {{1, ns_per_ms}, {6, ns_per_ms}, {3, ns_per_ms}, {6, ns_per_ms}});
    std::vector<u32> gone;
    (void)replay(trace, fits(10), EvictionOrder::fifo, [&](const ReplayStep& step) {
        if (step.kind == ReplayStep::Kind::evict) gone.push_back(step.model);
    });
    CHECK(gone == std::vector<u32>{1});
}

TEST_CASE("the largest times and sizes neither wrap nor hang") {
    ReplayTrace trace{{{number_max, UINT64_MAX}, {number_max - 1, UINT64_MAX}}, {at(0, 0), at(0, 1), at(1, 0)}};
    trace.requests.push_back({UINT64_MAX, UINT64_MAX, 0, Keeps::while_used});
    const ReplayResult told = replay(trace, {number_max, {}}, EvictionOrder::smart);
    CHECK(told.requests == 4);
    CHECK(told.hits + told.loads + told.refused == 4);
    CHECK(replay_bound(trace, number_max).hits_max <= 4);
    CHECK(replay(ReplayTrace{}, fits(0), EvictionOrder::lru) == ReplayResult{});
    CHECK(replay_bound(ReplayTrace{}, 0).loaded_bytes_min == 0);
}

TEST_CASE("the bound is what the optimum reaches where nothing is in the way, and never less") {
    CHECK(replay_bound(letters("ababab", equal(2)), 2).hits_max == 4);
    CHECK(replay_bound(letters("ababab", equal(2)), 2).loaded_bytes_min == 2);
    CHECK(replay_bound(letters("aaab", equal(2)), 1).hits_max == 2);
    CHECK(replay_bound(letters("abab", {{6, ns_per_ms}, {5, ns_per_ms}}), 10).hits_max == 0);  // Never both.
    CHECK(replay_bound(letters("abcaa", {{6, ns_per_ms}, {5, ns_per_ms}, {1, ns_per_ms}}), 10).hits_max == 1);
    CHECK(replay_bound(letters("abab", {{1, ns_per_ms}, {9, ns_per_ms}}), 5).hits_max == 1);  // b is refused, and counts for nothing.
}
