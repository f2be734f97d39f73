// The orders and plans against references that share nothing with them: formulas in digits of paper arithmetic, victims by trying.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "base/choices.hpp"
#include "core/model/eviction.hpp"

using namespace vramd;
using namespace vramd::model;

namespace {
constexpr EvictionOrder all_orders[] = {EvictionOrder::fifo, EvictionOrder::lru, EvictionOrder::smart};

/// a × b × c in base 256, the highest digit first, as on paper.
std::array<u32, 32> on_paper(u64 a, u64 b, u64 c) {
    std::array<u32, 32> digits{};
    digits[31] = 1;
    for (u64 factor : {a, b, c}) {
        std::array<u32, 32> product{};
        for (std::size_t shift = 0; factor > 0; ++shift, factor >>= 8)
            for (std::size_t i = shift; i < 32; ++i) product[i - shift] += digits[i] * static_cast<u32>(factor & 255);
        for (std::size_t i = 31; i > 0; --i) {
            product[i - 1] += product[i] >> 8;
            product[i] &= 255;
        }
        digits = product;
    }
    return digits;
}
u64 idle_of(const Resident& model, u64 now) { return model.touched_wall_ns >= now ? 0 : now - model.touched_wall_ns; }
u64 with_a_second(u64 idle) { return idle > UINT64_MAX - 1'000'000'000 ? UINT64_MAX : idle + 1'000'000'000; }

bool reference_before(EvictionOrder order, const Resident& a, const Resident& b, u64 now) {
    switch (order) {
        case EvictionOrder::fifo:
            return std::pair(a.loaded_wall_ns, a.serial) < std::pair(b.loaded_wall_ns, b.serial);
        case EvictionOrder::lru:
            return std::pair(a.touched_wall_ns, a.serial) < std::pair(b.touched_wall_ns, b.serial);
        case EvictionOrder::smart:
            break;
    }
    // load_a ÷ (idle_a × size_a) < load_b ÷ (idle_b × size_b)
    const auto left = on_paper(std::max<u64>(a.load_ns, 1), with_a_second(idle_of(b, now)), std::max<u64>(b.size_bytes, 1));
    const auto right = on_paper(std::max<u64>(b.load_ns, 1), with_a_second(idle_of(a, now)), std::max<u64>(a.size_bytes, 1));
    return left != right ? left < right : a.serial < b.serial;
}

u64 odd_figure(Choices& choices) {
    static constexpr u64 edges[] = {0,         1, 2, 3, 1000, 1'000'000'000, u64{1} << 32, (u64{1} << 32) + 1, number_max, number_max + 1,
                                    UINT64_MAX};
    return choices.one_in(2) ? choices.below(8) : edges[choices.below(std::size(edges))] - choices.below(2);
}
std::vector<Resident> odd_models(Choices& choices, u64 count_max) {
    std::vector<Resident> models;
    for (u64 serial = 1, count = choices.below(count_max + 1); serial <= count; ++serial)
        models.push_back({serial, odd_figure(choices), odd_figure(choices), odd_figure(choices), odd_figure(choices), choices.one_in(6),
                          choices.one_in(6), choices.one_in(6)});
    return models;
}
}  // namespace

TEST_CASE("each order is the formula, exactly, for the smallest and the largest figures, and it is total") {
    Choices choices = Choices::from_seed(71);
    for (int round = 0; round < 4000; ++round) {
        const std::vector<Resident> models = odd_models(choices, 4);
        const u64 now = odd_figure(choices);
        for (const EvictionOrder order : all_orders)
            for (const Resident& a : models)
                for (const Resident& b : models) {
                    REQUIRE(goes_before(order, a, b, now) == (a.serial != b.serial && reference_before(order, a, b, now)));
                    REQUIRE((a.serial == b.serial || goes_before(order, a, b, now) != goes_before(order, b, a, now)));
                    for (const Resident& c : models)
                        if (goes_before(order, a, b, now) && goes_before(order, b, c, now)) REQUIRE(goes_before(order, a, c, now));
                }
    }
}

