/// Upkeep: what defragmenting and optimizing are asked for and what they did, as commands, events and answers share it.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "terms/enums.hpp"
#include "terms/ids.hpp"

namespace vramd {
/// How a defragmentation chooses what to move; docs/defragmentation.md says what each minimises.
enum class DefragmentStrategy : u8 { quick, balanced, thorough, conservative };
/// The parts of an optimize. A defragmentation is an upkeep whose only action is `defragment`.
enum class UpkeepAction : u8 { defragment, compact, garbage_collect, preload, cache };
/// What ended a defragmentation: nothing was left to gain; its time was over; ranges that must stay kept the rest in place; ranges in use
/// did.
enum class UpkeepStop : u8 { done, time_bound, pinned, leased };

template <>
struct EnumNames<DefragmentStrategy> {
    static constexpr std::array<std::string_view, 4> names = {"quick", "balanced", "thorough", "conservative"};
};
template <>
struct EnumNames<UpkeepAction> {
    static constexpr std::array<std::string_view, 5> names = {"defragment", "compact", "garbageCollect", "preload", "cache"};
};
template <>
struct EnumNames<UpkeepStop> {
    static constexpr std::array<std::string_view, 4> names = {"done", "timeBound", "pinned", "leased"};
};

/// How the free memory of one device lies. Bytes; free runs are holes in arenas, and what no block covers as one.
struct FreeFigures {
    u64 capacity_bytes = 0;
    u64 free_bytes = 0;
    u64 uncommitted_bytes = 0;  ///< What no block covers: any owner can have it.
    u64 largest_free_bytes = 0;
    u64 holes = 0;
    u64 blocks = 0;
    u64 allocations = 0;
    /// 10,000 × (1 − largest ÷ free), rounded down; 0 where nothing is free.
    [[nodiscard]] u64 fragmentation_hundredths() const {
        if (largest_free_bytes >= free_bytes) return 0;  // Also where limits keep a part of the largest run back.
        return static_cast<u64>(u128{free_bytes - largest_free_bytes} * 10'000 / free_bytes);
    }
    bool operator==(const FreeFigures&) const = default;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.capacity_bytes, s.free_bytes, s.uncommitted_bytes, s.largest_free_bytes, s.holes, s.blocks, s.allocations);
    }
};

/// No target of usage was named: the configured policy's holds.
inline constexpr u64 usage_of_policy = UINT64_MAX;

/// An upkeep as it was accepted.
struct UpkeepRequest {
    OperationKind kind = OperationKind::defragment;
    std::vector<u16> devices;                                    ///< Indexes of the devices it works on, in order; never empty.
    std::vector<UpkeepAction> actions;                           ///< In the order in which they are done; never empty.
    DefragmentStrategy strategy = DefragmentStrategy::balanced;  ///< Of `defragment`.
    bool own_only = false;                     ///< Moves and frees only what belongs to the operation's owner (asked for by a user).
    u64 time_limit_ns = 0;                     ///< No move begins after so long; 0: none.
    u64 deadline_monotonic_ns = 0;             ///< The same as a moment.
    u64 target_fragmentation_hundredths = 0;   ///< Enough when a device is no more fragmented than this.
    u64 target_usage_hundredths = usage_of_policy;  ///< Of `cache`: models go until no more of the device is used.
    std::vector<u64> preserve;                 ///< Serials of allocations that stay where they are, sorted.
    std::vector<std::string> preserve_models;  ///< Names of models that are not evicted, sorted.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.kind, s.devices, s.actions, s.strategy, s.own_only, s.time_limit_ns, s.deadline_monotonic_ns, s.target_fragmentation_hundredths,
              s.target_usage_hundredths, s.preserve, s.preserve_models);
    }
};

/// What one action did.
struct UpkeepActed {
    UpkeepAction action = UpkeepAction::defragment;
    UpkeepStop stopped_by = UpkeepStop::done;
    u64 moves = 0;
    u64 moved_bytes = 0;
    u64 freed_bytes = 0;  ///< Came back to what no block covers.
    u64 released_blocks = 0;
    u64 ended_leases = 0;
    std::vector<std::string> models;  ///< Evicted or asked to load.
    u64 left = 0;                     ///< Blocks or models that it would have taken, but left.
    std::string why_left;             ///< A sentence; empty where nothing was left.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.action, s.stopped_by, s.moves, s.moved_bytes, s.freed_bytes, s.released_blocks, s.ended_leases, s.models, s.left,
              s.why_left);
    }
};

/// What is known of an upkeep so far. One FreeFigures per device of the request, in its order.
struct UpkeepResult {
    std::vector<FreeFigures> after;    ///< Empty until it ended.
    std::vector<UpkeepActed> actions;  ///< Those that are over.
    u64 planned_bytes = 0;             ///< To be moved in all, as far as it is planned.
    u64 duration_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.after, s.actions, s.planned_bytes, s.duration_ns);
    }
};
}  // namespace vramd
