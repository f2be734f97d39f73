/// Which models go when room is wanted, in which order and how far: orders and policies as tables of pure functions.
///
/// An order says whose turn it is: `fifo`, `lru` or `smart`. It is what loads that need room and the watermark go by, in the daemon and in
/// `vramctl simulate` alike. A policy of optimize-models is a row over an order: what it leaves in peace, and how far down it goes.
///
/// Invariants
/// 1. Who may go at all is no order's business: pinned, excluded, loading and used models never do.
/// 2. An order is total and exact: compared in integers of as many bits as the products have; equal models go by their serials.
/// 3. No model goes needlessly: without any one of the victims it would not be enough. So where the last victim is large, earlier ones
///    that it makes up for are spared, the most missed first.
///
/// Nothing is done here: the plan's unloads are commands like any other.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/model/catalogue.hpp"

namespace vramd::model {
/// Policies of optimize-models.
enum class EvictionPolicy : u8 {
    conservative,  ///< Oldest load first, but only what nobody touched for ten minutes, and only down to 90.
    balanced,      ///< Oldest load first, down to 75.
    aggressive,    ///< Oldest load first, down to 50.
    smart,         ///< In the smart order, down to 75.
};
inline constexpr u64 conservative_idle_ns = 600'000'000'000;

/// What a policy means.
struct EvictionRule {
    EvictionOrder order = EvictionOrder::fifo;
    u64 idle_min_ns = 0;  ///< Who was touched later stays.
    u64 target = 0;       ///< What it goes down to unless told otherwise: hundredths of a pressure level.
};
[[nodiscard]] const EvictionRule& rule_of(EvictionPolicy policy);
[[nodiscard]] inline u64 default_target(EvictionPolicy policy) { return rule_of(policy).target; }

using vramd::Watermarks;
/// How many bytes are to go where `usage_bytes` of `capacity_bytes` are used: 0 up to the high mark, what lies above the low one beyond it.
/// Exact for all figures. With both marks at 100 %: what does not fit.
[[nodiscard]] u64 watermark(u64 usage_bytes, u64 capacity_bytes, const Watermarks& marks = {});

/// A model as an order sees it.
struct Resident {
    u64 serial = 0;
    u64 size_bytes = 0;
    u64 loaded_wall_ns = 0;
    u64 touched_wall_ns = 0;  ///< Loaded, read or written.
    u64 load_ns = 0;          ///< What loading it took.
    bool pinned = false;
    bool in_use = false;
    bool excluded = false;
};
/// Whether `a` goes before `b`. A strict total order over models of different serials.
[[nodiscard]] bool goes_before(EvictionOrder order, const Resident& a, const Resident& b, u64 now_wall_ns);

/// Why a model stays.
enum class Stays : u8 { pinned, excluded, in_use, touched_lately, not_needed, bound };

struct EvictionBounds {
    u64 models_max = UINT64_MAX;
    u64 bytes_max = UINT64_MAX;
};
struct Eviction {
    std::vector<u64> unload;                  ///< Serials, in order.
    std::vector<std::pair<u64, Stays>> left;  ///< All others, by serial.
    u64 freed_bytes = 0;
};
/// Unloads by the rule until `enough(freed bytes)` says so, which must stay true for more. `bytes_max` is never exceeded: a model that
/// would is passed over. It may not come to be enough: the caller looks at `freed_bytes`.
template <class Enough>
[[nodiscard]] Eviction plan_eviction(std::span<const Resident> models, const EvictionRule& rule, u64 now_wall_ns,
                                     const EvictionBounds& bounds, Enough&& enough);
/// The same in this order, from all that may go.
template <class Enough>
[[nodiscard]] Eviction plan_eviction(std::span<const Resident> models, EvictionOrder order, u64 now_wall_ns, Enough&& enough) {
    return plan_eviction(models, EvictionRule{order}, now_wall_ns, {}, std::forward<Enough>(enough));
}
/// The same under a policy of optimize-models.
template <class Enough>
[[nodiscard]] Eviction plan_eviction(std::span<const Resident> models, EvictionPolicy policy, u64 now_wall_ns, const EvictionBounds& bounds,
                                     Enough&& enough) {
    return plan_eviction(models, rule_of(policy), now_wall_ns, bounds, std::forward<Enough>(enough));
}

namespace made {
/// Sorts what may go into the rule's order; the rest goes to `left`.
[[nodiscard]] std::vector<Resident> candidates(std::span<const Resident> models, const EvictionRule& rule, u64 now_wall_ns, Eviction& plan);
/// Takes victims out again without which it is still enough, from the most missed one on.
void spare_needless(Eviction& plan, std::span<const u64> victim_bytes, const std::function<bool(u64 freed_bytes)>& enough);
void finish(Eviction& plan);
}  // namespace made

template <class Enough>
Eviction plan_eviction(std::span<const Resident> models, const EvictionRule& rule, u64 now_wall_ns, const EvictionBounds& bounds,
                       Enough&& enough) {
    Eviction plan;
    std::vector<u64> victim_bytes;
    for (const Resident& model : made::candidates(models, rule, now_wall_ns, plan)) {
        if (enough(plan.freed_bytes)) {
            plan.left.emplace_back(model.serial, Stays::not_needed);
        } else if (plan.unload.size() >= bounds.models_max || model.size_bytes > bounds.bytes_max - plan.freed_bytes) {
            plan.left.emplace_back(model.serial, Stays::bound);
        } else {
            plan.unload.push_back(model.serial);
            victim_bytes.push_back(model.size_bytes);
            plan.freed_bytes += model.size_bytes;
        }
    }
    made::spare_needless(plan, victim_bytes, std::ref(enough));
    made::finish(plan);
    return plan;
}
}  // namespace vramd::model
namespace vramd {
template <>
struct EnumNames<model::EvictionPolicy> {
    static constexpr std::array<std::string_view, 4> names = {"conservative", "balanced", "aggressive", "smart"};
};
template <>
struct EnumNames<model::Stays> {
    static constexpr std::array<std::string_view, 6> names = {"pinned", "excluded", "inUse", "touchedLately", "notNeeded", "bound"};
};
}  // namespace vramd
