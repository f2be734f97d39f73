/// Loading models. A load is an operation: inspect the header, find the place, reserve exactly what the header says, make the block, let it
/// be filled, and only then is the copy there. Every way out of it gives the memory back (decide_load_ends.cpp).
///
/// Disk → RAM cache → device: what is wanted on another device than the cache's comes by way of the cache where that can hold it, so that
/// it is there for the next time; else straight from the file. What is in memory anywhere is copied from there, never read again.
#include <algorithm>

#include "core/decide.hpp"

namespace vramd::core {
namespace {
Result<void> check(const State& state, const LoadRequest& request) {
    if (request.name.empty() || request.name.size() > model_name_bytes_max)
        return refuse(Code::invalid_field, "/name", request.name.size(), model_name_bytes_max);
    if (request.path.empty()) return refuse(Code::invalid_field, "/path", "/path must name a model file.");
    if (state.catalogue.running() >= model::running_max)
        return refuse(Code::busy, "operations",
                      "As many operations are running as may run at once (" + std::to_string(model::running_max) + ").");
    if (request.tier == ModelTier::ram && (!state.catalogue.cache() || state.catalogue.cache()->max_bytes == 0))
        return refuse(Code::unsupported, "/name", "There is no RAM cache: no host device is configured, or --ram-cache is 0.");
    if (request.device_id.empty()) return {};
    const auto device = state.books.device_named(request.device_id);
    if (!device || state.books.devices()[*device].capacity_bytes == 0) return no_device(state.books, request.device_id);
    return {};
}

/// Asks for the header once more, and decides by what is there then.
Decision again(Decision decision, OperationId id) {
    decision.effects.push_back(InspectModelEffect{id});
    return decision;
}

/// What finding a place may use, whether the header has just been read or the model is known.
struct Needs {
    const model::Operation& operation;
    const std::vector<u64>& frozen;
    const std::vector<u64>& in_use;
    const std::vector<u16>& closed;
    u64 allocation_secret;
    Waited waited;
    Moment now;

