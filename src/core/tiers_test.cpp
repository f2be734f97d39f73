/// Disk → RAM cache → device: where a model's copies are, what of them stays, and who waits for what.
#include "core/test_tiers.hpp"

using namespace vramd;
using namespace vramd::core;

TEST_CASE("what is wanted on a device comes by way of the cache, and the next time from there: the file is read once") {
    Tiers tiers;
    CHECK(tiers.operation(tiers.load("m", "b", 1 * mib)).state == OperationState::succeeded);
    REQUIRE(tiers.copy("m", 0));
    CHECK(tiers.copy("m", 0)->tier == ModelTier::ram);
    CHECK(tiers.copy("m", 1)->tier == ModelTier::device);
    CHECK(tiers.loads == 1);
    const auto unloaded = tiers.unload("m");
    REQUIRE(unloaded);
    CHECK(unloaded->freed_bytes == 1 * mib);
    CHECK(tiers.copy("m", 1) == nullptr);
    CHECK(tiers.held(1) == 0);
    CHECK(tiers.operation(tiers.load("again", "b", 1 * mib)).state == OperationState::succeeded);
    CHECK(tiers.copy("again", 1));
    CHECK(tiers.copy("m", 1) == nullptr);  // It was unloaded: that somebody loads it anew does not bring the name back.
    REQUIRE(tiers.unload("again"));
    CHECK(tiers.held(1) == 0);
    CHECK(tiers.loads == 1);
}

TEST_CASE("on the cache's own device both are one memory: unloading keeps it where it is, and loading again takes nothing") {
    Tiers tiers;
    tiers.load("m", "a", 1 * mib);
    const AllocationId memory = tiers.copy("m", 0)->allocation;
    const auto unloaded = tiers.unload("m");
    REQUIRE(unloaded);
    CHECK(unloaded->freed_bytes == 0);
    CHECK(tiers.copy("m", 0)->tier == ModelTier::ram);
    const auto twice = tiers.unload("m");
    REQUIRE(!twice);
    CHECK(twice.error().code == Code::not_found);
    CHECK(twice.error().detail.find("/api/model/cache/m") != std::string::npos);
    CHECK(tiers.operation(tiers.load("m", "a", 1 * mib)).state == OperationState::succeeded);
    CHECK(tiers.copy("m", 0)->allocation == memory);
    CHECK(tiers.copy("m", 0)->tier == ModelTier::device);
    CHECK(tiers.loads == 1);
    CHECK(tiers.held(0) == 1 * mib);
    UnloadModelCommand drop{somebody, "m", ""};
    drop.cached = UnloadModelCommand::Cached::drop;
    CHECK(tiers.give(drop)->freed_bytes == 1 * mib);
    tiers.go_on();
    CHECK(tiers.held(0) == 0);
}

TEST_CASE("unloaded for good, a model leaves the cache too, but not while another device has it or somebody reads it there") {
    Tiers tiers;
    tiers.add_device("c", 4 * mib);
    tiers.load("m", "b", 1 * mib);
    tiers.load("m", "c", 1 * mib);
    UnloadModelCommand drop{somebody, "m", "b"};
    drop.cached = UnloadModelCommand::Cached::drop;
    CHECK(tiers.give(drop)->freed_bytes == 1 * mib);
    CHECK(tiers.copy("m", 0));
    drop.device_id.clear();
    drop.in_use = {tiers.copy("m", 0)->allocation.serial};
    const auto read = tiers.give(drop);
    REQUIRE(!read);
    CHECK(read.error().code == Code::leased);
    CHECK(tiers.copy("m", 2));  // Nothing went by half.
    drop.in_use.clear();
    CHECK(tiers.give(drop)->freed_bytes == 2 * mib);
    tiers.go_on();
    CHECK(tiers.copy("m", 0) == nullptr);
    CHECK(tiers.held(0) == 0);
    CHECK(tiers.held(2) == 0);
}

TEST_CASE("the cache stays within its bound: what came first goes first, and what can never fit is not kept") {
    Tiers tiers(3 * mib);
    for (const char* const name : {"one", "two", "three", "four"}) {
        tiers.load(name, "a", 1 * mib + static_cast<u64>(name[1]) * 4096 - static_cast<u64>('a') * 4096 - 1 * mib / 2);
        REQUIRE(tiers.unload(name));
        CHECK(excess_cached_bytes(tiers.state, 3 * mib) == 0);
    }
    CHECK(tiers.copy("four", 0));
    CHECK(tiers.copy("three", 0));
    tiers.load("large", "a", 4 * mib);
    CHECK(tiers.unload("large")->freed_bytes == 4 * mib);
    CHECK(tiers.copy("large", 0) == nullptr);
    CHECK(tiers.copy("four", 0));  // Nothing went for what could not be kept anyway.
}

TEST_CASE("a model that the cache cannot hold goes straight to its device") {
    Tiers tiers(1 * mib);
    CHECK(tiers.operation(tiers.load("m", "b", 2 * mib)).state == OperationState::succeeded);
    CHECK(tiers.copy("m", 0) == nullptr);
    CHECK(tiers.copy("m", 1));
    Tiers none(0);
    CHECK(none.operation(none.load("m", "b", 2 * mib)).state == OperationState::succeeded);
    CHECK(none.copy("m", 0) == nullptr);
    none.load("on a", "a", 1 * mib);
    CHECK(none.unload("on a")->freed_bytes == 1 * mib);
    LoadModelCommand into;
    into.caller = somebody;
    into.request.name = into.request.path = "n";
    into.request.tier = ModelTier::ram;
    CHECK(decide(none.state, into, none.now).error().code == Code::unsupported);
}

