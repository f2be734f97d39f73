/// Defragmentations and optimizes under way: plan without the lock, move a few at a time, plan anew where the world had changed.
///
/// A run is what an operation's row does not say: where it is. It is lost with the core; the next core's run plans from what is there
/// then, and skips the actions that the row tells as over. One thread at a time drives a run; what it waits for wakes it through
/// `note_upkeep`. Nothing of a run blocks anybody: each move is refused, or spoiled, where the allocation is needed meanwhile.
#include <algorithm>

#include "base/invariant.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
constexpr u64 moves_at_once = 8;  ///< On the transfer engine, at its lowest priority.
constexpr u64 rounds_max =
    4;  ///< Plans per action and device: each after the first because the last met another state than it was made for.
constexpr u64 steps_in_a_row = 64;  ///< Then others on the executor have their turn.
}  // namespace

enum class Runner::UpkeepStep : u8 { again, wait, over };

struct Runner::UpkeepRun {
    OperationId id;
    UpkeepRequest request;
    std::string owner;
    UpkeepResult result;
    std::size_t device = 0;  ///< In the request's list, of the action at result.actions.size().
    UpkeepActed acted;
    memory::Plan plan;
    std::size_t next = 0;  ///< In the plan's moves.
    u64 rounds = 0;
    u64 planned_before = 0;  ///< Bytes of earlier plans that were really moved.
    bool planned = false;
    bool begun = false;    ///< The action has begun on this device.
    bool closing = false;  ///< No further move.
    std::optional<OperationState> ended;
    Error error;
    // Under the engine's lock.
    bool driving = true;
    u64 in_flight = 0;
    u64 changed = 0;               ///< Moves refused or dropped because the state was not as planned.
    bool met_use = false;          ///< The same because of somebody's use.
    std::set<BlockKey> sources;    ///< Blocks that are being emptied.
    std::set<BlockKey> releasing;  ///< Those that its end waits for.
    bool waits_for_releases = false;
};

Result<OperationId> Runner::upkeep(UpkeepCommand command, Done<report::OperationTold> ended) {
    if (command.operation_secret == 0) command.operation_secret = ports_.secret();
    {
        const Lock lock(lock_);
        if (stopping_) return refuse(Code::busy, "daemon", "The daemon is stopping.");
    }
    TRY(const core::Decision decision, commit(std::move(command), [&](const core::Decision& made) {
            if (ended) operation_waiters_[made.operation.serial].push_back(std::move(ended));
        }));
    return decision.operation;
}

void Runner::try_upkeep(UpkeepCommand command, Done<report::UpkeepProgress> done) {
    aside([this, command = std::move(command), done = std::move(done)]() mutable { done(tried_upkeep(command)); });
}

Result<report::UpkeepProgress> Runner::tried_upkeep(const UpkeepCommand& command) {
    core::State copy;
    core::AtHand hand;
    UpkeepRequest request;
    const Moment now = ports_.clock();
    {
        const Lock lock(lock_);
        TRY(request, core::checked_upkeep(state_, command, now));
        copy = state_;
        hand = at_hand();
    }
    core::UpkeepTrial trial = core::try_upkeep(copy, request, command.caller.owner, hand, now);
    trial.result.duration_ns = ports_.clock().monotonic_ns - now.monotonic_ns;
    return report::upkeep(copy, request, std::move(trial.before), std::move(trial.result));
}

core::AtHand Runner::at_hand() const {
    core::AtHand hand;
    for (const auto& [serial, count] : uses_) hand.in_use.push_back(serial);
    for (const auto& [block, count] : frozen_) hand.frozen.push_back(block);
    return hand;
}

