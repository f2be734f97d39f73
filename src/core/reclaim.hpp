/// Reclaim: the one way in which memory is taken back without its owner's word, whoever wants it: an allocation or a load that needs room,
/// lowered limits, pressure, optimize and optimize-models (whose policy names the models and their order).
///
/// Order: arenas that hold nothing, by age; then copies of models that are whole, not pinned, not preserved and used by nobody: those that
/// only the RAM cache keeps before those that are loaded for use, and each of these in the order that is set (model/eviction.hpp). No more
/// go than are needed: what a later, larger one makes up for stays. A model goes with its last copy, with all its names.
/// Pure functions over the state.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "core/state.hpp"

namespace vramd::core {
/// What may be taken, where.
struct ReclaimScope {
    u16 device = 0;
    ReclaimReach reach = ReclaimReach::models;
    std::span<const std::string> preserve;  ///< Names of models that stay, sorted.
    std::span<const u64> frozen;            ///< Blocks that stay, sorted.
    std::span<const u64> in_use;            ///< Serials of allocations that somebody uses, sorted.
    std::span<const u64> copies = {};       ///< Serials of those that may go, in their order; empty: all, in the usual one.
    u64 now_wall_ns = 0;                    ///< From when on what is idle counts as idle.
    u64 idle_min_ns = 0;                    ///< What is loaded for use and was touched later stays.
};
/// What would be taken, in order.
struct ReclaimPlan {
    std::vector<BlockKey> blocks;
    std::vector<u64> copies;  ///< Serials of their allocations.
    u64 bytes = 0;            ///< Sizes of the blocks that go.
    u64 passed_over = 0;      ///< Models whose turn it was, but that must stay.
};
/// What gives `wanted_bytes` by the order, without anything that is not needed for it; all there is where that is not enough. O(blocks of
/// the device + models × log models).
[[nodiscard]] ReclaimPlan plan_reclaim(const State& state, const ReclaimScope& scope, u64 wanted_bytes);
/// Adds the events and effects of the plan.
void reclaim(const State& state, Decision& decision, const ReclaimPlan& plan);

/// How much has to go so that what blocks hold, less what is being released or will be once it is made, is at most `down_to_bytes`.
[[nodiscard]] u64 excess_bytes(const State& state, u16 device, u64 down_to_bytes);
/// The same of what only the RAM cache keeps.
[[nodiscard]] u64 excess_cached_bytes(const State& state, u64 down_to_bytes);
}  // namespace vramd::core
