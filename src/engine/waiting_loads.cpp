/// Loads that wait: for clients that were asked to let go of what they hold, for another load on the same device, or behind an older load
/// that waits.
///
/// A load that does not fit, whatever is evicted for it, fails at once unless one of these may yet make its room; then it waits, for ten
/// seconds at most. Those that wait for one device are served by priority, among equals the oldest first, and a younger one takes no room
/// meanwhile, not even what is free: so two that cannot both fit have it in turn. What needs no room of its own (the model is there, or on
/// its way) waits for nobody.
#include <algorithm>

#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
OperationId load_of(const Command& command) {
    if (const auto* inspected = std::get_if<InspectedCommand>(&command)) return inspected->operation;
    if (const auto* placed = std::get_if<PlaceModelCommand>(&command)) return placed->operation;
    return {};
}

/// What a load's decision comes to.
enum class Comes : u8 {
    no_matter,  ///< It needs no room, or ends by something else than want of it.
    has_room,
    makes_room,  ///< It will have some once what it evicts, or what others gave back, is gone.
    has_none
};
Comes comes_of(const core::Decision& decision, OperationId id) {
    for (const Event& event : decision.events) {
        if (std::holds_alternative<BlockReserved>(event)) return Comes::has_room;
        const auto* ended = std::get_if<OperationEnded>(&event);
        if (ended != nullptr && ended->id == id && ended->state == OperationState::failed && ended->error.code == Code::insufficient_memory)
            return Comes::has_none;
    }
    const bool again = std::ranges::any_of(decision.effects, [](const Effect& effect) {
        return std::holds_alternative<InspectModelEffect>(effect) || std::holds_alternative<PlaceModelEffect>(effect);
    });
    return again ? Comes::makes_room : Comes::no_matter;
}

/// The device to which a load's decision takes it, or on which it is wanted; empty where that is not known yet.
std::string goes_to(const core::State& state, const model::Operation& operation, const core::Decision& decision) {
    for (const Event& event : decision.events)
        if (const auto* reserved = std::get_if<BlockReserved>(&event)) return state.books.devices()[reserved->device].id;
    const auto& cache = state.catalogue.cache();
    if (operation.request.tier == ModelTier::ram && cache) return state.books.devices()[cache->device].id;
    return operation.request.device_id;
}

bool may_be_one(std::string_view device_id, std::string_view other) { return device_id.empty() || other.empty() || device_id == other; }
}  // namespace

/// Whether the load has to wait now; then `command` is kept until it is tried again.
bool Runner::load_waits(Command& command, const core::Decision& decision, Told& told) {
    const OperationId id = load_of(command);
    const model::Operation* operation = id ? state_.catalogue.operation(id) : nullptr;
    if (operation == nullptr || operation->state != OperationState::running || operation->cancelling || stopping_) return false;
    const Comes comes = comes_of(decision, id);
    if (comes == Comes::no_matter) {  // Another load brings it, perhaps.
        leave_queue(id.serial, told);
        return false;
    }
    const auto found = waiting_loads_.find(id.serial);
    const u64 now_ns = ports_.clock().monotonic_ns;
    if (found != waiting_loads_.end() && now_ns >= found->second.plea.deadline_ns) return false;
    const std::string device_id = goes_to(state_, *operation, decision);
    const bool behind = stands_behind(*operation, device_id);
    if (comes == Comes::has_room && !behind) return false;
    WaitingLoad fresh;
    if (found == waiting_loads_.end()) {
        const auto held = held_loads_.find(id.serial);
        fresh.plea = {held == held_loads_.end() ? 0 : held->second.session, now_ns + asked_within_max_ns, {}};
        fresh.priority = operation->request.priority;
        fresh.device_id = device_id;
    }
    WaitingLoad& waiting = found == waiting_loads_.end() ? fresh : found->second;
    const bool goes_on = comes == Comes::makes_room && !behind;
    if (!behind && !goes_on && !ask_for(command, waiting.plea, told) && !comes_free(*operation)) return false;
    if (!goes_on) waiting.command = std::move(command);
    if (found != waiting_loads_.end()) return !goes_on;
    ports_.executor->post_at(fresh.plea.deadline_ns, [this] { retry_loads(); });
    waiting_loads_.emplace(id.serial, std::move(fresh));
    return !goes_on;
}

/// Whether a more urgent or older load waits where this one may go.
bool Runner::stands_behind(const model::Operation& operation, std::string_view device_id) const {
    return std::ranges::any_of(waiting_loads_, [&](const auto& entry) {
        const auto& [serial, waiting] = entry;
        const bool before = waiting.priority > operation.request.priority ||
                            (waiting.priority == operation.request.priority && serial < operation.id.serial);
        return serial != operation.id.serial && before && may_be_one(waiting.device_id, device_id);
    });
}

/// Whether a model on its device may yet come to be one that can go, or whose holder can be asked: it is being loaded, or was just now and
/// is held for who is about to attach it.
bool Runner::comes_free(const model::Operation& operation) const {
    const auto here = [&](const model::Copy& copy) {
        return !copy.pinned && may_be_one(state_.books.devices()[copy.device].id, operation.request.device_id);
    };
    const bool loading = std::ranges::any_of(
        state_.catalogue.copies(), [&](const auto& entry) { return entry.second.state == ModelState::loading && here(entry.second); });
    return loading || std::ranges::any_of(held_loads_, [&](const auto& entry) {
               const model::Copy* copy = state_.catalogue.copy(entry.second.serial);
               return copy != nullptr && here(*copy);
           });
}

/// All loads that wait try again, in the order in which they are served.
void Runner::retry_loads() {
    std::vector<std::pair<Priority, u64>> all;
    {
        const Lock lock(lock_);
        for (const auto& [serial, waiting] : waiting_loads_)
            if (waiting.command) all.emplace_back(waiting.priority, serial);
    }
    std::ranges::stable_sort(all, std::ranges::greater{}, &std::pair<Priority, u64>::first);
    for (const auto& [priority, serial] : all) retry_load(serial);
}

void Runner::retry_load(u64 serial) {
    std::optional<Command> command;
    {
        const Lock lock(lock_);
        const auto found = waiting_loads_.find(serial);
        if (found == waiting_loads_.end() || stopping_) return;  // The next core goes on with it.
        command = std::exchange(found->second.command, std::nullopt);
    }
    if (command) conclude(*std::move(command));
}

/// A load that has its room, or has ended, is none of those that wait; the others look whether it is their turn.
void Runner::note_load(const Event& event, Told& told) {
    u64 serial = 0;
    if (const auto* loading = std::get_if<ModelLoading>(&event)) serial = loading->operation.serial;
    if (const auto* copying = std::get_if<ModelCopying>(&event)) serial = copying->operation.serial;
    if (const auto* ended = std::get_if<OperationEnded>(&event)) serial = ended->id.serial;
    if (serial != 0) leave_queue(serial, told);
}

void Runner::leave_queue(u64 serial, Told& told) {
    if (waiting_loads_.erase(serial) > 0 && !waiting_loads_.empty()) told.push_back([this] { retry_loads(); });
}
}  // namespace vramd::engine
