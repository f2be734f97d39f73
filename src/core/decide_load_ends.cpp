/// How loads end: whole, failed or cancelled. Whoever waits for the same copy ends with it, or goes on with the next one.
#include <algorithm>

#include "core/decide.hpp"

namespace vramd::core {
void end_operation(Decision& decision, OperationId id, OperationState how, Error error, u64 wall_ns) {
    if (how != OperationState::succeeded) error.detail = describe(error);
    decision.events.push_back(OperationEnded{id, how, std::move(error), wall_ns});
}

Decision failed_load(const State& state, OperationId id, Error error, u64 wall_ns) {
    Decision decision;
    const bool cancelled = state.catalogue.operation(id)->cancelling;
    if (cancelled) error = {Code::cancelled, "operation", 0, 0, "The load was cancelled."};
    end_operation(decision, id, cancelled ? OperationState::cancelled : OperationState::failed, error, wall_ns);
    return decision;
}

Result<Decision> decide_one(const State& state, const LoadedCommand& command, Moment now) {
    const model::Copy* copy = state.catalogue.loading_by(command.operation);
    if (copy == nullptr) return Decision{};
    Decision decision;
    decision.operation = command.operation;
    decision.events.push_back(AllocationReady{copy->allocation});
    decision.events.push_back(
        ModelResident{state.catalogue.model(copy->model)->id, copy->allocation, copy->device, command.load_ns, now.wall_ns});
    for (const OperationId waiting : state.catalogue.waiting_for_model(copy->model)) {
        const u16 target = state.catalogue.operation(waiting)->target;
        if (target == copy->device)
            end_operation(decision, waiting, OperationState::succeeded, {}, now.wall_ns);
        else if (state.catalogue.copy_on(copy->model, target) == nullptr)
            decision.effects.push_back(PlaceModelEffect{waiting});
    }
    return decision;
}

void end_load(const State& state, Decision& decision, const model::Copy& copy, OperationState how, const Error& error, u64 wall_ns) {
    for (const OperationId waiting : state.catalogue.waiting_for(copy)) end_operation(decision, waiting, how, error, wall_ns);
    decision.events.push_back(ModelGone{state.catalogue.model(copy.model)->id, copy.allocation, copy.device});
    decision.events.push_back(AllocationDropped{copy.allocation, error.code, describe(error)});
}

Result<Decision> decide_one(const State& state, const OperationFailedCommand& command, Moment now) {
    const model::Operation* operation = state.catalogue.operation(command.operation);
    const model::Copy* copy = state.catalogue.loading_by(command.operation);
    const bool running = operation != nullptr && operation->state == OperationState::running;
    if (copy == nullptr)
        return running && operation->model == 0 ? failed_load(state, command.operation, command.error, now.wall_ns) : Decision{};
    Decision decision;
    const bool cancelled = state.catalogue.cancelling(*copy);
    const BlockKey block = state.books.allocation(copy->allocation)->row.block;
    end_load(state, decision, *copy, cancelled ? OperationState::cancelled : OperationState::failed, command.error, now.wall_ns);
    if (state.books.block(block)->row.state == BlockState::ready) release_block(decision, block);
    return decision;
}

const model::Copy* awaited_copy(const State& state, const model::Operation& operation) {
    for (const model::Copy* copy : state.catalogue.copies_of(operation.model)) {
        if (copy->state != ModelState::loading) continue;
        const std::vector<OperationId> waiting = state.catalogue.waiting_for(*copy);
        if (std::ranges::find(waiting, operation.id) != waiting.end()) return copy;
    }
    return nullptr;
}

Result<Decision> decide_one(const State& state, const CancelOperationCommand& command, Moment now) {
    const model::Operation* operation = state.catalogue.operation(command.id);
    const bool visible = operation != nullptr && (command.caller.role == Role::admin || operation->owner == command.caller.owner);
    if (!visible) return not_found("operation", to_text(command.id));
    if (operation->state != OperationState::running)
        return refuse(Code::conflict, "operation", "The operation has ended already (" + std::string(name_of(operation->state)) + ").");
    Decision decision;
    decision.operation = command.id;
    const model::Copy* copy = awaited_copy(state, *operation);
    // Others wait for the same copy: it goes on without this one.
    if (copy != nullptr && state.catalogue.waiting_for(*copy).size() > 1) {
        end_operation(decision, command.id, OperationState::cancelled, {Code::cancelled, "operation", 0, 0, "The load was cancelled."},
                      now.wall_ns);
        return decision;
    }
    if (!operation->cancelling) decision.events.push_back(OperationCancelling{command.id});
    if (operation->is_upkeep()) {  // Looks for it before each move.
        decision.effects.push_back(UpkeepEffect{command.id});
        return decision;
    }
    decision.effects.push_back(StopLoadEffect{copy == nullptr ? command.id : copy->operation});
    return decision;
}
}  // namespace vramd::core
