/// Pressure against models that take the long way round.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "base/choices.hpp"
#include "core/memory/pressure.hpp"

using namespace vramd;
using namespace vramd::memory;

namespace {
u64 some_bytes(Choices& choices) { return choices.one_in(8) ? number_max : choices.below(64 * gib); }
std::optional<u64> maybe(u64 value, Choices& choices) { return choices.one_in(4) ? std::nullopt : std::optional(value); }

PressureInput any_input(Choices& choices) {
    PressureInput input;
    input.usable_bytes = some_bytes(choices);
    input.used_bytes = choices.one_in(10) ? some_bytes(choices) : choices.below(input.usable_bytes + 1);
    input.uncommitted_bytes = choices.below(input.usable_bytes + 1);
    input.obtainable_bytes = maybe(some_bytes(choices), choices);
    input.physical_bytes = maybe(some_bytes(choices), choices);
    input.system_available_bytes = maybe(some_bytes(choices), choices);
    input.other_processes_bytes = maybe(some_bytes(choices), choices);
    input.group_limit_bytes = maybe(some_bytes(choices), choices);
    input.group_available_bytes = maybe(some_bytes(choices), choices);
    input.some_stall = maybe(choices.below(100'01), choices);
    input.full_stall = maybe(choices.below(100'01), choices);
    return input;
}
}  // namespace

TEST_CASE("a level is within 0 and 100, is the highest of its parts, and the band follows from it") {
    Choices choices = Choices::from_seed(21);
    for (int round = 0; round < 20'000; ++round) {
        const Pressure told = judge(any_input(choices));
        u64 highest = 0;
        for (const auto& part : told.parts) {
            if (!part) continue;
            REQUIRE(part->level <= level_max);
            REQUIRE(part->used_bytes <= part->whole_bytes);
            highest = std::max(highest, part->level);
        }
        REQUIRE(told.level == highest);
        REQUIRE(told.band == band_of(told.level));
        REQUIRE(told.parts[static_cast<std::size_t>(told.decisive)]->level == highest);
        REQUIRE(told.parts[static_cast<std::size_t>(told.decisive)]->cause == told.cause);
    }
}

TEST_CASE("nothing that makes memory scarcer lowers the level") {
    Choices choices = Choices::from_seed(22);
    for (int round = 0; round < 20'000; ++round) {
        PressureInput input = any_input(choices);
        const u64 before = judge(input).level;
        const auto shrink = [&choices](std::optional<u64>& bytes) {
            if (bytes) *bytes -= choices.below(*bytes + 1);
        };
        const auto grow = [&choices](u64& value, u64 most) {
            if (value < most) value += choices.below(most - value + 1);
        };
        switch (choices.below(6)) {
            case 0: {  // What is used was not covered before.
                const u64 bytes = choices.below(std::min(input.uncommitted_bytes, number_max - std::min(number_max, input.used_bytes)) + 1);
                input.used_bytes += bytes;
                input.uncommitted_bytes -= bytes;
                if (input.obtainable_bytes) *input.obtainable_bytes -= std::min(*input.obtainable_bytes, bytes);
                break;
            }
            case 1:
                shrink(input.obtainable_bytes);
                break;
            case 2:
                shrink(input.system_available_bytes);
                break;
            case 3:
                shrink(input.group_available_bytes);
                break;
            case 4:
                if (input.some_stall) grow(*input.some_stall, 100'00);
                break;
            default:
                if (input.full_stall) grow(*input.full_stall, 100'00);
        }
        REQUIRE(judge(input).level >= before);
    }
}

TEST_CASE("the slope equals the one that floating point finds") {
    Choices choices = Choices::from_seed(23);
    for (int round = 0; round < 2000; ++round) {
        std::vector<UsePoint> points;
        u64 at_ns = choices.below(u64{1} << 60);
        u64 bytes = choices.below(gib);
        for (u64 count = 3 + choices.below(60); count > 0; --count) {
            points.push_back({at_ns, bytes});
            at_ns += (1 + choices.below(400)) * 1'000'000;
            bytes = choices.one_in(3) ? choices.below(gib) : bytes + choices.below(mib);
        }
        const auto slope = slope_of(points);
        if (points.back().at_ns - points.front().at_ns < 1'000'000'000) {
            REQUIRE(!slope.has_value());
            continue;
        }
        long double t_mean = 0, y_mean = 0, above = 0, below = 0;
        const auto seconds = [&](const UsePoint& p) { return static_cast<long double>(p.at_ns - points.front().at_ns) / 1e9L; };
        for (const UsePoint& p : points) t_mean += seconds(p), y_mean += static_cast<long double>(p.bytes);
        t_mean /= static_cast<long double>(points.size()), y_mean /= static_cast<long double>(points.size());
        for (const UsePoint& p : points) {
            above += (seconds(p) - t_mean) * (static_cast<long double>(p.bytes) - y_mean);
            below += (seconds(p) - t_mean) * (seconds(p) - t_mean);
        }
        REQUIRE(slope.has_value());
        // Times are cut to whole ms before the sums: some thousandths of the slope at most, and the last byte.
        const long double exact = above / below;
        REQUIRE(std::fabs(static_cast<long double>(*slope) - exact) <= 1 + std::fabs(exact) * 0.01L);
    }
}

TEST_CASE("two crossings are a second apart, and none is told that the last second does not bear out") {
    Choices choices = Choices::from_seed(24);
    for (int round = 0; round < 300; ++round) {
        BandWatch watch;
        std::vector<std::pair<u64, u64>> seen;  // When, level.
        std::optional<u64> last_ns;
        u64 now = choices.below(u64{1} << 40);
        u64 level = choices.below(100'01);
        PressureBand before = PressureBand::low;
        for (int step = 0; step < 300; ++step) {
            if (choices.one_in(6)) level = choices.below(100'01);
            const u64 tremble = choices.below(400);
            const u64 shown = std::min<u64>(level_max, level >= 200 ? level - 200 + tremble : level + tremble);
            seen.emplace_back(now, shown);
            const auto crossed = watch.step(shown, now);
            if (crossed) {
                REQUIRE(*crossed != before);
                if (last_ns) REQUIRE(now - *last_ns >= band_settles_ns);
                for (const auto& [at, was] : seen) {
                    if (at + band_settles_ns < now) continue;
                    if (*crossed > before)
                        REQUIRE(band_of(was) > before);
                    else
                        REQUIRE(band_of(was + band_hysteresis) < before);
                }
                last_ns = now;
                before = *crossed;
            }
            now += (1 + choices.below(200)) * 1'000'000;
        }
    }
}
