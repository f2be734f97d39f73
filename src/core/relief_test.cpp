/// What goes by itself when memory runs short: how much, of what, and when nothing does.
#include <doctest/doctest.h>

#include "core/model/eviction.hpp"
#include "core/relief.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
constexpr u64 long_ago = 60'000'000'000;
memory::Pressure pressure(std::optional<u64> machine_percent, std::optional<u64> group_percent = {}, std::optional<u64> stall_level = {}) {
    memory::Pressure told;
    const auto part = [](u64 percent) { return memory::PartLevel{percent * 100, percent * mib, 100 * mib, {}}; };
    if (machine_percent) told.parts[static_cast<std::size_t>(memory::PressurePart::machine)] = part(*machine_percent);
    if (group_percent) told.parts[static_cast<std::size_t>(memory::PressurePart::group)] = part(*group_percent);
    if (stall_level) told.parts[static_cast<std::size_t>(memory::PressurePart::stall)] = memory::PartLevel{*stall_level * 100, 0, 0, {}};
    told.parts[static_cast<std::size_t>(memory::PressurePart::room)] = part(100);  // A full device is no reason.
    return told;
}
using Steps = std::vector<ReliefStep>;
ReliefStep step(ReclaimReach reach, u64 idle_ns, u64 bytes) { return {reach, idle_ns, bytes}; }
}  // namespace

TEST_CASE("each threshold that is passed lets more go, down to two points below it") {
    const auto told = [](u64 percent) { return relief_for(pressure(percent), {}, 0, long_ago); };
    CHECK(told(74).empty());
    CHECK(told(75) == Steps{step(ReclaimReach::cache, 0, 2 * mib)});
    CHECK(told(89) == Steps{step(ReclaimReach::cache, 0, 16 * mib)});
    CHECK(told(90) == Steps{step(ReclaimReach::cache, 0, 17 * mib), step(ReclaimReach::models, model::conservative_idle_ns, 2 * mib)});
    CHECK(told(97) == Steps{step(ReclaimReach::cache, 0, 24 * mib), step(ReclaimReach::models, model::conservative_idle_ns, 9 * mib),
                            step(ReclaimReach::models, 0, 4 * mib)});
}

TEST_CASE("of the machine and the control group the one that asks for more counts, and what is on its way back already is not asked for") {
    CHECK(relief_for(pressure(80, 85), {}, 0, long_ago) == Steps{step(ReclaimReach::cache, 0, 12 * mib)});
    CHECK(relief_for(pressure(std::nullopt, 85), {}, 2 * mib, long_ago) == Steps{step(ReclaimReach::cache, 0, 10 * mib)});
    CHECK(relief_for(pressure(80), {}, 7 * mib, long_ago).empty());
    CHECK(relief_for(pressure(std::nullopt, std::nullopt), {}, 0, long_ago).empty());
}

TEST_CASE("tasks that wait are no reason where memory is not short, and raise the step by one victim a second where it is") {
    CHECK(relief_for(pressure(60, std::nullopt, 100), {}, 0, long_ago).empty());
    const Steps all{step(ReclaimReach::cache, 0, 3 * mib), step(ReclaimReach::models, model::conservative_idle_ns, 1),
                    step(ReclaimReach::models, 0, 1)};
    CHECK(relief_for(pressure(76, std::nullopt, 96), {}, 0, long_ago) == all);
    CHECK(relief_for(pressure(76, std::nullopt, 96), {}, 0, 999'999'999) == Steps{all[0]});
    CHECK(relief_for(pressure(76, std::nullopt, 96), {}, 3 * mib, long_ago).empty());
}

TEST_CASE("a threshold of 100 is never reached, and other thresholds mean what they say") {
    CHECK(relief_for(pressure(100, 100, 100), no_relief, 0, long_ago).empty());
    CHECK(relief_for(pressure(100), {50'00, 100'00, 100'00}, 0, long_ago) == Steps{step(ReclaimReach::cache, 0, 52 * mib)});
    CHECK(!is_near(pressure(100), no_relief));
    CHECK(!is_near(pressure(64), {}));
    CHECK(is_near(pressure(65), {}));
    CHECK(is_near(pressure(10, 65), {}));
}
