#include "core/model/eviction.hpp"

#include <algorithm>
#include <array>
#include <compare>

namespace vramd::model {
namespace {
constexpr u64 second_ns = 1'000'000'000;
constexpr u64 whole = 100'00;

u64 idle_ns(const Resident& model, u64 now_wall_ns) { return now_wall_ns - std::min(now_wall_ns, model.touched_wall_ns); }

/// A product of three: 192 bits, compared from the highest on.
struct Product {
    u64 high = 0;
    u128 low = 0;
    auto operator<=>(const Product&) const = default;
};
Product product_of(u64 a, u64 b, u64 c) {
    const u128 ab = u128{a} * b;
    const u128 lower = u128{static_cast<u64>(ab)} * c;
    const u128 upper = u128{static_cast<u64>(ab >> 64)} * c + (lower >> 64);
    return {static_cast<u64>(upper >> 64), (u128{static_cast<u64>(upper)} << 64) | static_cast<u64>(lower)};
}

std::strong_ordering by_load(const Resident& a, const Resident& b, u64) { return a.loaded_wall_ns <=> b.loaded_wall_ns; }
std::strong_ordering by_touch(const Resident& a, const Resident& b, u64) { return a.touched_wall_ns <=> b.touched_wall_ns; }

/// load time ÷ ((idle + 1 s) × size): the smaller, the less it is missed. Compared crosswise, for a quotient would round. The second
/// keeps what was touched this instant from outweighing all else.
std::strong_ordering by_miss(const Resident& a, const Resident& b, u64 now_wall_ns) {
    const auto weight = [now_wall_ns](const Resident& missed, const Resident& other) {
        const u64 idle = std::min(idle_ns(other, now_wall_ns), UINT64_MAX - second_ns) + second_ns;
        return product_of(std::max<u64>(missed.load_ns, 1), idle, std::max<u64>(other.size_bytes, 1));
    };
    return weight(a, b) <=> weight(b, a);
}

using Compare = std::strong_ordering (*)(const Resident& a, const Resident& b, u64 now_wall_ns);
constexpr std::array<Compare, 3> orders = {&by_load, &by_touch, &by_miss};

constexpr std::array<EvictionRule, 4> policies = {{
    {EvictionOrder::fifo, conservative_idle_ns, 90'00},
    {EvictionOrder::fifo, 0, 75'00},
    {EvictionOrder::fifo, 0, 50'00},
    {EvictionOrder::smart, 0, 75'00},
}};
}  // namespace

const EvictionRule& rule_of(EvictionPolicy policy) { return policies[static_cast<std::size_t>(policy)]; }

u64 watermark(u64 usage_bytes, u64 capacity_bytes, const Watermarks& marks) {
    if (u128{usage_bytes} * whole <= u128{capacity_bytes} * marks.high) return 0;
    const u128 low_bytes = u128{capacity_bytes} * marks.low / whole;
    return low_bytes >= usage_bytes ? 0 : usage_bytes - static_cast<u64>(low_bytes);
}

bool goes_before(EvictionOrder order, const Resident& a, const Resident& b, u64 now_wall_ns) {
    const std::strong_ordering compared = orders[static_cast<std::size_t>(order)](a, b, now_wall_ns);
    return compared != std::strong_ordering::equal ? compared == std::strong_ordering::less : a.serial < b.serial;
}

namespace made {
std::vector<Resident> candidates(std::span<const Resident> models, const EvictionRule& rule, u64 now_wall_ns, Eviction& plan) {
    std::vector<Resident> may_go;
    for (const Resident& model : models) {
        if (model.pinned)
            plan.left.emplace_back(model.serial, Stays::pinned);
        else if (model.excluded)
            plan.left.emplace_back(model.serial, Stays::excluded);
        else if (model.in_use)
            plan.left.emplace_back(model.serial, Stays::in_use);
        else if (idle_ns(model, now_wall_ns) < rule.idle_min_ns)
            plan.left.emplace_back(model.serial, Stays::touched_lately);
        else
            may_go.push_back(model);
    }
    std::ranges::sort(may_go,
                      [&rule, now_wall_ns](const Resident& a, const Resident& b) { return goes_before(rule.order, a, b, now_wall_ns); });
    return may_go;
}

void spare_needless(Eviction& plan, std::span<const u64> victim_bytes, const std::function<bool(u64 freed_bytes)>& enough) {
    if (victim_bytes.size() < 2) return;
    // The last one was taken because it was not enough before. Which one stays decides what else may: so from the most missed on.
    for (std::size_t i = victim_bytes.size() - 1; i-- > 0;) {
        if (!enough(plan.freed_bytes - victim_bytes[i])) continue;
        plan.freed_bytes -= victim_bytes[i];
        plan.left.emplace_back(plan.unload[i], Stays::not_needed);
        plan.unload.erase(plan.unload.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

void finish(Eviction& plan) { std::ranges::sort(plan.left); }
}  // namespace made
}  // namespace vramd::model