TEST_CASE("a plan frees enough if that can be, from those that may go, and none of its victims needlessly") {
    Choices choices = Choices::from_seed(72);
    for (int round = 0; round < 4000; ++round) {
        std::vector<Resident> models = odd_models(choices, 9);
        for (Resident& model : models) model.size_bytes = choices.below(20);
        const u64 now = odd_figure(choices), wanted = choices.below(90);
        const EvictionOrder order = all_orders[choices.below(3)];
        const Eviction plan = plan_eviction(models, order, now, [&](u64 freed) { return freed >= wanted; });
        u64 could = 0, freed = 0;
        for (const Resident& model : models)
            if (!model.pinned && !model.in_use && !model.excluded) could += model.size_bytes;
        const Resident* before = nullptr;
        for (const u64 serial : plan.unload) {
            const Resident& model = models[serial - 1];
            REQUIRE(!(model.pinned || model.in_use || model.excluded));
            REQUIRE((before == nullptr || reference_before(order, *before, model, now)));
            before = &model;
            freed += model.size_bytes;
        }
        REQUIRE(freed == plan.freed_bytes);
        REQUIRE((freed >= wanted || freed == could));
        if (freed >= wanted)
            for (const u64 serial : plan.unload) REQUIRE(freed - models[serial - 1].size_bytes < wanted);
        REQUIRE(plan.unload.size() + plan.left.size() == models.size());
        // Whoever stays although its turn had come is one that the last victim makes up for; all others come after the last victim.
        for (const auto& [serial, why] : plan.left)
            if (why == Stays::not_needed && before != nullptr && reference_before(order, models[serial - 1], *before, now))
                REQUIRE(freed >= wanted);
    }
}

TEST_CASE("the watermark asks for nothing up to the high mark, and beyond it for all above the low one, to the byte") {
    CHECK(watermark(0, 0) == 0);
    CHECK(watermark(80, 100) == 0);
    CHECK(watermark(81, 100) == 11);
    CHECK(watermark(100, 100) == 30);
    CHECK(watermark(130, 100) == 60);
    CHECK(watermark(number_max, number_max) == number_max - (number_max / 10 * 7 + number_max % 10 * 7 / 10));
    CHECK(watermark(UINT64_MAX, 0) == UINT64_MAX);
    CHECK(watermark(100, 100, {100'00, 100'00}) == 0);
    CHECK(watermark(101, 100, {100'00, 100'00}) == 1);
    CHECK(watermark(90, 100, {80'00, 95'00}) == 0);  // A low mark above the high one asks for nothing.
    Choices choices = Choices::from_seed(73);
    for (int round = 0; round < 3000; ++round) {
        const u64 capacity = 1 + choices.below(1000), usage = choices.below(1300);
        const Watermarks marks{choices.below(100'01), choices.below(100'01)};
        const u64 go = watermark(usage, capacity, marks);
        REQUIRE(go <= usage);
        REQUIRE((go == 0 || usage * 100'00 > capacity * marks.high));
        if (usage * 100'00 > capacity * marks.high && marks.low <= marks.high) REQUIRE(go > 0);
        if (go == 0) continue;
        REQUIRE((usage - go) * 100'00 <= capacity * marks.low);     // It is enough,
        REQUIRE((usage - go + 1) * 100'00 > capacity * marks.low);  // and a byte less is not.
    }
}

TEST_CASE("the policies of optimize-models are rows over the orders") {
    CHECK((rule_of(EvictionPolicy::conservative).order == EvictionOrder::fifo));
    CHECK((rule_of(EvictionPolicy::smart).order == EvictionOrder::smart));
    for (const EvictionOrder order : all_orders) CHECK((enum_named<EvictionOrder>(name_of(order)) == order));
    Choices choices = Choices::from_seed(74);
    for (int round = 0; round < 1000; ++round) {
        const std::vector<Resident> models = odd_models(choices, 6);
        const auto enough = [wanted = odd_figure(choices)](u64 freed) { return freed >= wanted; };
        const u64 now = odd_figure(choices);
        REQUIRE(plan_eviction(models, EvictionPolicy::balanced, now, {}, enough).unload ==
                plan_eviction(models, EvictionOrder::fifo, now, enough).unload);
        REQUIRE(plan_eviction(models, EvictionPolicy::smart, now, {}, enough).unload ==
                plan_eviction(models, EvictionOrder::smart, now, enough).unload);
    }
}
