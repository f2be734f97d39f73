/// What an event leads to: who is told of it, and whom it wakes. Noted under the lock, done once that is let go.
#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
/// Whether a model may be there now that can be evicted and could not be before: one that came to be whole, nobody's yet; one that is not
/// pinned any more; or one that a transfer has let go of.
bool lets_evict(const Event& event) {
    return std::holds_alternative<ModelResident>(event) || std::holds_alternative<ModelTiered>(event) ||
           std::holds_alternative<TransferEnded>(event);
}
}  // namespace

/// Who must be told of this event, once the lock is let go.
void Runner::note(const Event& event, Told& told) {
    if (const auto* ready = std::get_if<AllocationReady>(&event)) {
        note_allocation(ready->id, nullptr, told);
    } else if (const auto* dropped = std::get_if<AllocationDropped>(&event)) {
        const Error error{dropped->code, "/sizeBytes", 0, 0, dropped->detail};
        note_allocation(dropped->id, &error, told);
    } else if (const auto* ended = std::get_if<OperationEnded>(&event)) {
        note_operation(*ended, told);
    }
    note_load(event, told);
    note_transfer(event, told);
    note_upkeep(event, told);
    note_release(event, told);
    const bool block_gone = std::holds_alternative<BlockGone>(event);
    if (block_gone) shrink_devices(told);
    const bool moved = std::holds_alternative<AllocationMoved>(event) || std::holds_alternative<MoveDropped>(event);
    const bool given = std::holds_alternative<AllocationFreed>(event) || std::holds_alternative<AllocationDropped>(event);
    const bool room = block_gone || moved || given || std::holds_alternative<LimitsSet>(event);
    note_emergency(event, told);
    if ((room || lets_evict(event)) && somebody_waits()) told.push_back([this] { retry_waiting(); });
    if (block_gone && !waiting_places_.empty()) told.push_back([this] { retry_places(); });
    if (room && !waiting_transfers_.empty()) told.push_back([this] { retry_transfers(); });
}

/// A capacity that was made smaller while more was handed out takes effect as blocks go.
void Runner::shrink_devices(Told& told) {
    for (const memory::DeviceRow& row : state_.books.devices()) {
        const auto configured = devices_.find(row.id);
        if (configured == devices_.end() || row.capacity_bytes <= configured->second.capacity_bytes) continue;
        told.push_back(
            [this, command = AddDeviceCommand{row.id, configured->second.capacity_bytes, row.granule_bytes}] { conclude(command); });
    }
}

/// Who loads a model to attach it has it held from this moment on: else whoever waits for room could be before.
void Runner::note_operation(const OperationEnded& ended, Told& told) {
    const model::Operation* operation = state_.catalogue.operation(ended.id);
    if (const auto held = held_loads_.find(ended.id.serial); held != held_loads_.end()) {
        const bool there = operation != nullptr && ended.state == OperationState::succeeded;
        const model::Copy* copy = there ? state_.catalogue.copy_on(operation->model, operation->target) : nullptr;
        if (copy != nullptr) hold(held->second.serial = copy->allocation.serial);
        if (copy == nullptr) held_loads_.erase(held);
    }
    auto waiters = operation_waiters_.extract(ended.id.serial);
    if (waiters.empty() || operation == nullptr) return;
    report::OperationTold record = report::operation(state_, *operation);
    const model::Model* model = ended.state == OperationState::succeeded ? state_.catalogue.model(operation->model) : nullptr;
    if (model != nullptr) {  // It may be gone before anybody is told.
        record.model = report::model(state_, *model);
        record.model->attached_clients = attached_to(*model);
    }
    for (auto& done : waiters.mapped()) told.push_back([done = std::move(done), record]() mutable { done(std::move(record)); });
}

void Runner::note_allocation(AllocationId id, const Error* error, Told& told) {
    auto found = allocation_waiters_.extract(id.serial);
    if (found.empty()) return;
    AllocationWaiter& waiter = found.mapped();
    if (error != nullptr) {
        told.push_back([done = std::move(waiter.done), error = *error]() mutable { done(std::unexpected(error)); });
        return;
    }
    const memory::Allocation& allocation = *state_.books.allocation(id);
    const u64 now = ports_.clock().monotonic_ns;
    Allocated allocated;
    allocated.record = report::allocation(state_, allocation);
    allocated.device_after = report::device_books(state_, state_.books.block(allocation.row.block)->row.device, report::Detail::sums);
    allocated.placement_ns = waiter.decide_ns;
    allocated.zeroing_ns = waiter.zero_started_ns == 0 ? 0 : now - waiter.zero_started_ns;
    allocated.total_ns = now - waiter.asked_ns;
    const u64 known = allocated.placement_ns + allocated.zeroing_ns;
    allocated.wait_ns = allocated.total_ns > known ? allocated.total_ns - known : 0;
    told.push_back([done = std::move(waiter.done), allocated = std::move(allocated)]() mutable { done(std::move(allocated)); });
}
}  // namespace vramd::engine
