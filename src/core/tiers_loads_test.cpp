/// Disk → RAM cache → device: loads on their way, the names that they take, and what becomes of them when a core or a copy goes.
#include "core/test_tiers.hpp"

using namespace vramd;
using namespace vramd::core;

TEST_CASE("a name that only the cache keeps for another file is free for who loads by it") {
    Tiers tiers;
    tiers.load("m", "a", 1 * mib);
    tiers.unload("m");
    CHECK(tiers.operation(tiers.load("m", "a", 2 * mib)).state == OperationState::succeeded);
    CHECK(tiers.copy("m", 0)->tier == ModelTier::device);
    CHECK(tiers.held(0) == 2 * mib);
    CHECK(tiers.operation(tiers.load("m", "a", 3 * mib)).error.code == Code::name_in_use);
}

TEST_CASE("a load that finds no place leaves the name to the cache; one that finds it where that lies takes both") {
    Tiers tiers;
    tiers.load("m", "a", 1 * mib);
    tiers.unload("m");
    const auto refused = tiers.operation(tiers.load("m", "b", 17 * mib));
    CHECK(refused.state == OperationState::failed);
    CHECK(refused.error.code == Code::insufficient_memory);
    REQUIRE(tiers.copy("m", 0));
    CHECK(tiers.held(0) == 1 * mib);
    CHECK(tiers.operation(tiers.load("m", "a", 16 * mib)).state == OperationState::succeeded);
    CHECK(tiers.held(0) == 16 * mib);
}

TEST_CASE("a cancelled load whose copy is on its way ends with that copy, though it is looked at once more before") {
    Tiers tiers;
    const OperationId id = tiers.begin("m", "b");
    tiers.inspect(id, 1 * mib);
    tiers.finish();
    SUBCASE("the copy from which its own is to be made") {}
    SUBCASE("its own") {
        REQUIRE(tiers.give(LoadedCommand{id, 5}));
        REQUIRE(tiers.give(PlaceModelCommand{id, 3}));
        tiers.finish();
    }
    REQUIRE(tiers.give(CancelOperationCommand{somebody, id}));
    REQUIRE(tiers.give(PlaceModelCommand{id, 3}));
    CHECK(audit(tiers.state) == std::vector<std::string>{});
    CHECK(tiers.operation(id).state == OperationState::running);
    REQUIRE(tiers.give(OperationFailedCommand{id, {Code::cancelled, "operation", 0, 0, "ended"}}));
    CHECK(tiers.operation(id).state == OperationState::cancelled);
}

TEST_CASE("what a load waits to be made from stays for it: another's load by way of the cache goes straight from its file") {
    Tiers tiers(2 * mib);
    tiers.load("one", "a", 2 * mib, ModelTier::ram);
    tiers.load("held", "b", 16 * mib);
    const OperationId waits = tiers.begin("one", "b");
    tiers.effects.clear();
    Inspection inspection;
    inspection.identity.inode = inspection.memory_bytes = 2 * mib;
    REQUIRE(tiers.give(InspectedCommand{waits, inspection, 1, 2}));  // "held" goes for it, but not yet.
    REQUIRE(tiers.operation(waits).model != 0);
    tiers.effects.clear();
    tiers.add_device("c", 16 * mib);
    CHECK(tiers.operation(tiers.load("other", "c", 2 * mib - 4096)).state == OperationState::succeeded);
    CHECK(tiers.copy("other", 0) == nullptr);
    REQUIRE(tiers.copy("one", 0));
    CHECK(tiers.operation(tiers.load("one", "a", 2 * mib - 8192)).error.code == Code::name_in_use);
    CHECK(tiers.operation(waits).state == OperationState::running);
}

TEST_CASE("a load whose cached copy goes before it has its place reads the file again") {
    Tiers tiers;
    tiers.load("large", "b", 16 * mib);
    tiers.load("m", "a", 1 * mib, ModelTier::ram);
    const OperationId id = tiers.begin("m", "b");
    tiers.effects.clear();
    tiers.inspect(id, 1 * mib);  // "large" goes for it.
    REQUIRE(tiers.copy("large", 1) == nullptr);
    REQUIRE(tiers.give(UncacheCommand{somebody, "m"}));
    CHECK(audit(tiers.state) == std::vector<std::string>{});
    CHECK(tiers.operation(id).model == 0);
    const int before = tiers.loads;
    SUBCASE("in the same core") {}
    SUBCASE("in the next one") {
        auto copy = restore(save(tiers.state));
        REQUIRE(copy);
        tiers.state = *std::move(copy);
        tiers.effects.clear();
        for (const Effect& effect : unfinished(tiers.state)) tiers.effects.push_back(effect);
    }
    tiers.go_on(1 * mib);
    CHECK(tiers.operation(id).state == OperationState::succeeded);
    CHECK(tiers.copy("m", 1));
    CHECK(tiers.loads == before + 1);
}

