/// Blocks and devices: made, failed, given back, lost; and what a restart undoes.
#include <algorithm>

#include "base/invariant.hpp"
#include "core/decide.hpp"

namespace vramd::core {
namespace {
/// An allocation's place in a block: where it is, or where it is being moved to.
struct Occupant {
    const memory::Allocation* allocation;
    const memory::Move* second;  ///< Null where the bytes are here.
};

/// What a block holds, in the order of the places.
std::vector<Occupant> occupants_of(const State& state, const memory::Block& block) {
    std::vector<Occupant> list;
    for (const auto& [offset, serial] : block.allocations()) {
        const memory::Allocation* allocation = state.books.allocation_by_serial(serial);
        const bool here = allocation->row.block == block.row.key && allocation->row.offset_bytes == offset;
        list.push_back({allocation, here ? nullptr : state.books.move(serial)});
    }
    return list;
}

/// Everything in the block ends; `error` says why. The block itself is left to the caller.
void end_contents(const State& state, Decision& decision, const memory::Block& block, const Error& error, u64 wall_ns) {
    for (const auto& [allocation, second] : occupants_of(state, block)) {
        const memory::Move* move = state.books.move(allocation->row.id.serial);
        end_transfers_of(state, decision, allocation->row.id.serial, block.row.key, error, wall_ns);
        if (second != nullptr) {
            if (allocation->row.block != block.row.key) decision.events.push_back(MoveDropped{allocation->row.id, error.code});
            continue;  // Both places are here: dropped with the first one.
        }
        if (move != nullptr && move->block == block.row.key) decision.events.push_back(MoveDropped{allocation->row.id, error.code});
        if (move != nullptr && move->block != block.row.key) drop_move(state, decision, *allocation, error.code);
        if (allocation->row.model != 0) {
            const model::Copy& copy = *state.catalogue.copy(allocation->row.id.serial);
            const auto waiting = copy.state == ModelState::loading ? state.catalogue.waiting_for(copy) : std::vector<OperationId>();
            for (const OperationId operation : waiting) {
                const bool cancelled = state.catalogue.operation(operation)->cancelling;
                Error told = error;
                told.detail = describe(error);
                decision.events.push_back(
                    OperationEnded{operation, cancelled ? OperationState::cancelled : OperationState::failed, std::move(told), wall_ns});
            }
            decision.events.push_back(ModelGone{state.catalogue.model(copy.model)->id, copy.allocation, copy.device});
        }
        if (allocation->row.status == AllocationStatus::pending)
            decision.events.push_back(AllocationDropped{allocation->row.id, error.code, describe(error)});
        else
            decision.events.push_back(AllocationFreed{allocation->row.id, error.code});
    }
}
}  // namespace

Result<Decision> decide_one(const State& state, const BlockCreatedCommand& command, Moment now) {
    const memory::Block* block = state.books.block(command.block);
    Decision decision;
    if (block == nullptr || block->row.state != BlockState::creating) return decision;
    decision.events.push_back(BlockReady{command.block});
    if (block->allocations().empty()) {
        release_block(decision, command.block);
        return decision;
    }
    for (const auto& [allocation, second] : occupants_of(state, *block)) {
        // What a transfer makes is ready when the bytes are there.
        if (second != nullptr || allocation->row.status != AllocationStatus::pending) continue;
        if (state.transfers.changing(allocation->row.id.serial) != nullptr) continue;
        if (allocation->row.model == 0) {
            // Two allocations of a new block never share bytes unless one of them was dropped before: its place was never written.
            decision.events.push_back(AllocationReady{allocation->row.id});
            continue;
        }
        const model::Copy& copy = *state.catalogue.copy(allocation->row.id.serial);
        if (state.catalogue.cancelling(copy)) {
            end_load(state, decision, copy, OperationState::cancelled, {Code::cancelled, "operation", 0, 0, "The load was cancelled."},
                     now.wall_ns);
            release_block(decision, command.block);
        } else {
            decision.effects.push_back(LoadModelEffect{copy.operation});
        }
    }
    if (state.transfers.open() > state.transfers.running()) decision.effects.push_back(ScheduleTransfersEffect{});
    return decision;
}

Result<Decision> decide_one(const State& state, const BlockFailedCommand& command, Moment now) {
    const memory::Block* block = state.books.block(command.block);
    Decision decision;
    if (block == nullptr || block->row.state != BlockState::creating) return decision;
    end_contents(state, decision, *block, command.error, now.wall_ns);
    decision.events.push_back(BlockReleasing{command.block});
    decision.events.push_back(BlockGone{command.block});
    return decision;
}

Result<Decision> decide_one(const State& state, const BlockReleasedCommand& command, Moment) {
    const memory::Block* block = state.books.block(command.block);
    Decision decision;
    if (block == nullptr || block->row.state != BlockState::releasing) return decision;
    decision.events.push_back(BlockGone{command.block});
    return decision;
}

Result<Decision> decide_one(const State& state, const AddDeviceCommand& command, Moment) {
    const auto device = state.books.device_named(command.device_id);
    const bool gone = device && command.capacity_bytes == 0;
    if (command.device_id.empty() || (command.capacity_bytes == 0 && !gone))
        return refuse(Code::invalid_field, "capacityBytes", command.capacity_bytes, number_max);
    Decision decision;
    if (!device) {
        decision.events.push_back(DeviceAdded{command.device_id, command.capacity_bytes, command.granule_bytes});
        return decision;
    }
    // What is handed out already cannot be taken away by a smaller figure in the configuration.
    const u64 capacity = std::max(command.capacity_bytes, state.books.sums(*device).committed);
    if (capacity != state.books.devices()[*device].capacity_bytes) decision.events.push_back(DeviceResized{*device, capacity});
    return decision;
}

Result<Decision> decide_one(const State& state, const BlocksLostCommand& command, Moment now) {
    Decision decision;
    const Error lost{Code::device_lost, "block", 0, 0, "The memory did not outlive the restart."};
    for (const BlockKey key : command.blocks) {
        const memory::Block* block = state.books.block(key);
        if (block == nullptr || block->row.state == BlockState::creating) continue;
        end_contents(state, decision, *block, lost, now.wall_ns);
        if (block->row.state != BlockState::releasing) decision.events.push_back(BlockReleasing{key});
        decision.events.push_back(BlockGone{key});
    }
    return decision;
}

Result<Decision> decide_one(const State& state, const RecoverCommand& command, Moment now) {
    Decision decision;
    // What was handed out by a lost event is not known: the dirty marks may be too low.
    if (command.history == RecoverCommand::History::damaged)
        for (const auto& [key, block] : state.books.blocks())
            if (block.row.state == BlockState::ready && block.row.dirty_bytes < block.row.size_bytes)
                decision.events.push_back(BlockDirtied{key});
    const Error cancelled{Code::cancelled, "operation", 0, 0, "The load was cancelled."};
    for (const auto& [serial, copy] : state.catalogue.copies())
        if (copy.state == ModelState::loading && state.catalogue.cancelling(copy))
            end_load(state, decision, copy, OperationState::cancelled, cancelled, now.wall_ns);
    const Error nobody{Code::cancelled, "allocation", 0, 0, "The daemon restarted before anybody was told of it."};
    for (const auto& [key, block] : state.books.blocks()) {
        u64 left = 0;
        for (const auto& [allocation, second] : occupants_of(state, block)) {
            const bool transferred = state.transfers.changing(allocation->row.id.serial) != nullptr;
            if (transferred) {  // The transfer begins its copy anew.
                ++left;
                continue;
            }
            if (second != nullptr) {  // Nobody copies any more; the first place is whole.
                decision.events.push_back(MoveDropped{allocation->row.id, Code::cancelled});
                continue;
            }
            const model::Copy* copy = state.catalogue.copy(allocation->row.id.serial);
            if (copy != nullptr && copy->state == ModelState::loading && state.catalogue.cancelling(*copy)) continue;
            if (allocation->row.status == AllocationStatus::pending && allocation->row.model == 0)
                decision.events.push_back(AllocationDropped{allocation->row.id, nobody.code, nobody.detail});
            else
                ++left;
        }
        // The effect that releases runs with the other unfinished ones; a block that was never made releases as well.
        if (left == 0 && block.row.state != BlockState::releasing && block.row.kind != BlockKind::arena)
            decision.events.push_back(BlockReleasing{key});
        if (left == 0 && block.row.state == BlockState::creating && block.row.kind == BlockKind::arena)
            decision.events.push_back(BlockReleasing{key});
    }
    return decision;
}
}  // namespace vramd::core
