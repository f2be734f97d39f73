/// Defragmentations and optimizes of the simulated clients: whatever is moved, every id keeps its content.
#include <algorithm>

#include "clients.hpp"

namespace vramd::simulation {
UpkeepCommand Clients::any_upkeep(Choices& choices) {
    UpkeepCommand command;
    command.caller = choices.one_in(3) ? caller_of(0) : admin;
    command.device_id = std::array{"", "a", "b"}[choices.below(3)];
    command.request.kind = choices.one_in(3) ? OperationKind::optimize : OperationKind::defragment;
    command.request.actions = {UpkeepAction::defragment};
    if (command.request.kind == OperationKind::optimize) {
        command.request.actions = {UpkeepAction::garbage_collect, UpkeepAction::compact, UpkeepAction::defragment};
        if (choices.one_in(2)) command.request.actions.push_back(UpkeepAction::cache);
    }
    command.request.strategy = static_cast<DefragmentStrategy>(choices.below(4));
    if (choices.one_in(4)) command.request.time_limit_ns = choices.below(100) * ns_per_second;
    if (choices.one_in(4)) command.request.target_fragmentation_hundredths = choices.below(10'000);
    return command;
}

void Clients::upkeep(Choices& choices) {
    UpkeepCommand command = any_upkeep(choices);
    Upkeeping upkeeping;
    upkeeping.epoch = world_.epoch;
    upkeeping.evicts = std::ranges::count(command.request.actions, UpkeepAction::cache) > 0;
    if (command.caller.role == Role::admin && choices.one_in(2))
        for (u64 i = choices.below(4); i > 0; --i)
            // Upkeeps of other devices know nothing of what this one is to leave.
            if (const auto id = any(choices); id && !expired(held_.at(*id)) && !held_.at(*id).in_transfer() && upkeeps_.empty() &&
                                              world_.core().allocation(admin, *id)->device_id == command.device_id) {
                command.preserve.push_back(*id);
                upkeeping.preserved.emplace(*id, place_of(*id));
            }
    const auto begun = world_.core().upkeep(command, {});
    if (begun) upkeeps_.emplace(*begun, std::move(upkeeping));
    if (!begun && begun.error().code != Code::conflict && begun.error().code != Code::busy)
        fail("an upkeep is refused: " + describe(begun.error()));
}

void Clients::try_upkeep(Choices& choices) {
    const auto answer = std::make_shared<std::optional<Result<report::UpkeepProgress>>>();
    world_.core().try_upkeep(any_upkeep(choices), [answer](Result<report::UpkeepProgress> tried) { *answer = std::move(tried); });
    while (!*answer) {
        check();
        const u64 before = world_.core().hash();
        if (!world_.step_posted(choices)) fail("a dry run is not answered");
        if (*answer && world_.core().hash() != before) fail("a dry run changed the state");
    }
    const Result<report::UpkeepProgress>& tried = **answer;
    if (!tried) return;
    for (std::size_t i = 0; i < tried->before.size(); ++i)
        if (tried->result.after[i].uncommitted_bytes < tried->before[i].uncommitted_bytes) fail("a dry run takes memory away");
}

void Clients::cancel_upkeep(Choices& choices) {
    if (upkeeps_.empty() || choices.one_in(2)) return;
    if (!world_.core().cancel({admin, upkeeps_.begin()->first})) fail("an upkeep cannot be cancelled");
    upkeeps_.begin()->second.cancelled = true;
}

void Clients::see_upkeeps() {
    for (auto at = upkeeps_.begin(); at != upkeeps_.end();) {
        const auto told = world_.core().operation(admin, at->first);
        if (!told) fail("an operation is forgotten");
        if (told->state == OperationState::failed) fail("an upkeep failed: " + describe(*told->error));
        if (told->state == OperationState::cancelled && !at->second.cancelled) fail("an upkeep was cancelled by nobody");
        // Only a user's own eviction takes a model away.
        if (at->second.evicts) std::erase_if(resident_, [this](const auto& entry) { return !world_.core().model(entry.first); });
        if (told->state == OperationState::running) {
            ++at;
            continue;
        }
        if (told->upkeep->result.after.size() != told->upkeep->before.size()) fail("an upkeep ended without figures");
        u64 by_actions = 0;
        for (const UpkeepActed& acted : told->upkeep->result.actions) by_actions += acted.moves;
        if (at->second.epoch == world_.epoch && by_actions != told->upkeep->moves) fail("an upkeep's moves are counted two ways");
        met_["an upkeep's moves"] += told->upkeep->moves;
        met_["an upkeep taken up after a crash"] += at->second.epoch != world_.epoch ? 1 : 0;
        met_["an upkeep cancelled"] += told->state == OperationState::cancelled ? 1 : 0;
        at = upkeeps_.erase(at);
    }
}
}  // namespace vramd::simulation
