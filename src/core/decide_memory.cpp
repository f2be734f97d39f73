/// Allocating, freeing, leases.
#include <algorithm>
#include <bit>

#include "core/decide.hpp"

namespace vramd::core {
namespace {
using memory::Books;

Result<void> check_lease(u64 seconds) {
    if (seconds == 0 || seconds > lease_seconds_max) return refuse(Code::invalid_field, "/leaseSeconds", seconds, lease_seconds_max);
    return {};
}

Result<void> check(const AllocateCommand& command) {
    if (!command.persistent) {
        TRY_DO(check_lease(command.lease_seconds));
    }
    if (command.size_bytes == 0 || command.size_bytes > number_max)
        return refuse(Code::invalid_field, "/sizeBytes", command.size_bytes, number_max);
    if (!std::has_single_bit(command.alignment_bytes) || command.alignment_bytes > memory::alignment_max_bytes)
        return refuse(Code::invalid_field, "/alignment",
                      "/alignment must be a power of two from 1 to " + std::to_string(memory::alignment_max_bytes) + ", got " +
                          std::to_string(command.alignment_bytes) + ".");
    if (!command.owner.empty() && command.owner != command.caller.owner && command.caller.role != Role::admin)
        return refuse(Code::forbidden, "/owner", "/owner names somebody else (" + command.owner + "); only an admin may do that.");
    return {};
}

/// The devices to try, in order: the one named, or all by what the owner could have there, most first.
Result<std::vector<u16>> candidates(const Books& books, const AllocateCommand& command, std::string_view owner) {
    if (!command.device_id.empty()) {
        const auto device = books.device_named(command.device_id);
        if (!device || books.devices()[*device].capacity_bytes == 0) return no_device(books, command.device_id);
        return std::vector<u16>{*device};
    }
    std::vector<u16> all;
    for (u16 i = 0; i < books.devices().size(); ++i)
        if (books.devices()[i].capacity_bytes > 0) all.push_back(i);
    std::stable_sort(all.begin(), all.end(), [&](u16 a, u16 b) { return books.available_for(a, owner) > books.available_for(b, owner); });
    if (all.empty()) return no_device(books, {});
    return all;
}

/// Events that take the spot, and effects that make it usable.
void take(Decision& decision, const Books& books, const memory::Spot& spot, u16 device, AllocationReserved reserved) {
    reserved.block = spot.block;
    reserved.offset_bytes = spot.offset_bytes;
    reserved.granted_bytes = spot.granted_bytes;
    if (spot.block == 0) {
        reserved.block = books.next_block();
        decision.events.push_back(BlockReserved{reserved.block, device, spot.kind, reserved.owner, spot.block_bytes});
        decision.effects.push_back(CreateBlockEffect{reserved.block});
    }
    decision.allocation = reserved.id;
    decision.events.push_back(reserved);
    if (spot.block == 0 || books.block(spot.block)->row.state == BlockState::creating) return;  // Ready with its block.
    if (spot.zero_bytes > 0)
        decision.effects.push_back(ZeroEffect{reserved.id, spot.zero_bytes});
    else
        decision.events.push_back(AllocationReady{reserved.id});
}

/// Of several devices' refusals the one is told that is mended most easily: by waiting, by freeing one's own, by an admin.
int hope_of(Code refusal) { return refusal == Code::insufficient_memory ? 2 : refusal == Code::quota_exceeded ? 1 : 0; }

u64 lease_until(u64 seconds, Moment now) { return now.monotonic_ns + seconds * ns_per_second; }

const memory::Allocation* visible(const State& state, const Caller& caller, AllocationId id) {
    const memory::Allocation* allocation = state.books.allocation(id);
    return allocation != nullptr && may_see(state, caller, *allocation) ? allocation : nullptr;
}
}  // namespace

Result<Decision> decide_one(const State& state, const AllocateCommand& command, Moment now) {
    TRY_DO(check(command));
    const std::string owner = command.owner.empty() ? command.caller.owner : command.owner;
    TRY(const std::vector<u16> devices, candidates(state.books, command, owner));
    AllocationReserved reserved;
    reserved.id = {state.books.next_allocation(), command.secret};
    reserved.size_bytes = command.size_bytes;
    reserved.alignment_bytes = command.alignment_bytes;
    reserved.type = command.type;
    reserved.owner = owner;
    reserved.purpose = command.purpose;
    reserved.persistent = command.persistent;
    reserved.shareable = command.shareable;
    reserved.lease_seconds = command.persistent ? 0 : command.lease_seconds;
    reserved.lease_until_monotonic_ns = command.persistent ? 0 : lease_until(command.lease_seconds, now);
    reserved.wall_ns = now.wall_ns;
    std::optional<Error> refusal;
    std::vector<u16> too_full;
    for (const u16 device : devices) {
        const bool open = !std::ranges::binary_search(command.closed, device);
        const auto spot = state.books.place(
            {device, owner, command.size_bytes, command.alignment_bytes, command.type, command.shareable, command.frozen, open});
        if (!spot) {
            if (!refusal || hope_of(spot.error().code) > hope_of(refusal->code)) refusal = spot.error();
            if (spot.error().code == Code::insufficient_memory && open) too_full.push_back(device);
            continue;
        }
        Decision decision;
        take(decision, state.books, *spot, device, std::move(reserved));
        return decision;
    }
    for (const u16 device : too_full) {
        Decision decision;
        if (make_room(state, decision, {device, ReclaimReach::models, {}, command.frozen, command.in_use, {}, now.wall_ns},
                      command.size_bytes))
            return decision;
    }
    return std::unexpected(*std::move(refusal));
}

bool can_ever_fit(const State& state, const AllocateCommand& command) {
    const std::string& owner = command.owner.empty() ? command.caller.owner : command.owner;
    const auto devices = candidates(state.books, command, owner);
    return devices && std::ranges::any_of(*devices, [&](u16 device) {
               return command.size_bytes <= state.books.usable_bytes(device) &&
                      state.books.allow(device, owner, command.size_bytes, Books::Could::ever).has_value();
           });
}

Result<Decision> decide_one(const State& state, const FreeCommand& command, Moment) {
    const memory::Allocation* allocation = visible(state, command.caller, command.id);
    if (allocation == nullptr) return not_found("allocation", to_text(command.id));
    if (allocation->row.model != 0) {
        const model::Model* model = state.catalogue.model(allocation->row.model);
        return refuse(Code::conflict, "allocation",
                      "The allocation holds the model " + model->names.front() + "; unload the model instead.");
    }
    if (const auto transfers = state.transfers.of(command.id.serial); !transfers.empty())
        return refuse(Code::leased, "allocation",
                      "The allocation is in the transfer " + to_text(transfers.front()->plan.id) + "; wait for its end or cancel it.");
    if (command.in_use && !command.abandon)
        return refuse(Code::leased, "allocation", "The allocation's content is being read or written; try again when that has ended.");
    if (allocation->row.status == AllocationStatus::pending)
        return refuse(Code::conflict, "allocation", "The allocation is still being made ready; try again in a moment.");
    Decision decision;
    decision.freed_bytes = allocation->row.granted_bytes;
    if (!command.in_use) end_allocation(state, decision, *allocation, AllocationFreed{command.id, Code::cancelled});
    if (!command.in_use || allocation->row.status == AllocationStatus::zombie) return decision;
    if (state.books.move(command.id.serial) != nullptr) drop_move(state, decision, *allocation, Code::cancelled);
    decision.events.push_back(AllocationAbandoned{command.id});
    return decision;
}

Result<Decision> decide_one(const State& state, const RenewLeaseCommand& command, Moment now) {
    const memory::Allocation* allocation = visible(state, command.caller, command.id);
    if (allocation == nullptr) return not_found("allocation", to_text(command.id));
    TRY_DO(check_lease(command.lease_seconds));
    if (allocation->row.status == AllocationStatus::zombie) TRY_DO(check_usable(*allocation));
    if (allocation->row.persistent) return refuse(Code::conflict, "allocation", "The allocation is persistent: it has no lease to renew.");
    Decision decision;
    decision.allocation = command.id;
    decision.events.push_back(LeaseRenewed{command.id, command.lease_seconds, lease_until(command.lease_seconds, now)});
    return decision;
}

Result<Decision> decide_one(const State& state, const AccessCommand& command, Moment now) {
    const memory::Allocation* allocation = state.books.allocation(command.id);
    if (allocation == nullptr) return not_found("allocation", to_text(command.id));
    Decision decision;
    if (allocation->row.status == AllocationStatus::zombie) return decision;
    decision.events.push_back(
        AllocationAccessed{command.id, now.wall_ns, allocation->row.persistent ? 0 : lease_until(allocation->row.lease_seconds, now)});
    return decision;
}

Result<Decision> decide_one(const State& state, const ZeroedCommand& command, Moment) {
    const memory::Allocation* allocation = state.books.allocation(command.id);
    Decision decision;
    if (allocation != nullptr && allocation->row.status == AllocationStatus::pending)
        decision.events.push_back(AllocationReady{command.id});
    return decision;
}

Result<Decision> decide_one(const State& state, const ZeroFailedCommand& command, Moment) {
    const memory::Allocation* allocation = state.books.allocation(command.id);
    Decision decision;
    if (allocation != nullptr && allocation->row.status == AllocationStatus::pending)
        end_allocation(state, decision, *allocation, AllocationDropped{command.id, command.error.code, describe(command.error)});
    return decision;
}

Result<Decision> decide_one(const State& state, const ExpireCommand& command, Moment now) {
    Decision decision;
    // One at a time: whether a block becomes empty depends on the frees before it. The engine asks again while there are more.
    for (const auto& [until, serial] : state.books.leases()) {
        if (until > now.monotonic_ns) break;
        if (std::binary_search(command.in_use.begin(), command.in_use.end(), serial)) continue;
        const memory::Allocation& allocation = *state.books.allocation_by_serial(serial);
        if (allocation.row.status == AllocationStatus::pending || !state.transfers.of(serial).empty()) continue;
        decision.freed_bytes = allocation.row.granted_bytes;
        end_allocation(state, decision, allocation, AllocationFreed{allocation.row.id, Code::timed_out});
        break;
    }
    return decision;
}
}  // namespace vramd::core
