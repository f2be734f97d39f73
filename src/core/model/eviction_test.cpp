#include "core/model/eviction.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/choices.hpp"
#include "base/clock.hpp"

using namespace vramd;
using namespace vramd::model;

namespace {
constexpr u64 now = 1'000'000 * ns_per_second;

Resident one(u64 serial, u64 size_bytes, u64 loaded_ago_s, u64 touched_ago_s, u64 load_ms) {
    return {serial, size_bytes, now - loaded_ago_s * ns_per_second, now - touched_ago_s * ns_per_second, load_ms * 1'000'000, false,
            false,  false};
}
auto until(u64 bytes) {
    return [bytes](u64 freed) { return freed >= bytes; };
}
using Serials = std::vector<u64>;
}  // namespace

TEST_CASE("balanced and aggressive unload the oldest load first, as far as needed") {
    const std::vector<Resident> models = {one(1, 100, 50, 1, 5), one(2, 100, 90, 1, 5), one(3, 100, 70, 1, 5)};
    CHECK(plan_eviction(models, EvictionPolicy::balanced, now, {}, until(150)).unload == Serials{2, 3});
    CHECK(plan_eviction(models, EvictionPolicy::aggressive, now, {}, until(1000)).unload == Serials{2, 3, 1});
    CHECK(plan_eviction(models, EvictionPolicy::balanced, now, {}, until(0)).unload.empty());
    CHECK(default_target(EvictionPolicy::conservative) == 90'00);
    CHECK(default_target(EvictionPolicy::balanced) == 75'00);
    CHECK(default_target(EvictionPolicy::aggressive) == 50'00);
    CHECK(default_target(EvictionPolicy::smart) == 75'00);
}

TEST_CASE("conservative leaves what was touched in the last ten minutes") {
    const std::vector<Resident> models = {one(1, 100, 9000, 599, 5), one(2, 100, 8000, 600, 5)};
    const Eviction plan = plan_eviction(models, EvictionPolicy::conservative, now, {}, until(1000));
    CHECK(plan.unload == Serials{2});
    CHECK(plan.left == std::vector<std::pair<u64, Stays>>{{1, Stays::touched_lately}});
}

TEST_CASE("smart unloads first what is large, long untouched and quick to load again") {
    CHECK(plan_eviction(std::vector{one(1, 100, 9, 9, 5), one(2, 900, 9, 9, 5)}, EvictionPolicy::smart, now, {}, until(1)).unload ==
          Serials{2});
    CHECK(plan_eviction(std::vector{one(1, 100, 9, 9, 5), one(2, 100, 9, 99, 5)}, EvictionPolicy::smart, now, {}, until(1)).unload ==
          Serials{2});
    CHECK(plan_eviction(std::vector{one(1, 100, 9, 9, 5), one(2, 100, 9, 9, 500)}, EvictionPolicy::smart, now, {}, until(1)).unload ==
          Serials{1});
    // The largest figures do not wrap.
    const Resident huge{1, number_max, 0, 0, UINT64_MAX, false, false, false};
    CHECK(plan_eviction(std::vector{huge, one(2, 1, 1, 1, 1)}, EvictionPolicy::smart, UINT64_MAX, {}, until(number_max)).unload.size() >=
          1);
}

TEST_CASE("pinned, excluded and used models stay under every policy, and each that stays says why") {
    std::vector<Resident> models = {one(1, 100, 9000, 9000, 5), one(2, 100, 9000, 9000, 5), one(3, 100, 9000, 9000, 5),
                                    one(4, 100, 9000, 9000, 5)};
    models[0].pinned = models[1].excluded = models[2].in_use = true;
    for (const auto policy : {EvictionPolicy::conservative, EvictionPolicy::balanced, EvictionPolicy::aggressive, EvictionPolicy::smart}) {
        const Eviction plan = plan_eviction(models, policy, now, {}, until(UINT64_MAX));
        CHECK(plan.unload == Serials{4});
        CHECK(plan.left == std::vector<std::pair<u64, Stays>>{{1, Stays::pinned}, {2, Stays::excluded}, {3, Stays::in_use}});
    }
}

TEST_CASE("bounds hold: neither more models nor more bytes go than allowed, and a smaller one may go in place of one too large") {
    const std::vector<Resident> models = {one(1, 500, 90, 1, 5), one(2, 100, 80, 1, 5), one(3, 50, 70, 1, 5)};
    CHECK(plan_eviction(models, EvictionPolicy::balanced, now, {1, UINT64_MAX}, until(UINT64_MAX)).unload == Serials{1});
    CHECK(plan_eviction(models, EvictionPolicy::balanced, now, {UINT64_MAX, 160}, until(UINT64_MAX)).unload == Serials{2, 3});
    CHECK(plan_eviction(models, EvictionPolicy::balanced, now, {0, UINT64_MAX}, until(UINT64_MAX)).unload.empty());
}

TEST_CASE("every model is either unloaded or left, once, whatever is asked") {
    Choices choices = Choices::from_seed(31);
    for (int round = 0; round < 3000; ++round) {
        std::vector<Resident> models;
        for (u64 serial = 1 + choices.below(8); serial > 0; --serial) {
            Resident model = one(serial, choices.below(1000), choices.below(2000), choices.below(2000), choices.below(100));
            model.pinned = choices.one_in(5), model.in_use = choices.one_in(5), model.excluded = choices.one_in(5);
            models.push_back(model);
        }
        const EvictionBounds bounds{choices.below(9), choices.one_in(2) ? UINT64_MAX : choices.below(3000)};
        const u64 wanted = choices.below(4000);
        const Eviction plan = plan_eviction(models, static_cast<EvictionPolicy>(choices.below(4)), now, bounds, until(wanted));
        REQUIRE(plan.unload.size() + plan.left.size() == models.size());
        REQUIRE(plan.unload.size() <= bounds.models_max);
        REQUIRE(plan.freed_bytes <= bounds.bytes_max);
        Serials all = plan.unload;
        u64 bytes = 0;
        for (const u64 serial : plan.unload) {
            const Resident& model = *std::ranges::find(models, serial, &Resident::serial);
            REQUIRE(!(model.pinned || model.in_use || model.excluded));
            REQUIRE(bytes < std::max<u64>(wanted, 1));  // None goes once it is enough.
            bytes += model.size_bytes;
        }
        REQUIRE(bytes == plan.freed_bytes);
        for (const auto& [serial, why] : plan.left) all.push_back(serial);
        std::ranges::sort(all);
        REQUIRE(std::ranges::adjacent_find(all) == all.end());
    }
}
