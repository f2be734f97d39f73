#include "core/report/track.hpp"

#include <doctest/doctest.h>

#include "base/choices.hpp"

using namespace vramd;
using namespace vramd::report;

namespace {
constexpr u64 second = ns_per_second;
constexpr u64 first_ns = 1'700'000'000 * second;

/// All that happened, kept for ever, and answered by going through it.
struct Everything {
    struct Step {
        u64 at_ns;
        u64 level;
        u64 arrived;
        u64 left;
        bool counts;
    };
    std::vector<Step> steps;

    Bucket between(u64 from_ns, u64 to_ns) const {
        Bucket told;
        told.level_min = ~u64{0};
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const u64 until = i + 1 < steps.size() ? steps[i + 1].at_ns : to_ns;
            const u64 from = std::max(steps[i].at_ns, from_ns);
            const u64 to = std::min(until, to_ns);
            const bool here = steps[i].at_ns >= from_ns && steps[i].at_ns <= to_ns;
            if (to > from || here) {
                told.level_min = std::min(told.level_min, steps[i].level);
                told.level_max = std::max(told.level_max, steps[i].level);
            }
            if (to > from) {
                told.level_ns += u128{steps[i].level} * (to - from);
                told.covered_ns += to - from;
            }
            if (!here || !steps[i].counts) continue;
            (steps[i].arrived > 0 ? told.arrived_count : told.left_count) += 1;
            told.arrived_bytes += steps[i].arrived;
            told.left_bytes += steps[i].left;
        }
        return told;
    }
};
}  // namespace

TEST_CASE("a mean is a mean over time: what stood for long counts for long") {
    Track track(0, first_ns);
    track.arrived(1000, first_ns + 10 * second);
    track.left(1000, first_ns + 40 * second);
    const Span told = track.span(Window::minute, first_ns + 60 * second);
    CHECK(told.all.covered_ns == 60 * second);
    CHECK(told.all.level_mean() == 500);
    CHECK(told.all.level_max == 1000);
    CHECK(told.all.level_min == 0);
    CHECK(told.all.arrived_count == 1);
    CHECK(told.all.left_bytes == 1000);
    CHECK(told.points.size() == 60);
}

TEST_CASE("a window knows only its own time, but the level that stood at its start") {
    Track track(0, first_ns);
    track.arrived(1000, first_ns + second);
    track.arrived(50, first_ns + 2 * second);
    const Span minute = track.span(Window::minute, first_ns + 3600 * second);
    CHECK(minute.all.arrived_count == 0);
    CHECK(minute.all.level_min == 1050);
    CHECK(minute.all.level_max == 1050);
    CHECK(minute.all.level_mean() == 1050);
    const Span hour = track.span(Window::hour, first_ns + 3600 * second);
    CHECK(hour.all.arrived_bytes == 1050);
}

TEST_CASE("a short stay counts as a peak, in the second it was and in the week") {
    Track track(7, first_ns);
    track.arrived(1'000'000, first_ns + 5 * second + 1);
    track.left(1'000'000, first_ns + 5 * second + 2);
    for (const Window window : {Window::minute, Window::five_minutes, Window::hour, Window::day, Window::week})
        CHECK(track.span(window, first_ns + 10 * second).all.level_max == 1'000'007);
}

TEST_CASE("a track never asked for anything knows that its level stood") {
    Track track(5, first_ns);
    const Span told = track.span(Window::week, first_ns + 100 * second);
    CHECK(told.all.covered_ns == 100 * second);
    CHECK(told.all.level_min == 5);
    CHECK(Track(5, first_ns).span(Window::hour, first_ns).all.level_max == 5);
}

TEST_CASE("a clock that jumps a decade, forwards or back, costs neither time nor sense") {
    Track track(100, first_ns);
    track.arrived(10, first_ns + second);
    track.arrived(10, first_ns + 10ULL * 365 * 86'400 * second);
    CHECK(track.span(Window::day, first_ns + 10ULL * 365 * 86'400 * second).all.level_max == 120);
    track.left(20, first_ns + 2 * second);
    const Span back = track.span(Window::minute, first_ns + 3 * second);
    CHECK(back.all.left_count == 1);
    CHECK(back.all.level_max <= 120);
    track.arrived(1, 0);
    CHECK(track.span(Window::minute, 0).all.arrived_count == 1);
    track.arrived(1, ~u64{0} / 2);
    CHECK(track.level_bytes() == 102);
}

TEST_CASE("what is told of a window equals what going through everything finds") {
    for (u64 seed = 1; seed <= 40; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Everything everything;
        u64 now = first_ns + choices.below(1000) * second;
        Track track(0, now);
        everything.steps.push_back({now, 0, 0, 0, false});
        u64 level = 0;
        for (int i = 0; i < 60; ++i) {
            now += choices.one_in(5) ? choices.below(3 * 3600) * second : choices.below(3 * second);
            const u64 bytes = 1 + choices.below(1000);
            switch (choices.below(3)) {
                case 0:
                    track.arrived(bytes, now);
                    everything.steps.push_back({now, level += bytes, bytes, 0, true});
                    break;
                case 1: {
                    const u64 gone = std::min(level, bytes);
                    if (gone == 0) break;
                    track.left(gone, now);
                    everything.steps.push_back({now, level -= gone, 0, gone, true});
                    break;
                }
                default:
                    track.set(bytes, now);
                    everything.steps.push_back({now, level = bytes, 0, 0, false});
            }
            const auto window = static_cast<Window>(choices.below(5));
            const Span told = track.span(window, now);
            const u64 width = ns_of(grain_of(window));
            const u64 span_ns = seconds_of(window) * second;
            const Bucket expected = everything.between((now - span_ns) / width * width, now);
            REQUIRE(told.all.arrived_count == expected.arrived_count);
            REQUIRE(told.all.arrived_bytes == expected.arrived_bytes);
            REQUIRE(told.all.left_count == expected.left_count);
            REQUIRE(told.all.left_bytes == expected.left_bytes);
            REQUIRE(told.all.covered_ns == expected.covered_ns);
            REQUIRE(told.all.level_ns == expected.level_ns);
            REQUIRE(told.all.level_max == expected.level_max);
            REQUIRE(told.all.level_min == expected.level_min);
        }
    }
}

TEST_CASE("two halves put together know what the whole would") {
    for (u64 seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        u64 now = first_ns;
        Track whole(0, now);
        Track first(0, now);
        Track second_half;
        bool halved = false;
        for (int i = 0; i < 50; ++i) {
            now += choices.below(100 * second);
            if (i == 25) {
                (void)first.span(Window::minute, now);
                second_half = Track(first.level_bytes(), now);
                halved = true;
            }
            const u64 bytes = 1 + choices.below(100);
            whole.arrived(bytes, now);
            (halved ? second_half : first).arrived(bytes, now);
        }
        second_half.absorb(first);
        for (const Window window : {Window::minute, Window::hour, Window::week}) {
            const Span expected = whole.span(window, now);
            const Span told = second_half.span(window, now);
            CHECK(told.all.arrived_bytes == expected.all.arrived_bytes);
            CHECK(told.all.level_ns == expected.all.level_ns);
            CHECK(told.all.covered_ns == expected.all.covered_ns);
            CHECK(told.all.level_max == expected.all.level_max);
            CHECK(told.from_wall_ns == expected.from_wall_ns);
        }
    }
}
