/// Moves within a device: a second place, a copy, and one event that makes the second place the only one. Until that event the first
/// place holds the bytes, after it the second does, so whoever dies when leaves one authoritative copy.
#include <algorithm>

#include "core/decide.hpp"

namespace vramd::core {
namespace {
/// Why this allocation may not be moved now.
Result<void> may_move(const State& state, const MoveCommand& command, const memory::Allocation& allocation) {
    const memory::AllocationRow& row = allocation.row;
    const BlockKind kind = state.books.block(row.block)->row.kind;
    if (row.type == AllocationType::pinned) return refuse(Code::pinned, "allocation", "The allocation is pinned: it is never moved.");
    if (row.model != 0 || kind != BlockKind::arena)
        return refuse(Code::conflict, "allocation", "The allocation has a block of its own: moving it gains nothing.");
    if (!state.transfers.of(row.id.serial).empty()) return refuse(Code::leased, "allocation", "The allocation is in a transfer.");
    if (command.in_use) return refuse(Code::leased, "allocation", "The allocation's content is being read or written.");
    if (row.status != AllocationStatus::live || state.books.move(row.id.serial) != nullptr)
        return refuse(Code::conflict, "allocation", "The allocation is being made ready or moved.");
    return {};
}
}  // namespace

Result<Decision> decide_one(const State& state, const MoveCommand& command, Moment) {
    const memory::Allocation* allocation = state.books.allocation(command.id);
    if (allocation == nullptr) return not_found("allocation", to_text(command.id));
    TRY_DO(may_move(state, command, *allocation));
    const auto offset = state.books.place_in(command.to_block, *allocation);
    const bool frozen = std::ranges::binary_search(command.frozen, command.to_block);
    const memory::AllocationRow& row = allocation->row;
    if (!offset || frozen || (command.to_block == row.block && *offset > row.offset_bytes))
        return refuse(Code::conflict, "block", "There is no better place for the allocation in that block.");
    Decision decision;
    decision.allocation = command.id;
    decision.events.push_back(MoveReserved{command.id, command.to_block, *offset, row.granted_bytes, command.operation});
    decision.effects.push_back(MoveEffect{command.id});
    return decision;
}

Result<Decision> decide_one(const State& state, const MovedCommand& command, Moment) {
    const memory::Allocation* allocation = state.books.allocation(command.id);
    const memory::Move* move = state.books.move(command.id.serial);
    Decision decision;
    if (allocation == nullptr || move == nullptr || move->operation == 0) return decision;  // A transfer ends its own move.
    if (command.failed || command.stale) {
        drop_move(state, decision, *allocation, command.failed.value_or(Code::conflict));
        return decision;
    }
    decision.events.push_back(AllocationMoved{command.id});
    const memory::Block& first = *state.books.block(allocation->row.block);
    if (first.allocations().size() == 1) release_block(decision, first.row.key);
    return decision;
}
}  // namespace vramd::core
