/// Disk → RAM cache → device: where a model's copies are, what of them stays, and who waits for what.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/driver.hpp"
#include "core/reclaim.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
const Caller somebody{"me", Role::user};

/// A RAM cache on "a" beside a device "b"; loads are done as soon as their blocks are there.
struct Tiers : Driver {
    explicit Tiers(u64 cache_max_bytes = 8 * mib, u64 a_bytes = 16 * mib, u64 b_bytes = 16 * mib) {
        add_device("a", a_bytes);
        add_device("b", b_bytes);
        REQUIRE(give(SetCacheCommand{"a", cache_max_bytes}));
    }
    OperationId begin(const std::string& name, const std::string& device, ModelTier tier = ModelTier::device) {
        LoadModelCommand command;
        command.caller = somebody;
        command.request.name = name;
        command.request.path = name + ".gguf";
        command.request.device_id = device;
        command.request.tier = tier;
        return give(command)->operation;
    }
    /// What the header says; the same size is the same file.
    void inspect(OperationId operation, u64 bytes) {
        Inspection inspection;
        inspection.identity.inode = bytes;
        inspection.memory_bytes = bytes;
        REQUIRE(give(InspectedCommand{operation, inspection, 1, 2}));
    }
    /// Answers everything that is asked for, but headers.
    void go_on(u64 inspected_bytes = 0) {
        for (int round = 0; round < 20; ++round) {
            finish();
            const auto asked = std::exchange(effects, {});
            for (const Effect& effect : asked) {
                if (const auto* load = std::get_if<LoadModelEffect>(&effect)) {
                    loads += state.catalogue.whole_copy(state.catalogue.loading_by(load->operation)->model) == nullptr ? 1 : 0;
                    REQUIRE(give(LoadedCommand{load->operation, 5}));
                } else if (const auto* place = std::get_if<PlaceModelEffect>(&effect)) {
                    REQUIRE(give(PlaceModelCommand{place->operation, 3}));
                } else if (const auto* inspects = std::get_if<InspectModelEffect>(&effect); inspects != nullptr && inspected_bytes > 0) {
                    inspect(inspects->operation, inspected_bytes);
                }
            }
            now.wall_ns += ns_per_second;
        }
        REQUIRE(audit(state) == std::vector<std::string>{});
    }
    OperationId load(const std::string& name, const std::string& device, u64 bytes, ModelTier tier = ModelTier::device) {
        const OperationId id = begin(name, device, tier);
        go_on(bytes);
        return id;
    }
    Result<Decision> unload(const std::string& name, const std::string& device = {}) {
        auto made = give(UnloadModelCommand{somebody, name, device});
        go_on();
        return made;
    }
    const model::Operation& operation(OperationId id) { return *state.catalogue.operation(id); }
    const model::Copy* copy(const std::string& name, u16 device) {
        const model::Model* model = state.catalogue.model_named(name);
        return model == nullptr ? nullptr : state.catalogue.copy_on(model->id.serial, device);
    }
    u64 held(u16 device) { return state.books.sums(device).committed; }

    int loads = 0;  ///< From files.
};
}  // namespace

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

TEST_CASE("a name that only the cache keeps for another file is free for who loads by it") {
    Tiers tiers;
    tiers.load("m", "a", 1 * mib);
    tiers.unload("m");
    CHECK(tiers.operation(tiers.load("m", "a", 2 * mib)).state == OperationState::succeeded);
    CHECK(tiers.copy("m", 0)->tier == ModelTier::device);
    CHECK(tiers.held(0) == 2 * mib);
    CHECK(tiers.operation(tiers.load("m", "a", 3 * mib)).error.code == Code::name_in_use);
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