    [[nodiscard]] bool is_closed(u16 device) const { return std::ranges::binary_search(closed, device); }
    [[nodiscard]] ReclaimScope scope(u16 device, ReclaimReach reach = ReclaimReach::models) const {
        return {device, reach, {}, frozen, in_use, {}, now.wall_ns};
    }
};

/// Where a new model goes if no device is named: the device with most room.
std::optional<u16> roomiest(const State& state, const Needs& needs, u64 size_bytes) {
    const memory::Books& books = state.books;
    std::optional<u16> best;
    const auto may = [&](u16 device) {
        return !needs.is_closed(device) && books.allow(device, model_owner, size_bytes, memory::Books::Could::now).has_value();
    };
    for (u16 i = 0; i < books.devices().size(); ++i)
        if (may(i) && (!best || books.uncommitted_bytes(i) > books.uncommitted_bytes(*best))) best = i;
    if (best && books.uncommitted_bytes(*best) >= size_bytes) return best;
    Decision unused;
    for (u16 i = 0; i < books.devices().size(); ++i)
        if (may(i) && make_room(state, unused, needs.scope(i), size_bytes)) return i;
    if (!best && !books.devices().empty()) return u16{0};  // None allows it: the first one's reason is told.
    return best;
}

/// The device on which the operation wants the model.
std::optional<u16> target_of(const State& state, const Needs& needs, const model::Model* model, u64 size_bytes) {
    const LoadRequest& request = needs.operation.request;
    if (needs.operation.model != 0) return needs.operation.target;
    if (request.tier == ModelTier::ram) return state.catalogue.cache()->device;
    if (!request.device_id.empty()) return state.books.device_named(request.device_id);
    if (model == nullptr) return roomiest(state, needs, size_bytes);
    const auto copies = state.catalogue.copies_of(model->id.serial);
    const auto loaded = std::ranges::find(copies, ModelTier::device, &model::Copy::tier);
    return (loaded != copies.end() ? *loaded : copies.front())->device;
}

/// Why a model that takes `granted_bytes` cannot be loaded onto the device now, if it cannot.
std::optional<Error> why_not(const State& state, const Needs& needs, u16 device, u64 granted_bytes) {
    const memory::Books& books = state.books;
    if (const auto allowed = books.allow(device, model_owner, granted_bytes, memory::Books::Could::now); !allowed) {
        Error refusal = allowed.error();
        refusal.field = "/path";
        return refusal;
    }
    const u64 room = books.uncommitted_bytes(device);
    const bool closed = needs.is_closed(device);
    if (!closed && granted_bytes <= room) return std::nullopt;
    const std::string takes = "The model takes " + std::to_string(granted_bytes) + " bytes on " + books.devices()[device].id;
    if (closed && granted_bytes <= room)
        return Error{Code::insufficient_memory, "/path", granted_bytes, 0,
                     takes + ", whose room is kept for a request that has waited longer; try again in a moment."};
    return Error{Code::insufficient_memory, "/path", granted_bytes, room, takes + ", where " + std::to_string(room) + " bytes are free."};
}

/// Takes the room for a copy. `told` is the event that makes the copy known, by the allocation's id.
template <class Told>
void reserve(const State& state, Decision& decision, const Needs& needs, ModelId model, u16 device, ModelTier tier, u64 size_bytes,
             Told&& told) {
    const u64 granule = state.books.devices()[device].granule_bytes;
    const bool pinned = needs.operation.request.pinned && tier == ModelTier::device;
    AllocationReserved reserved;
    reserved.id = {state.books.next_allocation(), needs.allocation_secret};
    reserved.block = state.books.next_block();
    reserved.size_bytes = size_bytes;
    reserved.granted_bytes = round_up(size_bytes, granule);
    reserved.alignment_bytes = granule;
    reserved.type = pinned ? AllocationType::pinned : AllocationType::default_;
    reserved.owner = model_owner;
    reserved.purpose = "model";
    reserved.shareable = true;
    reserved.wall_ns = needs.now.wall_ns;
    reserved.model = model.serial;
    decision.events.push_back(told(reserved.id));
    const BlockKind kind = pinned ? BlockKind::pinned : BlockKind::dedicated;
    decision.events.push_back(BlockReserved{reserved.block, device, kind, std::string(model_owner), reserved.granted_bytes});
    decision.events.push_back(reserved);
    decision.effects.push_back(CreateBlockEffect{reserved.block});
}

/// Whether a new model comes by way of the cache, whose cached copies give it room; `wait`: the room is on its way.
enum class ByCache : u8 { no, yes, wait };
ByCache by_cache(const State& state, Decision& decision, const Needs& needs, u16 target, u64 granted_bytes) {
    const auto& cache = state.catalogue.cache();
    if (!cache || cache->device == target || granted_bytes > cache->max_bytes || needs.is_closed(cache->device)) return ByCache::no;
    const memory::Books& books = state.books;
    if (!books.allow(cache->device, model_owner, granted_bytes, memory::Books::Could::now)) return ByCache::no;
    const u64 usable = books.usable_bytes(cache->device);
    if (granted_bytes > usable) return ByCache::no;
    const u64 too_many = excess_cached_bytes(state, cache->max_bytes - granted_bytes);
    const u64 wanted = std::max(too_many, excess_bytes(state, cache->device, usable - granted_bytes));
    const ReclaimPlan plan = plan_reclaim(state, needs.scope(cache->device, ReclaimReach::cache_only), wanted);
    if (plan.bytes < wanted) return ByCache::no;
    reclaim(state, decision, plan);
    decision.freed_bytes = 0;  // Of the request nothing is freed.
    return books.uncommitted_bytes(cache->device) >= granted_bytes ? ByCache::yes : ByCache::wait;
}

/// A copy that is asked for in the cache's tier: others there make room under its bound. Why not, if they cannot.
std::optional<Error> bound_cache(const State& state, Decision& decision, const Needs& needs, u64 granted_bytes) {
    const model::Cache& cache = *state.catalogue.cache();
    if (granted_bytes > cache.max_bytes)
        return Error{Code::limit_exceeded, "/path", granted_bytes, cache.max_bytes,
                     "The model takes " + std::to_string(granted_bytes) + " bytes; the RAM cache may hold " +
                         std::to_string(cache.max_bytes) + " (--ram-cache)."};
    const u64 too_many = excess_cached_bytes(state, cache.max_bytes - granted_bytes);
    const ReclaimPlan plan = plan_reclaim(state, needs.scope(cache.device, ReclaimReach::cache_only), too_many);
    if (plan.bytes < too_many)
        return Error{Code::insufficient_memory, "/path", granted_bytes, 0,
                     "All that the RAM cache holds is being used; try again in a moment."};
    reclaim(state, decision, plan);
    decision.freed_bytes = 0;
    return std::nullopt;
}

/// The name is another model's that only the cache holds: it gives the name up.
void yield_name(const State& state, Decision& decision, const model::Model& holder, const std::string& name) {
    if (holder.names.size() > 1) {
        decision.events.push_back(ModelUnnamed{holder.id, name});
        return;
    }
    for (const model::Copy* copy : state.catalogue.copies_of(holder.id.serial)) end_copy(state, decision, *copy, Code::cancelled);
}
bool may_yield(const State& state, const Needs& needs, const model::Model& holder) {
    if (!state.catalogue.waiting_for_model(holder.id.serial).empty()) return false;
    const auto copies = state.catalogue.copies_of(holder.id.serial);
    return std::ranges::all_of(copies, [&](const model::Copy* copy) {
        const bool idle = copy->tier == ModelTier::ram && copy->state == ModelState::resident;
        const u64 serial = copy->allocation.serial;
        const bool used = std::ranges::binary_search(needs.in_use, serial) || !state.transfers.of(serial).empty();
        return idle && (holder.names.size() > 1 || !used);
    });
}

/// The operation's name stands for the model. Where it was loaded nowhere any more, the names under which it was are over.
void name_model(const State& state, Decision& decision, const Needs& needs, const model::Model& model, u16 target) {
    decision.events.push_back(ModelNamed{model.id, needs.operation.id, target});
    const auto copies = state.catalogue.copies_of(model.id.serial);
    const bool loaded = std::ranges::find(copies, ModelTier::device, &model::Copy::tier) != copies.end();
    if (loaded || needs.operation.request.tier == ModelTier::ram || !state.catalogue.waiting_for_model(model.id.serial).empty()) return;
    for (const std::string& name : model.names)
        if (name != needs.operation.request.name) decision.events.push_back(ModelUnnamed{model.id, name});
}

/// The model is known: its copy where the operation wants it is there, or on its way, or is to be made.
Decision place_known(const State& state, const Needs& needs, const model::Model& model) {
    const model::Catalogue& catalogue = state.catalogue;
    const OperationId id = needs.operation.id;
    const u64 size_bytes = std::max<u64>(model.inspection->memory_bytes, 1);
    const auto target = target_of(state, needs, &model, size_bytes);
    if (!target) return failed_load(state, id, {Code::not_found, "/deviceId", 0, 0, "There is no such device."}, needs.now.wall_ns);
    Decision decision;
    decision.operation = id;
    const bool named = needs.operation.model == model.id.serial;
    const model::Copy* whole = catalogue.whole_copy(model.id.serial);
    const model::Copy* here = catalogue.copy_on(model.id.serial, *target);
    if (here == nullptr && whole == nullptr) here = catalogue.copies_of(model.id.serial).front();  // On its way, and needed first.
    if (here != nullptr && here->state == ModelState::loading && catalogue.cancelling(*here) && !named)
        return again(std::move(decision), id);  // That load's process is gone within milliseconds.
    if (!named) name_model(state, decision, needs, model, *target);
    if (here != nullptr) {
        const LoadRequest& request = needs.operation.request;
        const bool is_new = here->tier == ModelTier::ram || (request.pinned && !here->pinned);  // Nobody's pin is taken back by a load.
        if (here->device == *target && request.tier == ModelTier::device && is_new)
            decision.events.push_back(ModelTiered{model.id, here->allocation, here->device, ModelTier::device, request.pinned});
        if (here->state == ModelState::resident) {
            decision.events.push_back(AllocationAccessed{here->allocation, needs.now.wall_ns, 0});  // Asked for is as good as read.
            end_operation(decision, id, OperationState::succeeded, {}, needs.now.wall_ns);
        }
        return decision;
    }
    const u64 granted = round_up(size_bytes, state.books.devices()[*target].granule_bytes);
    std::vector<u64> in_use = needs.in_use;  // What the copy is made from stays.
    in_use.insert(std::ranges::upper_bound(in_use, whole->allocation.serial), whole->allocation.serial);
    const ReclaimScope scope{*target, ReclaimReach::models, {}, needs.frozen, in_use, {}, needs.now.wall_ns};
    if (const auto refusal = why_not(state, needs, *target, granted)) {
        const bool full = refusal->code == Code::insufficient_memory && !needs.is_closed(*target);
        if (full && make_room(state, decision, scope, size_bytes, Ahead::of_need)) {
            decision.again_after_release = false;  // Asked by an effect, not by whoever asked for the load.
            decision.effects.push_back(PlaceModelEffect{id, PlaceModelEffect::When::after_release});
            return decision;
        }
        return failed_load(state, id, after_wait(needs.waited, *refusal), needs.now.wall_ns);
    }
    const ModelTier tier = needs.operation.request.tier;
    if (tier == ModelTier::device)
        keep_marks(state, decision, scope, size_bytes);
    else if (auto refusal = bound_cache(state, decision, needs, granted))
        return failed_load(state, id, *std::move(refusal), needs.now.wall_ns);
    reserve(state, decision, needs, model.id, *target, tier, size_bytes, [&](AllocationId allocation) {
        return ModelCopying{model.id, id, allocation, *target, tier};
    });
    return decision;
}

/// The model is not in memory anywhere.
Decision place_new(const State& state, const Needs& needs, const Inspection& inspection, u64 model_secret) {
    const LoadRequest& request = needs.operation.request;
    const OperationId id = needs.operation.id;
    const u64 size_bytes = std::max<u64>(inspection.memory_bytes, 1);
    const auto target = target_of(state, needs, nullptr, size_bytes);
    if (!target) return failed_load(state, id, {Code::not_found, "/deviceId", 0, 0, "There is no such device."}, needs.now.wall_ns);
    Decision decision;
    decision.operation = id;
    const auto granted_on = [&](u16 device) { return round_up(size_bytes, state.books.devices()[device].granule_bytes); };
    u16 device = *target;
    ModelTier tier = request.tier;
    const auto& cache = state.catalogue.cache();
    const auto refusal = why_not(state, needs, device, granted_on(device));
    const bool can_be = !refusal || (refusal->code == Code::insufficient_memory && granted_on(device) <= state.books.usable_bytes(device));
    // From the cache nothing goes for a load that its device can never hold. What it holds now may go, or be let go of, by then.
    const ByCache way = can_be ? by_cache(state, decision, needs, device, cache ? granted_on(cache->device) : 0) : ByCache::no;
    if (way == ByCache::wait) return again(std::move(decision), id);
    if (way == ByCache::yes) {
        device = cache->device;
        tier = ModelTier::ram;
    } else if (tier == ModelTier::ram) {
        if (auto full = bound_cache(state, decision, needs, granted_on(device)))
            return failed_load(state, id, *std::move(full), needs.now.wall_ns);
        if (refusal && !decision.events.empty()) return again(std::move(decision), id);
        // What is loaded does not go for what is only kept.
        if (refusal && refusal->code == Code::insufficient_memory && !needs.is_closed(device) &&
            make_room(state, decision, needs.scope(device, ReclaimReach::cache), size_bytes))
            return again(std::move(decision), id);
        if (refusal) return failed_load(state, id, after_wait(needs.waited, *refusal), needs.now.wall_ns);
    } else if (refusal) {
        const bool full = refusal->code == Code::insufficient_memory && !needs.is_closed(device);
        if (full && make_room(state, decision, needs.scope(device), size_bytes, Ahead::of_need)) return again(std::move(decision), id);
        return failed_load(state, id, after_wait(needs.waited, *refusal), needs.now.wall_ns);
    }
    if (tier == ModelTier::device) keep_marks(state, decision, needs.scope(device), size_bytes);
    const ModelId model{state.catalogue.next_model(), model_secret};
    reserve(state, decision, needs, model, device, tier, size_bytes,
            [&](AllocationId allocation) { return ModelLoading{model, id, allocation, device, tier, *target, inspection}; });
    return decision;
}
/// The load takes its name from another model, if it then finds its place, or one in the cache by way of which it comes; if it does not,
/// or not yet, that one keeps it.
Result<Decision> place_in_the_name_of(const State& state, const Needs& needs, const model::Model& holder, const InspectedCommand& command) {
    Decision decision;
    decision.operation = needs.operation.id;
    yield_name(state, decision, holder, needs.operation.request.name);
    State without = state;
    for (const Event& event : decision.events) apply(without, event);
    TRY(Decision placed, decide_one(without, command, needs.now));
    const bool failed = std::ranges::any_of(placed.events, [](const Event& event) {
        const auto* ended = std::get_if<OperationEnded>(&event);
        return ended != nullptr && ended->state != OperationState::succeeded;
    });
    if (failed) return placed;
    std::ranges::move(placed.events, std::back_inserter(decision.events));
    std::ranges::move(placed.effects, std::back_inserter(decision.effects));
    return decision;
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
    if (operation->cancelling) return failed_load(state, command.operation, {}, now.wall_ns);
    const Needs needs{*operation, command.frozen, command.in_use, command.closed, command.allocation_secret, command.waited, now};
    const LoadRequest& request = operation->request;
    const model::Model* same = state.catalogue.model_of(command.inspection.identity);
    const model::Model* named = state.catalogue.model_named(request.name);
    if (named != nullptr && named != same && !may_yield(state, needs, *named)) {
        const bool changed = named->request.path == request.path;
        const std::string why = changed ? "The file " + request.path + " is not the one any more that the model " + request.name +
                                              " was loaded from; unload that first, or use another name."
                                        : "The name " + request.name + " stands for another file (" + named->request.path + ").";
        return failed_load(state, command.operation, {Code::name_in_use, "/name", 0, 0, why}, now.wall_ns);
    }
    if (named != nullptr && named != same) return place_in_the_name_of(state, needs, *named, command);
    return same == nullptr ? place_new(state, needs, command.inspection, command.model_secret) : place_known(state, needs, *same);
}

Result<Decision> decide_one(const State& state, const PlaceModelCommand& command, Moment now) {
    const model::Operation* operation = state.catalogue.operation(command.operation);
    if (operation == nullptr || operation->state != OperationState::running || operation->is_upkeep()) return Decision{};
    if (operation->cancelling && awaited_copy(state, *operation) != nullptr)
        return Decision{};  // It ends with that, which is being stopped.
    if (operation->cancelling) return failed_load(state, command.operation, {}, now.wall_ns);
    const model::Model* model = state.catalogue.model(operation->model);
    if (model == nullptr) return again({}, command.operation);  // What it was to be made from went: it comes from the file.
    const Needs needs{*operation, command.frozen, command.in_use, command.closed, command.allocation_secret, command.waited, now};
    return place_known(state, needs, *model);
}
}  // namespace vramd::core
