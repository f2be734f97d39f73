/// For this room's tests: a RAM cache beside a second device, and loads that are done as soon as their blocks are there.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>

#include "core/driver.hpp"
#include "core/reclaim.hpp"

namespace vramd::core {
inline const Caller somebody{"me", Role::user};

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
}  // namespace vramd::core
