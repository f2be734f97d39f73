/// Transfers: accepted with their room taken, begun in a fair order, ended by one event that makes the new place the only one.
#include <algorithm>
#include <bit>

#include "core/decide.hpp"

namespace vramd::core {
namespace {
using memory::Allocation;
using memory::Transfer;

/// The allocation, if the caller may use it for a transfer and it is ready.
Result<const Allocation*> usable(const State& state, const Caller& caller, AllocationId id, std::string_view field) {
    const Allocation* allocation = state.books.allocation(id);
    if (allocation == nullptr || !may_see(state, caller, *allocation)) {
        auto missing = not_found("allocation", to_text(id));
        missing.error().field = field;
        return missing;
    }
    TRY_DO(check_usable(*allocation, field));
    return allocation;
}

Result<void> check_free_for(const State& state, AllocationId id, std::string_view field, TransferMode how) {
    const Transfer* changing = state.transfers.changing(id.serial);
    const auto of = state.transfers.of(id.serial);
    const Transfer* hindering = changing != nullptr ? changing : (how == TransferMode::move && !of.empty() ? of.front() : nullptr);
    if (hindering == nullptr) return {};
    return refuse(
        Code::leased, field,
        "The allocation " + to_text(id) + " is in the transfer " + to_text(hindering->plan.id) + "; wait for its end or cancel it.");
}

Result<void> check_move(const State& state, const TransferCommand& command, const Allocation& source) {
    if (source.row.model != 0)
        return refuse(Code::conflict, "/mode",
                      "The allocation holds a model, which is loaded and unloaded, not moved; copy its bytes instead.");
    if (source.row.type == AllocationType::pinned)
        return refuse(Code::pinned, "/sourceAllocationId", "The allocation is pinned: it is never moved. Copy it instead.");
    const bool whole = command.source_offset_bytes == 0 && command.size_bytes.value_or(source.row.size_bytes) == source.row.size_bytes;
    if (state.books.move(source.row.id.serial) != nullptr)
        return refuse(Code::busy, "/sourceAllocationId", "The allocation is being moved to close a hole; try again in a moment.");
    if (!whole)
        return refuse(Code::invalid_field, "/sizeBytes", "A move takes the whole allocation: leave /sourceOffsetBytes and /sizeBytes out.");
    return {};
}

/// The part of the source that goes, and where in the target it lands. `target_bytes`: what the target holds.
Result<u64> size_of(const TransferCommand& command, const Allocation& source, u64 target_bytes) {
    if (command.source_offset_bytes >= source.row.size_bytes)
        return refuse(Code::out_of_range, "/sourceOffsetBytes", command.source_offset_bytes, source.row.size_bytes - 1);
    const u64 rest = source.row.size_bytes - command.source_offset_bytes;
    if (command.size_bytes && (*command.size_bytes == 0 || *command.size_bytes > rest))
        return refuse(Code::out_of_range, "/sizeBytes", *command.size_bytes, rest);
    if (command.target_offset_bytes >= target_bytes)
        return refuse(Code::out_of_range, "/targetOffsetBytes", command.target_offset_bytes, target_bytes - 1);
    const u64 room = target_bytes - command.target_offset_bytes;
    const u64 wanted = command.size_bytes.value_or(command.mode == TransferMode::move ? rest : std::min(rest, room));
    if (wanted > room) return refuse(Code::out_of_range, "/sizeBytes", wanted, room);
    return wanted;
}

TransferPlan plan_of(const State& state, const TransferCommand& command, const Allocation& source, Moment now) {
    TransferPlan plan;
    plan.id = {state.transfers.next_transfer(), command.secret};
    plan.owner = command.caller.owner;
    plan.source = command.source;
    plan.source_device = state.books.block(source.row.block)->row.device;
    plan.source_offset_bytes = command.source_offset_bytes;
    plan.target_offset_bytes = command.target_offset_bytes;
    plan.mode = command.mode;
    plan.priority = command.priority;
    plan.verify = command.verify;
    plan.deadline_monotonic_ns = command.timeout_ns == 0 ? 0 : now.monotonic_ns + std::min(command.timeout_ns, u64{1} << 62);
    plan.wall_ns = now.wall_ns;
    return plan;
}

Result<Decision> into_allocation(const State& state, const TransferCommand& command, const Allocation& source, Moment now) {
    TRY(const Allocation* target, usable(state, command.caller, *command.target, "/targetAllocationId"));
    if (*command.target == command.source)
        return refuse(Code::conflict, "/targetAllocationId", "Source and target are one allocation; use operations/copy within one.");
    if (target->row.model != 0)
        return refuse(Code::conflict, "/targetAllocationId", "The allocation holds a model, which cannot be changed.");
    TRY_DO(check_free_for(state, *command.target, "/targetAllocationId", TransferMode::move));
    TransferPlan plan = plan_of(state, command, source, now);
    TRY(plan.size_bytes, size_of(command, source, target->row.size_bytes));
    plan.target = *command.target;
    plan.target_device = state.books.block(target->row.block)->row.device;
    Decision decision;
    decision.transfer = plan.id;
    decision.events.push_back(TransferQueued{std::move(plan)});
    decision.effects.push_back(ScheduleTransfersEffect{});
    return decision;
}

/// Makes room on the device, but not by evicting what is to be copied there.
bool make_room_for(const State& state, Decision& decision, const TransferCommand& command, u16 device, u64 size_bytes, Moment now) {
    std::vector<u64> in_use = command.in_use;
    in_use.insert(std::ranges::upper_bound(in_use, command.source.serial), command.source.serial);
    return make_room(state, decision, {device, ReclaimReach::models, {}, command.frozen, in_use, {}, now.wall_ns}, size_bytes);
}

/// What a copy makes on another device: as the source is, and the copier's own where the source holds a model. Without its place.
AllocationReserved target_of(const State& state, const TransferCommand& command, const Allocation& source, Moment now) {
    const memory::AllocationRow& row = source.row;
    const bool model = row.model != 0;
    AllocationReserved made;
    made.id = {state.books.next_allocation(), command.allocation_secret};
    made.alignment_bytes = u64{1} << row.alignment_log2;
    made.type = model ? AllocationType::default_ : row.type;
    made.owner = model ? command.caller.owner : state.books.name(row.owner);
    made.purpose = model ? std::string("copy of a model") : state.books.name(row.purpose);
    made.persistent = row.persistent;
    made.shareable = !model && row.shareable;
    made.lease_seconds = row.lease_seconds;
    made.lease_until_monotonic_ns = made.persistent ? 0 : now.monotonic_ns + made.lease_seconds * ns_per_second;
    made.wall_ns = now.wall_ns;
    return made;
}

/// Takes room on the device: a second place of the source for a move, an allocation to be made for a copy.
Result<Decision> to_device(const State& state, const TransferCommand& command, const Allocation& source, Moment now) {
    const memory::Books& books = state.books;
    const auto device = books.device_named(command.target_device_id);
    if (!device || books.devices()[*device].capacity_bytes == 0) {
        auto missing = no_device(books, command.target_device_id);
        missing.error().field = "/targetDeviceId";
        return missing;
    }
    if (command.target_offset_bytes != 0)
        return refuse(Code::invalid_field, "/targetOffsetBytes",
                      "With /targetDeviceId the target is made to measure: /targetOffsetBytes must be 0.");
    TransferPlan plan = plan_of(state, command, source, now);
    plan.target_device = *device;
    TRY(plan.size_bytes, size_of(command, source, source.row.size_bytes));
    if (command.mode == TransferMode::move && plan.source_device == *device)
        return refuse(Code::conflict, "/targetDeviceId", "The allocation is on " + command.target_device_id + " already.");
    AllocationReserved made = target_of(state, command, source, now);
    const bool open = !std::ranges::binary_search(command.closed, *device);
    const auto spot =
        books.place({*device, made.owner, plan.size_bytes, made.alignment_bytes, made.type, made.shareable, command.frozen, open});
    Decision decision;
    if (!spot) {
        const bool no_room = spot.error().code == Code::insufficient_memory && open;
        if (no_room && make_room_for(state, decision, command, *device, plan.size_bytes, now)) return decision;
        return std::unexpected(spot.error());
    }
    BlockKey block = spot->block;
    if (block == 0) {
        block = books.next_block();
        decision.events.push_back(BlockReserved{block, *device, spot->kind, made.owner, spot->block_bytes});
        decision.effects.push_back(CreateBlockEffect{block});
    }
    if (command.mode == TransferMode::move) {
        plan.target = command.source;
        decision.events.push_back(MoveReserved{command.source, block, spot->offset_bytes, spot->granted_bytes, 0});
    } else {
        made.block = block;
        made.offset_bytes = spot->offset_bytes;
        made.size_bytes = plan.size_bytes;
        made.granted_bytes = spot->granted_bytes;
        plan.target = made.id;
        plan.makes_target = true;
        decision.events.push_back(std::move(made));
    }
    decision.transfer = plan.id;
    decision.events.push_back(TransferQueued{std::move(plan)});
    decision.effects.push_back(ScheduleTransfersEffect{});
    return decision;
}

/// True once the block that the bytes go to is there.
bool may_begin(const State& state, const TransferPlan& plan) {
    const memory::Move* move = plan.keeps_id() ? state.books.move(plan.source.serial) : nullptr;
    const BlockKey block = move != nullptr ? move->block : state.books.allocation(plan.target)->row.block;
    return state.books.block(block)->row.state == BlockState::ready;
}

const Transfer* visible(const State& state, const Caller& caller, TransferId id) {
    const Transfer* transfer = state.transfers.transfer(id);
    const bool seen = transfer != nullptr && (caller.role == Role::admin || transfer->plan.owner == caller.owner);
    return seen ? transfer : nullptr;
}

/// It ends without success: what it had taken goes back.
void fail(const State& state, Decision& decision, const Transfer& transfer, TransferState how, Error error, TransferResult result,
          u64 wall_ns) {
    error.detail = describe(error);
    const TransferPlan& plan = transfer.plan;
    if (plan.keeps_id() && state.books.move(plan.source.serial) != nullptr)
        drop_move(state, decision, *state.books.allocation(plan.source), error.code);
    if (const Allocation* target = plan.makes_target ? state.books.allocation(plan.target) : nullptr)
        end_allocation(state, decision, *target, AllocationDropped{plan.target, error.code, error.detail});
    decision.events.push_back(TransferEnded{plan.id, how, std::move(error), result, wall_ns});
    decision.effects.push_back(ScheduleTransfersEffect{});
}

Error ended_by(Code reason) {
    if (reason == Code::timed_out) return {Code::timed_out, "/timeoutSeconds", 0, 0, "The transfer's time ran out before it had ended."};
    return {Code::cancelled, "transfer", 0, 0, "The transfer was cancelled."};
}
TransferState state_of(Code reason) { return reason == Code::cancelled ? TransferState::cancelled : TransferState::failed; }

/// Ends a queued one at once; asks a running one to stop.
Decision end_early(const State& state, const Transfer& transfer, Code reason, Moment now) {
    Decision decision;
    decision.transfer = transfer.plan.id;
    if (transfer.state == TransferState::queued) {
        const u64 waited = now.wall_ns > transfer.plan.wall_ns ? now.wall_ns - transfer.plan.wall_ns : 0;
        fail(state, decision, transfer, state_of(reason), ended_by(reason), {0, waited, 0, 0}, now.wall_ns);
        return decision;
    }
    if (!transfer.ending) decision.events.push_back(TransferCancelling{transfer.plan.id, reason});
    decision.effects.push_back(StopTransferEffect{transfer.plan.id});
    return decision;
}
}  // namespace

Result<Decision> decide_one(const State& state, const TransferCommand& command, Moment now) {
    if (command.target.has_value() != command.target_device_id.empty())
        return refuse(Code::invalid_field, "/targetDeviceId", "Exactly one of /targetAllocationId and /targetDeviceId must be given.");
    if (state.transfers.open() >= memory::transfers_open_max)
        return refuse(Code::busy, "transfers",
                      "As many transfers are open as may be at once (" + std::to_string(memory::transfers_open_max) + ").");
    TRY(const Allocation* source, usable(state, command.caller, command.source, "/sourceAllocationId"));
    TRY_DO(check_free_for(state, command.source, "/sourceAllocationId", command.mode));
    if (command.mode == TransferMode::move) {
        TRY_DO(check_move(state, command, *source));
    }
    return command.target ? into_allocation(state, command, *source, now) : to_device(state, command, *source, now);
}

Result<Decision> decide_one(const State& state, const ScheduleTransfersCommand&, Moment now) {
    Decision decision;
    if (state.transfers.running() >= memory::transfers_running_max) return decision;
    for (const Transfer* transfer : state.transfers.next()) {
        if (!may_begin(state, transfer->plan)) continue;
        decision.events.push_back(TransferBegun{transfer->plan.id, now.wall_ns});
        decision.effects.push_back(TransferEffect{transfer->plan.id});
        decision.effects.push_back(ScheduleTransfersEffect{});  // Whose turn is next depends on this one.
        break;
    }
    return decision;
}

Result<Decision> decide_one(const State& state, const CancelTransferCommand& command, Moment now) {
    const Transfer* transfer = visible(state, command.caller, command.id);
    if (transfer == nullptr) return not_found("transfer", to_text(command.id));
    if (!transfer->is_open())
        return refuse(Code::conflict, "transfer", "The transfer has ended already (" + std::string(name_of(transfer->state)) + ").");
    return end_early(state, *transfer, Code::cancelled, now);
}

Result<Decision> decide_one(const State& state, const ExpireTransferCommand& command, Moment now) {
    const Transfer* transfer = state.transfers.transfer(command.id);
    if (transfer == nullptr || !transfer->is_open() || transfer->plan.deadline_monotonic_ns > now.monotonic_ns) return Decision{};
    return end_early(state, *transfer, Code::timed_out, now);
}

Result<Decision> decide_one(const State& state, const TransferredCommand& command, Moment now) {
    const Transfer* transfer = state.transfers.transfer(command.id);
    Decision decision;
    if (transfer == nullptr || transfer->state != TransferState::running) return decision;
    decision.transfer = command.id;
    const TransferPlan& plan = transfer->plan;
    if (command.error) {
        // Who was asked to stop and failed, stopped.
        const bool stopped = transfer->ending.has_value();
        fail(state, decision, *transfer, stopped ? state_of(*transfer->ending) : TransferState::failed,
             stopped ? ended_by(*transfer->ending) : *command.error, command.result, now.wall_ns);
        return decision;
    }
    if (plan.makes_target) decision.events.push_back(AllocationReady{plan.target});
    if (plan.keeps_id()) {
        decision.events.push_back(AllocationMoved{plan.source});
        const memory::Block& first = *state.books.block(state.books.allocation(plan.source)->row.block);
        if (first.allocations().size() == 1) release_block(decision, first.row.key);
    } else if (plan.mode == TransferMode::move) {
        decision.freed_bytes = state.books.allocation(plan.source)->row.granted_bytes;
        end_allocation(state, decision, *state.books.allocation(plan.source), AllocationFreed{plan.source, Code::cancelled});
    }
    decision.events.push_back(TransferEnded{plan.id, TransferState::succeeded, {}, command.result, now.wall_ns});
    decision.effects.push_back(ScheduleTransfersEffect{});
    return decision;
}

void end_transfers_of(const State& state, Decision& decision, u64 allocation_serial, BlockKey lost, const Error& error, u64 wall_ns) {
    for (const Transfer* transfer : state.transfers.of(allocation_serial)) {
        const bool ended = std::ranges::any_of(decision.events, [transfer](const Event& event) {
            const auto* other = std::get_if<TransferEnded>(&event);
            return other != nullptr && other->id == transfer->plan.id;
        });
        if (ended) continue;  // Its other end was in the same block.
        Error told = error;
        told.detail = describe(error);
        const Allocation* made = transfer->plan.makes_target ? state.books.allocation(transfer->plan.target) : nullptr;
        if (made != nullptr && made->row.block != lost)
            end_allocation(state, decision, *made, AllocationDropped{transfer->plan.target, told.code, told.detail});
        decision.events.push_back(TransferEnded{transfer->plan.id, TransferState::failed, std::move(told), {}, wall_ns});
        decision.effects.push_back(StopTransferEffect{transfer->plan.id});
    }
}
}  // namespace vramd::core