TEST_CASE("what only the cache keeps goes before anything that is loaded, and not while another copy is made from it") {
    Tiers tiers(8 * mib, 8 * mib);
    tiers.load("loaded", "a", 4 * mib);
    tiers.load("cached", "a", 3 * mib, ModelTier::ram);
    CHECK(tiers.copy("cached", 0)->tier == ModelTier::ram);
    tiers.load("third", "a", 2 * mib);
    CHECK(tiers.copy("cached", 0) == nullptr);
    CHECK(tiers.copy("loaded", 0));
    tiers.unload("third");
    // "third" is on its way from the cache to "b": it stays, and who needs its room is refused.
    const OperationId way = tiers.begin("third", "b");
    tiers.inspect(way, 2 * mib);
    tiers.finish();
    const ReclaimPlan plan = plan_reclaim(tiers.state, {0, ReclaimReach::cache_only, {}, {}, {}}, 1);
    CHECK(plan.copies.empty());
    CHECK(plan.passed_over == 1);
    tiers.go_on();
    CHECK(tiers.operation(way).state == OperationState::succeeded);
}

TEST_CASE("two who want a model on two devices read the file once; one who finds no room fails alone") {
    Tiers tiers;
    tiers.add_device("c", 1 * mib);
    const OperationId to_b = tiers.begin("m", "b");
    const OperationId to_c = tiers.begin("m", "c");
    const OperationId to_a = tiers.begin("m", "a");
    for (const OperationId id : {to_b, to_c, to_a}) tiers.inspect(id, 2 * mib);
    std::erase_if(tiers.effects, [](const Effect& effect) { return std::holds_alternative<InspectModelEffect>(effect); });
    tiers.go_on(2 * mib);
    CHECK(tiers.operation(to_b).state == OperationState::succeeded);
    CHECK(tiers.operation(to_a).state == OperationState::succeeded);
    CHECK(tiers.operation(to_c).state == OperationState::failed);
    CHECK(tiers.operation(to_c).error.code == Code::insufficient_memory);
    CHECK(tiers.loads == 1);
    CHECK(tiers.copy("m", 0)->tier == ModelTier::device);
    CHECK(tiers.copy("m", 1));
}

TEST_CASE("a cancelled load by way of the cache gives everything back at each stage, and what is whole in the cache stays") {
    for (const int stage : {0, 1, 2, 3}) {
        CAPTURE(stage);
        Tiers tiers;
        const OperationId id = tiers.begin("m", "b");
        if (stage >= 1) tiers.inspect(id, 1 * mib);  // The cache's block is being made.
        if (stage >= 2) tiers.finish();              // It is being filled.
        if (stage >= 3) {                            // The device's is being made.
            REQUIRE(tiers.give(LoadedCommand{id, 5}));
            REQUIRE(tiers.give(PlaceModelCommand{id, 3}));
        }
        REQUIRE(tiers.give(CancelOperationCommand{somebody, id}));
        CHECK(tiers.operation(id).state == OperationState::running);
        std::erase_if(tiers.effects, [](const Effect& effect) {
            return std::holds_alternative<LoadModelEffect>(effect) || std::holds_alternative<PlaceModelEffect>(effect);
        });
        if (stage == 0 || stage == 2) REQUIRE(tiers.give(OperationFailedCommand{id, {Code::cancelled, "operation", 0, 0, "ended"}}));
        tiers.go_on();
        CHECK(tiers.operation(id).state == OperationState::cancelled);
        CHECK(tiers.held(1) == 0);
        CHECK(tiers.held(0) == (stage == 3 ? 1 * mib : 0));
    }
}

TEST_CASE("giving up what the cache keeps: one by name, or all but what is in use or loaded") {
    Tiers tiers;
    tiers.load("loaded", "a", 1 * mib);
    tiers.load("one", "a", 2 * mib, ModelTier::ram);
    tiers.load("two", "a", 3 * mib, ModelTier::ram);
    CHECK(tiers.give(UncacheCommand{somebody, "nobody"}).error().code == Code::not_found);
    CHECK(tiers.give(UncacheCommand{somebody, "loaded"}).error().code == Code::conflict);
    const u64 used = tiers.copy("one", 0)->allocation.serial;
    CHECK(tiers.give(UncacheCommand{somebody, "one", {used}}).error().code == Code::leased);
    const auto all = tiers.give(UncacheCommand{somebody, "", {used}});
    REQUIRE(all);
    CHECK(all->freed_bytes == 3 * mib);
    CHECK(all->passed_over == 1);
    tiers.go_on();
    CHECK(tiers.held(0) == 3 * mib);
    CHECK(tiers.give(UncacheCommand{somebody, "one"})->freed_bytes == 2 * mib);
    tiers.go_on();
    CHECK(tiers.held(0) == 1 * mib);
}
