#include "core/model/eviction.hpp"

#include <algorithm>
#include <array>

namespace vramd::model {
namespace {
using Before = bool (*)(const Resident& a, const Resident& b, u64 now_wall_ns);

bool loaded_before(const Resident& a, const Resident& b, u64) { return a.loaded_wall_ns < b.loaded_wall_ns; }

/// load time ÷ ((idle + 1 s) × size): the smaller, the less it is missed. Compared crosswise, for a quotient would round; durations are
/// cut so that both sides fit 128 bits: 2^32 (load, ms) × 2^32 (idle, s) × 2^63 (size).
bool less_missed(const Resident& a, const Resident& b, u64 now_wall_ns) {
    static constexpr u64 most = UINT32_MAX;
    const auto load_ms = [](const Resident& model) { return std::min(model.load_ns / 1'000'000 + 1, most); };
    const auto idle_s = [now_wall_ns](const Resident& model) {
        const u64 idle_ns = now_wall_ns - std::min(now_wall_ns, model.touched_wall_ns);
        return std::min(idle_ns / 1'000'000'000 + 1, most);
    };
    const auto weight = [&](const Resident& missed, const Resident& other) {
        return u128{load_ms(missed) * idle_s(other)} * std::max<u64>(other.size_bytes, 1);
    };
    return weight(a, b) < weight(b, a);
}

struct Row {
    Before before;
    u64 idle_min_ns;
    u64 target;
};
constexpr std::array<Row, 4> policies = {{
    {&loaded_before, conservative_idle_ns, 90'00},
    {&loaded_before, 0, 75'00},
    {&loaded_before, 0, 50'00},
    {&less_missed, 0, 75'00},
}};
const Row& row_of(EvictionPolicy policy) { return policies[static_cast<std::size_t>(policy)]; }
}  // namespace

u64 default_target(EvictionPolicy policy) { return row_of(policy).target; }

namespace made {
std::vector<Resident> candidates(std::span<const Resident> models, EvictionPolicy policy, u64 now_wall_ns, Eviction& plan) {
    const Row& row = row_of(policy);
    std::vector<Resident> may_go;
    for (const Resident& model : models) {
        const u64 idle_ns = now_wall_ns - std::min(now_wall_ns, model.touched_wall_ns);
        if (model.pinned)
            plan.left.emplace_back(model.serial, Stays::pinned);
        else if (model.excluded)
            plan.left.emplace_back(model.serial, Stays::excluded);
        else if (model.in_use)
            plan.left.emplace_back(model.serial, Stays::in_use);
        else if (idle_ns < row.idle_min_ns)
            plan.left.emplace_back(model.serial, Stays::touched_lately);
        else
            may_go.push_back(model);
    }
    std::ranges::sort(may_go, {}, &Resident::serial);
    std::ranges::stable_sort(may_go, [&row, now_wall_ns](const Resident& a, const Resident& b) { return row.before(a, b, now_wall_ns); });
    return may_go;
}

void finish(Eviction& plan) { std::ranges::sort(plan.left); }
}  // namespace made
}  // namespace vramd::model