/// A new operation, one that an earlier core left, or one that is to look whether it is cancelled.
void Runner::start_one(const UpkeepEffect& effect) {
    std::shared_ptr<UpkeepRun> run;
    {
        const Lock lock(lock_);
        const model::Operation* operation = state_.catalogue.operation(effect.operation);
        if (operation == nullptr || operation->state != OperationState::running) return;
        if (const auto found = upkeeps_.find(effect.operation.serial); found != upkeeps_.end()) {
            // Whoever drives it looks by itself; whoever is awaited comes by.
            if (std::exchange(found->second->driving, true)) return;
            run = found->second;
        } else {
            run = std::make_shared<UpkeepRun>();
            run->id = operation->id;
            run->request = operation->upkeep.request;
            run->owner = operation->owner;
            run->result = operation->upkeep.result;
            run->planned_before = operation->upkeep.moved_bytes;
            upkeeps_.emplace(effect.operation.serial, run);
        }
    }
    ports_.executor->post([this, run] { drive(run); });
}

void Runner::drive(std::shared_ptr<UpkeepRun> run) {
    for (u64 steps = 0; steps < steps_in_a_row; ++steps) {
        const UpkeepStep step = upkeep_step(*run);
        if (step != UpkeepStep::again) return;
    }
    ports_.executor->post([this, run] { drive(run); });
}

/// One step. `wait`: somebody else drives from here on, or the core stops.
Runner::UpkeepStep Runner::upkeep_step(UpkeepRun& run) {
    bool stopping = false;
    {
        const Lock lock(lock_);
        stopping = stopping_;
    }
    if (stopping) return give_over(run);
    {
        const Lock lock(lock_);
        const model::Operation* operation = state_.catalogue.operation(run.id);
        if (operation == nullptr || operation->state != OperationState::running) {
            upkeeps_.erase(run.id.serial);
            return UpkeepStep::over;
        }
        if (operation->cancelling && !run.ended) {
            run.closing = true;
            run.ended = OperationState::cancelled;
            run.error = {Code::cancelled, "operation", 0, 0, "The operation was cancelled."};
        }
        const u64 deadline = run.request.deadline_monotonic_ns;
        if (deadline != 0 && !run.closing && ports_.clock().monotonic_ns >= deadline) {
            run.closing = true;
            run.acted.stopped_by = UpkeepStop::time_bound;
        }
    }
    if (run.closing && run.next < run.plan.moves.size()) run.next = run.plan.moves.size();
    if (run.next < run.plan.moves.size()) return next_move(run);
    {
        const Lock lock(lock_);
        if (run.in_flight > 0) {
            run.driving = false;
            return UpkeepStep::wait;
        }
    }
    if (run.ended || run.result.actions.size() >= run.request.actions.size()) return end_upkeep(run);
    if (run.closing) return end_device(run);
    if (!run.begun) return begin_action(run);
    const bool again = run.planned && run.changed > 0 && run.rounds < rounds_max;
    return run.planned && !again ? end_device(run) : plan_moves(run);
}

/// The core stops: the row stays running, and the next core goes on. Who waits here is told so at once.
Runner::UpkeepStep Runner::give_over(UpkeepRun& run) {
    std::vector<Done<report::OperationTold>> left;
    {
        const Lock lock(lock_);
        if (auto waiters = operation_waiters_.extract(run.id.serial); !waiters.empty()) left.swap(waiters.mapped());
    }
    for (auto& done : left) done(refuse(Code::busy, "daemon", "The daemon is stopping; the operation goes on if its memory is kept."));
    answered_.notify_all();
    return UpkeepStep::wait;
}

Runner::UpkeepStep Runner::begin_action(UpkeepRun& run) {
    run.begun = true;
    run.planned = true;
    run.rounds = run.changed = 0;
    run.met_use = false;
    run.plan = {};
    run.next = 0;
    run.acted.action = run.request.actions[run.result.actions.size()];
    switch (run.acted.action) {
        case UpkeepAction::defragment:
        case UpkeepAction::compact:
            run.planned = false;
            break;
        case UpkeepAction::garbage_collect:
            release_empty(run);
            expire_leases(0);
            break;
        case UpkeepAction::preload:
            run.acted.why_left = std::string(core::nothing_to_preload);
            break;
        case UpkeepAction::cache:
            evict_models(run);
            break;
    }
    return UpkeepStep::again;
}