TEST_CASE("a core that dies on the way from the cache goes on where it was: its effects are asked for again") {
    Tiers tiers;
    const OperationId id = tiers.begin("m", "b");
    tiers.inspect(id, 1 * mib);
    for (int step = 0; step < 4; ++step) {
        auto copy = restore(save(tiers.state));
        REQUIRE(copy);
        CHECK(state_hash(*copy) == state_hash(tiers.state));
        Tiers next;
        next.state = *std::move(copy);
        for (const Effect& effect : unfinished(next.state)) next.effects.push_back(effect);
        next.go_on();
        CHECK(next.operation(id).state == OperationState::succeeded);
        CHECK(next.copy("m", 1));
        if (step == 0) tiers.finish();
        if (step == 1) REQUIRE(tiers.give(LoadedCommand{id, 5}));
        if (step == 2) REQUIRE(tiers.give(PlaceModelCommand{id, 3}));
    }
}

TEST_CASE("a cache that the configuration makes smaller or moves costs nobody their copy") {
    Tiers tiers;
    tiers.load("one", "a", 2 * mib, ModelTier::ram);
    tiers.load("two", "a", 3 * mib, ModelTier::ram);
    REQUIRE(tiers.give(SetCacheCommand{"a", 2 * mib}));
    tiers.go_on();
    CHECK(tiers.copy("one", 0)->tier == ModelTier::ram);
    CHECK(tiers.copy("two", 0)->tier == ModelTier::device);
    REQUIRE(tiers.give(SetCacheCommand{"b", 2 * mib}));
    tiers.go_on();
    CHECK(tiers.copy("one", 0)->tier == ModelTier::device);
    CHECK(tiers.held(0) == 5 * mib);
}

TEST_CASE("which models go first is what was set: by load, by touch, or by what each is missed; and no more than are needed") {
    const auto first_to_go = [](EvictionOrder order) {
        Tiers tiers;
        REQUIRE(tiers.give(SetCacheCommand{"a", 8 * mib, order}));
        for (const char* const name : {"old but touched", "idle", "dear"}) {
            const OperationId id = tiers.begin(name, "a");
            tiers.inspect(id, 1 * mib + (name[0] == 'o' ? 0 : name[0] == 'i' ? 4096 : 8192));
            tiers.finish();
            std::erase_if(tiers.effects, [](const Effect& effect) { return std::holds_alternative<LoadModelEffect>(effect); });
            REQUIRE(tiers.give(LoadedCommand{id, name[0] == 'i'   ? 100 * ns_per_second
                                                 : name[0] == 'd' ? 10 * ns_per_second
                                                                  : ns_per_second}));
            tiers.go_on();
        }
        tiers.now.wall_ns += 100 * ns_per_second;
        REQUIRE(tiers.give(AccessCommand{tiers.copy("old but touched", 0)->allocation}));
        tiers.now.wall_ns += 10 * ns_per_second;
        const ReclaimPlan plan = plan_reclaim(tiers.state, {0, ReclaimReach::models_only, {}, {}, {}, {}, tiers.now.wall_ns}, 1);
        REQUIRE(plan.copies.size() == 1);
        return tiers.state.catalogue.model(tiers.state.catalogue.copy(plan.copies[0])->model)->names.front();
    };
    CHECK(first_to_go(EvictionOrder::fifo) == "old but touched");
    CHECK(first_to_go(EvictionOrder::lru) == "idle");
    CHECK(first_to_go(EvictionOrder::smart) == "dear");  // Ten times as dear as the first, but eleven times as long idle.
    Tiers tiers;
    tiers.load("small", "a", 1 * mib);
    tiers.load("large", "a", 6 * mib);
    const ReclaimPlan plan = plan_reclaim(tiers.state, {0, ReclaimReach::models_only, {}, {}, {}}, 3 * mib);
    CHECK(plan.copies == std::vector<u64>{tiers.copy("large", 0)->allocation.serial});
    CHECK(plan.bytes == 6 * mib);
}

