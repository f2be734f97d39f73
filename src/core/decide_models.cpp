/// Loading and unloading models. A load is an operation: inspect the header, reserve exactly what it says, make the block, let the loader
/// fill it, and only then is the model there. Every way out of it gives the memory back.
#include <algorithm>

#include "core/decide.hpp"

namespace vramd::core {
namespace {
constexpr std::size_t name_max = 200;

Result<void> check(const State& state, const LoadRequest& request) {
    if (request.name.empty() || request.name.size() > name_max) return refuse(Code::invalid_field, "/name", request.name.size(), name_max);
    if (request.path.empty()) return refuse(Code::invalid_field, "/path", "/path must name a model file.");
    if (state.catalogue.running() >= model::running_max)
        return refuse(Code::busy, "operations",
                      "As many operations are running as may run at once (" + std::to_string(model::running_max) + ").");
    if (request.device_id.empty()) return {};
    const auto device = state.books.device_named(request.device_id);
    if (!device || state.books.devices()[*device].capacity_bytes == 0) return no_device(state.books, request.device_id);
    return {};
}

void end_operation(Decision& decision, OperationId id, OperationState how, Error error, u64 wall_ns) {
    if (how != OperationState::succeeded) error.detail = describe(error);
    decision.events.push_back(OperationEnded{id, how, std::move(error), wall_ns});
}

Decision failed(const State& state, OperationId id, Error error, u64 wall_ns) {
    Decision decision;
    const bool cancelled = state.catalogue.operation(id)->cancelling;
    if (cancelled) error = {Code::cancelled, "operation", 0, 0, "The load was cancelled."};
    end_operation(decision, id, cancelled ? OperationState::cancelled : OperationState::failed, error, wall_ns);
    return decision;
}

/// Asks for the header once more, and decides by what is there then.
Decision again(Decision decision, OperationId id) {
    decision.effects.push_back(InspectModelEffect{id});
    return decision;
}

/// What a load may take to make room on a device.
ReclaimScope scope_of(const InspectedCommand& command, u16 device) {
    return {device, ReclaimReach::models, {}, command.frozen, command.in_use};
}

/// Where the model goes: the device named, else the one with most room.
std::optional<u16> device_for(const State& state, const LoadRequest& request, const InspectedCommand& command, u64 size_bytes) {
    const memory::Books& books = state.books;
    if (!request.device_id.empty()) return books.device_named(request.device_id);
    std::optional<u16> best;
    const auto may = [&](u16 device) {
        return !std::ranges::binary_search(command.closed, device) &&
               books.allow(device, model_owner, size_bytes, memory::Books::Could::now).has_value();
    };
    for (u16 i = 0; i < books.devices().size(); ++i)
        if (may(i) && (!best || books.uncommitted_bytes(i) > books.uncommitted_bytes(*best))) best = i;
    if (best && books.uncommitted_bytes(*best) >= size_bytes) return best;
    Decision unused;
    for (u16 i = 0; i < books.devices().size(); ++i)
        if (may(i) && make_room(state, unused, scope_of(command, i), size_bytes)) return i;
    if (!best && !books.devices().empty()) return u16{0};  // None allows it: the first one's reason is told.
    return best;
}

/// Why a model that takes `granted_bytes` cannot be loaded onto the device now, if it cannot.
std::optional<Error> why_not(const State& state, const InspectedCommand& command, u16 device, u64 granted_bytes) {
    const memory::Books& books = state.books;
    if (const auto allowed = books.allow(device, model_owner, granted_bytes, memory::Books::Could::now); !allowed) {
        Error refusal = allowed.error();
        refusal.field = "/path";
        return refusal;
    }
    const u64 room = books.uncommitted_bytes(device);
    const bool closed = std::ranges::binary_search(command.closed, device);
    if (!closed && granted_bytes <= room) return std::nullopt;
    const std::string takes = "The model takes " + std::to_string(granted_bytes) + " bytes on " + books.devices()[device].id;
    if (closed && granted_bytes <= room)
        return Error{Code::insufficient_memory, "/path", granted_bytes, 0,
                     takes + ", whose room is kept for a request that has waited longer; try again in a moment."};
    return Error{Code::insufficient_memory, "/path", granted_bytes, room, takes + ", where " + std::to_string(room) + " bytes are free."};
}
}  // namespace

Result<Decision> decide_one(const State& state, const LoadModelCommand& command, Moment now) {
    TRY_DO(check(state, command.request));
    Decision decision;
    decision.operation = {state.catalogue.next_operation(), command.operation_secret};
    decision.events.push_back(
        OperationStarted{decision.operation, OperationKind::load_model, command.caller.owner, command.request, now.wall_ns});
    decision.effects.push_back(InspectModelEffect{decision.operation});
    return decision;
}

Result<Decision> decide_one(const State& state, const InspectedCommand& command, Moment now) {
    const model::Operation* operation = state.catalogue.operation(command.operation);
    if (operation == nullptr || operation->state != OperationState::running || operation->model != 0 || operation->is_upkeep())
        return Decision{};
    if (operation->cancelling) return failed(state, command.operation, {}, now.wall_ns);
    const LoadRequest& request = operation->request;
    const model::Model* same = state.catalogue.model_of(command.inspection.identity);
    const model::Model* named = state.catalogue.model_named(request.name);
    if (named != nullptr && named != same) {
        return failed(
            state, command.operation,
            {Code::name_in_use, "/name", 0, 0, "The name " + request.name + " stands for another file (" + named->request.path + ")."},
            now.wall_ns);
    }
    Decision decision;
    decision.operation = command.operation;
    if (same != nullptr && same->state == ModelState::loading && state.catalogue.cancelling(same->id.serial))
        return again(std::move(decision), command.operation);  // That load's process is gone within milliseconds.
    if (same != nullptr) {
        const std::string& there = state.books.devices()[same->device].id;
        if (!request.device_id.empty() && request.device_id != there)
            return failed(state, command.operation,
                          {Code::conflict, "/deviceId", 0, 0, "The model is on " + there + " already; unload it there first."},
                          now.wall_ns);
        decision.events.push_back(ModelNamed{same->id, command.operation});
        if (same->state == ModelState::resident) end_operation(decision, command.operation, OperationState::succeeded, {}, now.wall_ns);
        return decision;
    }
    const u64 size_bytes = std::max<u64>(command.inspection.memory_bytes, 1);
    const auto device = device_for(state, request, command, size_bytes);
    if (!device) return failed(state, command.operation, {Code::not_found, "/deviceId", 0, 0, "There is no such device."}, now.wall_ns);
    const u64 granule = state.books.devices()[*device].granule_bytes;
    const u64 granted = round_up(size_bytes, granule);
    if (const auto refusal = why_not(state, command, *device, granted)) {
        const bool full = refusal->code == Code::insufficient_memory && !std::ranges::binary_search(command.closed, *device);
        if (full && make_room(state, decision, scope_of(command, *device), size_bytes))
            return again(std::move(decision), command.operation);
        return failed(state, command.operation, *refusal, now.wall_ns);
    }
    const ModelId model{state.catalogue.next_model(), command.model_secret};
    AllocationReserved reserved;
    reserved.id = {state.books.next_allocation(), command.allocation_secret};
    reserved.block = state.books.next_block();
    reserved.size_bytes = size_bytes;
    reserved.granted_bytes = granted;
    reserved.alignment_bytes = granule;
    reserved.type = request.pinned ? AllocationType::pinned : AllocationType::default_;
    reserved.owner = model_owner;
    reserved.purpose = "model";
    reserved.shareable = true;
    reserved.wall_ns = now.wall_ns;
    reserved.model = model.serial;
    const BlockKind kind = request.pinned ? BlockKind::pinned : BlockKind::dedicated;
    decision.events.push_back(ModelLoading{model, command.operation, reserved.id, *device, command.inspection});
    decision.events.push_back(BlockReserved{reserved.block, *device, kind, std::string(model_owner), granted});
    decision.events.push_back(reserved);
    decision.effects.push_back(CreateBlockEffect{reserved.block});
    return decision;
}

Result<Decision> decide_one(const State& state, const LoadedCommand& command, Moment now) {
    const model::Model* model = state.catalogue.loading_by(command.operation);
    if (model == nullptr) return Decision{};
    Decision decision;
    decision.operation = command.operation;
    decision.events.push_back(AllocationReady{model->allocation});
    decision.events.push_back(ModelResident{model->id, command.load_ns, now.wall_ns});
    for (const OperationId waiting : state.catalogue.waiting_for(model->id.serial))
        end_operation(decision, waiting, OperationState::succeeded, {}, now.wall_ns);
    return decision;
}

void end_load(const State& state, Decision& decision, const model::Model& model, OperationState how, const Error& error, u64 wall_ns) {
    for (const OperationId waiting : state.catalogue.waiting_for(model.id.serial)) end_operation(decision, waiting, how, error, wall_ns);
    decision.events.push_back(ModelGone{model.id});
    decision.events.push_back(AllocationDropped{model.allocation, error.code, describe(error)});
}

Result<Decision> decide_one(const State& state, const OperationFailedCommand& command, Moment now) {
    const model::Operation* operation = state.catalogue.operation(command.operation);
    const model::Model* model = state.catalogue.loading_by(command.operation);
    const bool running = operation != nullptr && operation->state == OperationState::running;
    if (model == nullptr)
        return running && operation->model == 0 ? failed(state, command.operation, command.error, now.wall_ns) : Decision{};
    Decision decision;
    const bool cancelled = state.catalogue.cancelling(model->id.serial);
    const BlockKey block = state.books.allocation(model->allocation)->row.block;
    end_load(state, decision, *model, cancelled ? OperationState::cancelled : OperationState::failed, command.error, now.wall_ns);
    if (state.books.block(block)->row.state == BlockState::ready) release_block(decision, block);
    return decision;
}

Result<Decision> decide_one(const State& state, const UnloadModelCommand& command, Moment) {
    if (!command.device_id.empty() && !state.books.device_named(command.device_id)) return no_device(state.books, command.device_id);
    const model::Model* model = state.catalogue.model_named(command.name);
    if (model == nullptr) return not_found("model", command.name);
    const std::string& device = state.books.devices()[model->device].id;
    if (!command.device_id.empty() && command.device_id != device)
        return refuse(Code::not_found, "model", "There is no model " + command.name + " on the device " + command.device_id + ".");
    if (model->state == ModelState::loading)
        return refuse(Code::conflict, "name",
                      "The model " + command.name + " is being loaded; cancel operation " + to_text(model->operation) + " instead.");
    Decision decision;
    if (model->names.size() > 1) {  // Others know the same memory by another name.
        decision.events.push_back(ModelUnnamed{model->id, command.name});
        return decision;
    }
    if (const auto transfers = state.transfers.of(model->allocation.serial); !transfers.empty())
        return refuse(Code::leased, "name",
                      "The model " + command.name + " is read by the transfer " + to_text(transfers.front()->plan.id) +
                          "; wait for its end or cancel it.");
    if (command.in_use) return refuse(Code::leased, "name", "The model " + command.name + " is being read; try again when that has ended.");
    const memory::Allocation& allocation = *state.books.allocation(model->allocation);
    decision.allocation = model->allocation;
    decision.freed_bytes = allocation.row.granted_bytes;
    decision.events.push_back(ModelGone{model->id});
    end_allocation(state, decision, allocation, AllocationFreed{model->allocation, Code::cancelled});
    return decision;
}

Result<Decision> decide_one(const State& state, const CancelOperationCommand& command, Moment now) {
    const model::Operation* operation = state.catalogue.operation(command.id);
    const bool visible = operation != nullptr && (command.caller.role == Role::admin || operation->owner == command.caller.owner);
    if (!visible) return not_found("operation", to_text(command.id));
    if (operation->state != OperationState::running)
        return refuse(Code::conflict, "operation", "The operation has ended already (" + std::string(name_of(operation->state)) + ").");
    Decision decision;
    decision.operation = command.id;
    const model::Model* model = state.catalogue.model(operation->model);
    // Others wait for the same load: it goes on without this one.
    if (model != nullptr && state.catalogue.waiting_for(model->id.serial).size() > 1) {
        end_operation(decision, command.id, OperationState::cancelled, {Code::cancelled, "operation", 0, 0, "The load was cancelled."},
                      now.wall_ns);
        return decision;
    }
    if (!operation->cancelling) decision.events.push_back(OperationCancelling{command.id});
    if (operation->is_upkeep()) {  // Looks for it before each move.
        decision.effects.push_back(UpkeepEffect{command.id});
        return decision;
    }
    decision.effects.push_back(StopLoadEffect{model == nullptr ? command.id : model->operation});
    return decision;
}
}  // namespace vramd::core
