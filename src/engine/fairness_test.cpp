/// Who gets room in which order. On a simulated device with every thread's work done here, in the order it was posted: the same each time.
#include <deque>
#include <map>

#include "engine/test_bench.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
constexpr u64 large = 50 * mib, small = 9 * mib, long_time = 3600 * ns_per_second;

/// A stream of small requests, each of which comes before an older one goes. How many of at most `rounds` got theirs before the fate was
/// told.
u64 overtakers(Bench& bench, const Fate& fate, Priority priority, u64 rounds) {
    std::deque<AllocationId> held;
    const auto free_oldest = [&] {
        bench.free("stream", held.front());
        held.pop_front();
    };
    u64 served = 0;
    for (u64 i = 0; i < rounds && !fate.told; ++i) {
        const auto next = bench.ask("stream", small, 0, priority);
        if (!next->id) continue;
        held.push_back(next->id);
        ++served;
        if (held.size() == 3) free_oldest();
    }
    while (!held.empty()) free_oldest();
    return served;
}
}  // namespace

TEST_CASE("a large request that waits is overtaken by at most eight small ones") {
    Bench bench;
    const auto first = bench.ask("stream", small);
    const auto second = bench.ask("stream", small);
    const auto third = bench.ask("stream", small);
    const auto fate = bench.ask("me", large, long_time);
    REQUIRE(!fate->told);
    bench.free("stream", first->id);
    CHECK(overtakers(bench, *fate, Priority::normal, 8) == 8);
    CHECK(!fate->told);
    CHECK(overtakers(bench, *fate, Priority::normal, 100) == 0);
    bench.free("stream", second->id);
    bench.free("stream", third->id);
    REQUIRE(fate->told);
    CHECK(fate->id);
}

TEST_CASE("urgent ones pass for longer, but not for ever") {
    Bench bench;
    const auto holder = bench.ask("stream", small);
    const auto other = bench.ask("stream", 2 * small);
    const auto fate = bench.ask("me", large, long_time, Priority::low);
    REQUIRE(!fate->told);
    bench.free("stream", holder->id);
    const u64 passed = overtakers(bench, *fate, Priority::critical, 200);
    CHECK(passed == 32);  // Eight for each step from low to above critical.
    bench.free("stream", other->id);
    CHECK(fate->id);
}

TEST_CASE("whose room is kept for another still gets what lies in its own arena, and all get theirs when the large one's time ends") {
    Bench bench;
    const auto tiny = bench.ask("stream", 4096);
    const auto holder = bench.ask("stream", 2 * small);
    const auto fate = bench.ask("me", large, 100 * ns_per_second);
    REQUIRE(!fate->told);
    CHECK(overtakers(bench, *fate, Priority::normal, 100) == 8);
    REQUIRE(!fate->told);
    CHECK(bench.ask("stream", 4096)->id);
    const auto refused = bench.ask("stream", small);
    REQUIRE(refused->error);
    CHECK(refused->error->code == Code::insufficient_memory);
    CHECK(refused->error->detail.find("waited longer") != std::string::npos);
    const auto behind = bench.ask("you", small, long_time);
    CHECK(!behind->told);
    bench.pass(101 * ns_per_second);
    REQUIRE(fate->told);
    CHECK(fate->error->code == Code::timed_out);
    REQUIRE(behind->told);
    CHECK(behind->id);
    CHECK(tiny->id);
    CHECK(holder->id);
}

TEST_CASE("those that wait get room by priority, and among equals by age") {
    Bench bench;
    const auto holder = bench.ask("you", 60 * mib);
    const auto low = bench.ask("low", 40 * mib, long_time, Priority::low);
    const auto old = bench.ask("old", 40 * mib, long_time);
    const auto young = bench.ask("young", 40 * mib, long_time);
    const auto urgent = bench.ask("urgent", 40 * mib, long_time, Priority::critical);
    bench.free("you", holder->id);
    CHECK(urgent->told);
    CHECK(!old->told);
    bench.free("urgent", urgent->id);
    CHECK(old->told);
    CHECK(!young->told);
    bench.free("old", old->id);
    CHECK(young->told);
    CHECK(!low->told);
    bench.free("young", young->id);
    CHECK(low->id);
}

TEST_CASE("who waits for its own quota is served when it frees something, and keeps no room from others") {
    Bench bench;
    SetLimitsCommand limits;
    limits.caller = {"uid:0", Role::admin};
    limits.device_id = "a";
    limits.change.owner_quotas = std::map<std::string, u64>{{"me", 20 * mib}};
    REQUIRE(bench.core->set_limits(limits, Trial::real).has_value());
    const auto held = bench.ask("me", 15 * mib);
    const auto fate = bench.ask("me", 10 * mib, long_time);
    CHECK(!fate->told);
    const auto never = bench.ask("me", 21 * mib, long_time);
    REQUIRE(never->told);
    CHECK(never->error->code == Code::quota_exceeded);
    Fate unheard;
    CHECK(overtakers(bench, unheard, Priority::normal, 20) == 20);
    bench.free("me", held->id);
    CHECK(fate->id);
}