Runner::UpkeepStep Runner::plan_moves(UpkeepRun& run) {
    memory::Layout layout;
    {
        const Lock lock(lock_);
        layout = core::layout_for(state_, run.request.devices[run.device], run.request, run.owner, at_hand(), ports_.clock().wall_ns);
    }
    memory::Plan made = core::plan_upkeep(layout, run.request, run.acted.action);
    run.planned = true;
    run.rounds += 1;
    run.next = 0;
    {
        const Lock lock(lock_);
        run.changed = 0;
        run.met_use = false;
        run.sources.clear();
        for (const memory::PlannedMove& move : made.moves)
            if (move.from != move.to) run.sources.insert(move.from);
    }
    run.plan = std::move(made);
    if (!run.plan.empty.empty()) release_empty(run);
    if (run.plan.moves.empty()) return UpkeepStep::again;
    run.result.planned_bytes = run.planned_before + run.plan.moved_bytes;
    conclude(UpkeepToldCommand{run.id, run.result, std::nullopt, {}});
    return UpkeepStep::again;
}

/// Begins the plan's next move, unless enough are under way or it builds on one that is.
Runner::UpkeepStep Runner::next_move(UpkeepRun& run) {
    const memory::PlannedMove& move = run.plan.moves[run.next];
    MoveCommand command;
    {
        const Lock lock(lock_);
        const bool builds_on_another = move.from == move.to || upkeep_moves_.contains(move.serial);
        if (run.in_flight >= moves_at_once || (builds_on_another && run.in_flight > 0)) {
            run.driving = false;
            return UpkeepStep::wait;
        }
        run.next += 1;
        const memory::Allocation* allocation = state_.books.allocation_by_serial(move.serial);
        if (allocation == nullptr || allocation->row.block != move.from) {
            run.changed += 1;
            return UpkeepStep::again;
        }
        command = {run.id.serial, allocation->row.id, move.to, in_use(move.serial), at_hand().frozen};
        run.in_flight += 1;
        upkeep_moves_[move.serial] = upkeeps_.at(run.id.serial);
    }
    const auto begun = commit(std::move(command));
    if (begun) return UpkeepStep::again;
    const Lock lock(lock_);
    upkeep_moves_.erase(move.serial);
    run.in_flight -= 1;
    run.changed += 1;
    const Code code = begun.error().code;
    if (code == Code::leased || code == Code::pinned) run.met_use = true;
    const bool moved_on = code == Code::leased || code == Code::pinned || code == Code::conflict || code == Code::not_found;
    if (!moved_on && !run.ended) {  // The ledger cannot be kept: no other move would begin either.
        run.closing = true;
        run.ended = OperationState::failed;
        run.error = begun.error();
    }
    return UpkeepStep::again;
}

/// The action is over on this device; it goes on with the next device, or the next action does with the first.
Runner::UpkeepStep Runner::end_device(UpkeepRun& run) {
    {
        const Lock lock(lock_);
        core::note_left(run.acted, run.plan);
        if (run.met_use && run.acted.stopped_by == UpkeepStop::done) run.acted.stopped_by = UpkeepStop::leased;
        run.acted.action = run.request.actions[run.result.actions.size()];
        run.sources.clear();
    }
    run.planned_before += run.plan.moved_bytes;
    run.plan = {};
    run.next = 0;
    run.begun = false;
    run.device += 1;
    if (run.device < run.request.devices.size() && !run.closing) return UpkeepStep::again;
    run.device = 0;
    {
        const Lock lock(lock_);
        run.result.actions.push_back(std::exchange(run.acted, {}));
    }
    if (run.closing && !run.ended) run.ended = OperationState::succeeded;  // Its time is over: what is done is done.
    if (run.result.actions.size() < run.request.actions.size()) conclude(UpkeepToldCommand{run.id, run.result, std::nullopt, {}});
    return UpkeepStep::again;
}

