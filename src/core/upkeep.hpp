/// Upkeep of memory, decided: what a defragmentation or an optimize is allowed to do, and what it would do, tried on a copy.
#pragma once
#include "core/memory/defragment.hpp"
#include "core/state.hpp"

namespace vramd::core {
/// The request as it would be accepted now. Errors: `not_found` (a device, an allocation that is to stay), `invalid_field`,
/// `conflict` (an upkeep works on a device of it already), `busy` (too many operations).
[[nodiscard]] Result<UpkeepRequest> checked_upkeep(const State& state, const UpkeepCommand& command, Moment now);

/// What the engine knows and the state does not.
struct AtHand {
    std::vector<u64> in_use;  ///< Serials of allocations whose content is being read or written, sorted.
    std::vector<u64> frozen;  ///< Blocks whose holes are being written, sorted.
};
/// What one action wants to move on one device now.
[[nodiscard]] memory::Plan plan_upkeep(const memory::Layout& layout, const UpkeepRequest& request, UpkeepAction action);
/// The layout that `plan_upkeep` takes, for an operation of `owner`.
[[nodiscard]] memory::Layout layout_for(const State& state, u16 device, const UpkeepRequest& request, std::string_view owner,
                                        const AtHand& at_hand, u64 now_wall_ns);
/// Whether an action of this kind moves anything.
[[nodiscard]] inline bool moves(UpkeepAction action) { return action == UpkeepAction::defragment || action == UpkeepAction::compact; }
/// The reclaim that is `cache` on a device: models alone, until its use is down to the target; nothing where it is.
[[nodiscard]] std::optional<ReclaimCommand> reclaim_for(const State& state, u16 device, const UpkeepRequest& request);
/// Adds to an action what a plan, done as far as it goes, left, and why.
void note_left(UpkeepActed& acted, const memory::Plan& plan);
void note_passed_over(UpkeepActed& acted, u64 models);
inline constexpr std::string_view nothing_to_preload = "No model is configured to be preloaded.";

/// What an upkeep would do.
struct UpkeepTrial {
    std::vector<FreeFigures> before;
    UpkeepResult result;
};
/// Does all of it on `copy`, by the same commands as the engine's, in a world in which each move succeeds at once.
[[nodiscard]] UpkeepTrial try_upkeep(State copy, const UpkeepRequest& request, std::string_view owner, const AtHand& at_hand, Moment now);
}  // namespace vramd::core
