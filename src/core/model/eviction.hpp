/// Which models to unload, in which order: policies as one table of pure functions.
///
/// A policy orders the models that may go and says how far down it goes by default. Who may go at all is no policy's business: pinned,
/// excluded, loading and used models never do. Nothing is decided here: the plan's unloads are commands like any other.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "core/model/catalogue.hpp"

namespace vramd::model {
enum class EvictionPolicy : u8 {
    conservative,  ///< Oldest load first, but only what nobody touched for ten minutes, and only down to 90.
    balanced,      ///< Oldest load first, down to 75.
    aggressive,    ///< Oldest load first, down to 50.
    smart,         ///< What is least missed per byte first: (time to load it again × how recently it was touched) ÷ size; down to 75.
};
inline constexpr u64 conservative_idle_ns = 600'000'000'000;

/// A model as a policy sees it.
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
/// What the policy goes down to unless told otherwise: hundredths of a pressure level.
[[nodiscard]] u64 default_target(EvictionPolicy policy);
/// Unloads in the policy's order until `enough(freed bytes)` says so. `bytes_max` is never exceeded: a model that would is passed over.
/// Equal models go in the order of their serials.
template <class Enough>
[[nodiscard]] Eviction plan_eviction(std::span<const Resident> models, EvictionPolicy policy, u64 now_wall_ns, const EvictionBounds& bounds,
                                     Enough&& enough);

namespace made {
/// Sorts what may go into the policy's order; the rest goes to `left`.
[[nodiscard]] std::vector<Resident> candidates(std::span<const Resident> models, EvictionPolicy policy, u64 now_wall_ns, Eviction& plan);
void finish(Eviction& plan);
}  // namespace made

template <class Enough>
Eviction plan_eviction(std::span<const Resident> models, EvictionPolicy policy, u64 now_wall_ns, const EvictionBounds& bounds,
                       Enough&& enough) {
    Eviction plan;
    for (const Resident& model : made::candidates(models, policy, now_wall_ns, plan)) {
        if (enough(plan.freed_bytes)) {
            plan.left.emplace_back(model.serial, Stays::not_needed);
        } else if (plan.unload.size() >= bounds.models_max || model.size_bytes > bounds.bytes_max - plan.freed_bytes) {
            plan.left.emplace_back(model.serial, Stays::bound);
        } else {
            plan.unload.push_back(model.serial);
            plan.freed_bytes += model.size_bytes;
        }
    }
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