/// The last figures are taken when what was released has come back.
Runner::UpkeepStep Runner::end_upkeep(UpkeepRun& run) {
    {
        const Lock lock(lock_);
        if (!std::exchange(run.waits_for_releases, true))
            for (const auto& [key, block] : state_.books.blocks())
                if (block.row.state == BlockState::releasing &&
                    std::ranges::find(run.request.devices, block.row.device) != run.request.devices.end())
                    run.releasing.insert(key);
        std::erase_if(run.releasing, [this](BlockKey key) { return state_.books.block(key) == nullptr; });
        if (!run.releasing.empty()) {
            run.driving = false;
            return UpkeepStep::wait;
        }
        if (run.begun) run.result.actions.push_back(std::exchange(run.acted, {}));
        run.begun = false;
    }
    conclude(UpkeepToldCommand{run.id, run.result, run.ended.value_or(OperationState::succeeded), run.error});
    const Lock lock(lock_);
    upkeeps_.erase(run.id.serial);
    return UpkeepStep::over;
}

void Runner::release_empty(UpkeepRun& run) {
    ReleaseEmptyCommand command;
    command.device = run.request.devices[run.device];
    if (run.request.own_only) command.owner = run.owner;
    {
        const Lock lock(lock_);
        command.frozen = at_hand().frozen;
    }
    // Refused when read-only: the moves, or the end, tell it.
    (void)commit(std::move(command), [&run](const core::Decision& made) {
        run.acted.released_blocks += made.effects.size();
        run.acted.freed_bytes += made.freed_bytes;
    });
}

void Runner::evict_models(UpkeepRun& run) {
    std::optional<ReclaimCommand> command;
    {
        const Lock lock(lock_);
        command = core::reclaim_for(state_, run.request.devices[run.device], run.request);
    }
    if (!command) return;
    const auto reclaimed = reclaim(*std::move(command));
    if (!reclaimed) return;  // Refused when read-only: the operation's end tells it.
    run.acted.freed_bytes += reclaimed->bytes;
    run.acted.models.insert(run.acted.models.end(), reclaimed->models.begin(), reclaimed->models.end());
    core::note_passed_over(run.acted, reclaimed->passed_over);
}

void Runner::wake(const std::shared_ptr<UpkeepRun>& run, Told& told) {
    if (std::exchange(run->driving, true)) return;
    told.push_back([this, run] { ports_.executor->post([this, run] { drive(run); }); });
}

/// Counts what became of a run's moves and blocks, and wakes it where it waits for that.
void Runner::note_upkeep(const Event& event, Told& told) {
    if (upkeeps_.empty()) return;
    const auto* moved = std::get_if<AllocationMoved>(&event);
    const auto* dropped = std::get_if<MoveDropped>(&event);
    if (moved != nullptr || dropped != nullptr) {
        const u64 serial = moved != nullptr ? moved->id.serial : dropped->id.serial;
        const auto node = upkeep_moves_.extract(serial);
        if (node.empty()) return;
        UpkeepRun& run = *node.mapped();
        INVARIANT(run.in_flight > 0);
        run.in_flight -= 1;
        if (moved != nullptr) {
            run.acted.moves += 1;
            run.acted.moved_bytes += state_.books.allocation(moved->id)->row.granted_bytes;
        } else {
            run.changed += 1;
            run.met_use = run.met_use || dropped->reason == Code::conflict;
        }
        wake(node.mapped(), told);
    } else if (const auto* releasing = std::get_if<BlockReleasing>(&event)) {
        for (const auto& [serial, run] : upkeeps_) {
            if (run->sources.erase(releasing->block) == 0) continue;
            run->acted.released_blocks += 1;
            run->acted.freed_bytes += state_.books.block(releasing->block)->row.size_bytes;
        }
    } else if (const auto* gone = std::get_if<BlockGone>(&event)) {
        for (const auto& [serial, run] : upkeeps_)
            if (run->releasing.erase(gone->block) > 0 && run->releasing.empty()) wake(run, told);
    }
}
}  // namespace vramd::engine