TEST_CASE("a load that passes the high watermark lets models go down to the low one at once; up to it, and without marks, nothing goes") {
    const auto held_after = [](Watermarks marks, u64 last_bytes) {
        Tiers tiers(0, 10 * mib, 10 * mib);
        REQUIRE(tiers.give(SetCacheCommand{"a", 0, EvictionOrder::fifo, marks}));
        for (const char* const name : {"one", "two", "three"}) tiers.load(name, "a", 2 * mib + static_cast<u64>(name[1]) * 4096);
        const OperationId last = tiers.begin("last", "a");
        tiers.inspect(last, last_bytes);
        tiers.go_on(last_bytes);
        CHECK(tiers.operation(last).state == OperationState::succeeded);
        std::string names;
        for (const auto& [serial, model] : tiers.state.catalogue.models()) names += model.names.front() + " ";
        return names;
    };
    // Each of the three takes 2 MiB and some 400 KiB: 7.3 MiB in all.
    CHECK(held_after({80'00, 70'00}, 64 * kib) == "one two three last ");
    CHECK(held_after({80'00, 70'00}, mib) == "two three last ");
    CHECK(held_after({80'00, 20'00}, mib) == "last ");
    CHECK(held_after(no_watermarks, mib) == "one two three last ");
    CHECK(held_after({80'00, 70'00}, 5 * mib) == "last ");  // One had to go for it; down to 70 % all three.
}

TEST_CASE("ahead of need nothing goes that is pinned or used, and a load that fits goes on all the same") {
    Tiers tiers(0, 10 * mib, 10 * mib);
    REQUIRE(tiers.give(SetCacheCommand{"a", 0, EvictionOrder::fifo, {50'00, 10'00}}));
    tiers.load("used", "a", 4 * mib);
    const OperationId last = tiers.begin("last", "a");
    Inspection inspection;
    inspection.identity.inode = 7;
    inspection.memory_bytes = 3 * mib;
    REQUIRE(tiers.give(InspectedCommand{last, inspection, 1, 2, {}, {tiers.copy("used", 0)->allocation.serial}}));
    tiers.go_on();
    CHECK(tiers.operation(last).state == OperationState::succeeded);
    CHECK(tiers.copy("used", 0));
}

TEST_CASE("a copy that is made from the cache passes the watermark like a load, and what it is made from stays") {
    Tiers tiers(8 * mib);
    REQUIRE(tiers.give(SetCacheCommand{"a", 8 * mib, EvictionOrder::fifo, {50'00, 40'00}}));
    tiers.load("one", "b", 6 * mib);
    tiers.load("two", "b", 5 * mib);
    CHECK(!tiers.copy("one", 1));
    CHECK(tiers.copy("two", 1));
    CHECK(tiers.copy("two", 0)->tier == ModelTier::ram);
}

TEST_CASE("memory of idle models is given back only where they are idle for as long as is asked, cached copies at once") {
    Tiers tiers;
    tiers.load("old", "a", 2 * mib);
    tiers.load("new", "a", 3 * mib);
    tiers.load("kept", "a", mib, ModelTier::ram);
    const auto gone = [&](ReclaimReach reach, u64 idle_min_ns) {
        const ReclaimPlan plan = plan_reclaim(tiers.state, {0, reach, {}, {}, {}, {}, tiers.now.wall_ns, idle_min_ns}, number_max);
        std::string names;
        for (const u64 serial : plan.copies)
            names += tiers.state.catalogue.model(tiers.state.catalogue.copy(serial)->model)->names.front() + " ";
        return names;
    };
    CHECK(gone(ReclaimReach::cache, 0) == "kept ");
    const u64 old_is_idle_ns = tiers.now.wall_ns - tiers.copy("old", 0)->loaded_wall_ns;
    CHECK(gone(ReclaimReach::models, old_is_idle_ns) == "kept old ");
    CHECK(gone(ReclaimReach::models, old_is_idle_ns + 1) == "kept ");
    CHECK(gone(ReclaimReach::models, 0) == "kept old new ");
}

TEST_CASE("who asks for a model that is there touches it: under lru it is not the next to go") {
    Tiers tiers(0, 10 * mib, 10 * mib);
    REQUIRE(tiers.give(SetCacheCommand{"a", 0, EvictionOrder::lru, no_watermarks}));
    tiers.load("old", "a", 4 * mib);
    tiers.load("newer", "a", 3 * mib);
    tiers.load("old", "a", 4 * mib);
    tiers.load("third", "a", 5 * mib);
    CHECK(tiers.copy("old", 0));
    CHECK(!tiers.state.catalogue.model_named("newer"));
}