TEST_CASE("what could never fit is refused at once, whatever its time") {
    Bench bench;
    const auto fate = bench.ask("me", 65 * mib, long_time);
    REQUIRE(fate->told);
    CHECK(fate->error->code == Code::insufficient_memory);
}

TEST_CASE("raised limits serve those that wait for them") {
    Bench bench;
    SetLimitsCommand limits;
    limits.caller = {"uid:0", Role::admin};
    limits.device_id = "a";
    limits.change.max_bytes = 48 * mib;
    REQUIRE(bench.core->set_limits(limits, Trial::real).has_value());
    const auto held = bench.ask("you", 30 * mib);
    const auto fate = bench.ask("me", 20 * mib, long_time);
    CHECK(!fate->told);
    limits.change.max_bytes = 64 * mib;
    const auto tried = bench.core->set_limits(limits, Trial::dry_run);
    REQUIRE(tried);
    CHECK(tried->impact.available_bytes_after == 34 * mib);
    CHECK(bench.core->limits("a")->max_bytes == 48 * mib);
    CHECK(!fate->told);
    REQUIRE(bench.core->set_limits(limits, Trial::real).has_value());
    bench.settle();
    CHECK(fate->id);
    CHECK(held->id);
}

TEST_CASE("models go for who needs the room, those loaded first before the others, and none that is being read") {
    Bench bench;
    bench.load("first", 20 * mib);
    bench.load("second", 20 * mib);
    bench.load("third", 20 * mib);
    const auto reading = bench.core->open_content({"me", Role::user}, bench.core->model("first")->best().allocation, Access::read);
    REQUIRE(reading);
    CHECK(bench.ask("me", 20 * mib)->id);
    CHECK(bench.core->model("first").has_value());
    CHECK(!bench.core->model("second").has_value());
    CHECK(bench.core->model("third").has_value());
}

TEST_CASE("who waits for room gets that of a model when the last who used it lets it go, the oldest first") {
    Bench bench;
    bench.load("model", 60 * mib);
    const AllocationId model = bench.core->model("model")->best().allocation;
    auto one = bench.core->attach({"one", Role::user}, model, std::nullopt).value();
    auto another = bench.core->attach({"another", Role::user}, model, std::nullopt).value();
    auto reading = bench.core->open_content({"reader", Role::user}, model, Access::read).value();
    const auto old = bench.ask("old", 40 * mib, long_time);
    const auto young = bench.ask("young", 40 * mib, long_time);
    one.reset();
    reading.reset();
    bench.settle();
    CHECK(!old->told);
    CHECK(bench.core->model("model").has_value());
    another.reset();
    bench.settle();
    CHECK(old->id);
    CHECK(!young->told);
    CHECK(!bench.core->model("model").has_value());
}

TEST_CASE("who waits for room gets that of a model that has come to be there and that nobody uses") {
    Bench bench;
    bench.loading->takes_time = true;
    bench.load("model", 60 * mib);
    const auto waits = bench.ask("me", 40 * mib, long_time);
    CHECK(!waits->told);
    bench.loading->end_load();
    bench.settle();
    CHECK(waits->id);
}

TEST_CASE("a model that is loaded to be attached waits for that, whoever waits for room") {
    Bench bench;
    bench.loading->takes_time = true;
    bench.load("model", 60 * mib, true);
    const auto waits = bench.ask("me", 40 * mib, long_time);
    bench.loading->end_load();
    bench.settle();
    REQUIRE(bench.core->model("model").has_value());
    auto attached = bench.core->attach({"you", Role::user}, bench.core->model("model")->best().allocation, std::nullopt).value();
    bench.core->let_loaded_go(bench.loads);
    bench.core->let_loaded_go(bench.loads);  // Once is enough.
    bench.settle();
    CHECK(!waits->told);
    attached.reset();
    bench.settle();
    CHECK(waits->id);
}

TEST_CASE("above the emergency threshold models go by themselves, but for the newest") {
    Bench bench;
    SetLimitsCommand limits;
    limits.caller = {"uid:0", Role::admin};
    limits.device_id = "a";
    limits.change.emergency_hundredths = 50'00;
    REQUIRE(bench.core->set_limits(limits, Trial::real).has_value());
    bench.load("first", 10 * mib);
    bench.load("second", 10 * mib);
    CHECK(bench.core->model("first").has_value());
    bench.load("third", 20 * mib);
    CHECK(!bench.core->model("first").has_value());
    CHECK(bench.core->model("third").has_value());
    bench.load("whole", 60 * mib);
    CHECK(bench.core->model("whole").has_value());
    CHECK(bench.core->findings().empty());
}
