#include "core/decide.hpp"

namespace vramd::core {
Result<Decision> decide(const State& state, const Command& command, Moment now) {
    return std::visit([&state, now](const auto& kind) { return decide_one(state, kind, now); }, command);
}

std::unexpected<Error> not_found(std::string_view what, std::string_view name) {
    return refuse(Code::not_found, what, "There is no " + std::string(what) + " " + std::string(name) + ", or it is not yours.");
}

void release_block(Decision& decision, BlockKey block) {
    decision.events.push_back(BlockReleasing{block});
    decision.effects.push_back(ReleaseBlockEffect{block});
}

namespace {
/// Gives a block back that is left with nothing once `leaving` of its places are gone.
void release_if_left_empty(const State& state, Decision& decision, BlockKey key, std::size_t leaving) {
    const memory::Block& block = *state.books.block(key);
    if (block.allocations.size() != leaving) return;
    // An owner's last small arena stays, so that allocating and freeing one thing in turn makes no block each time; it goes when
    // somebody needs the room.
    if (block.row.kind == BlockKind::arena && block.row.size_bytes <= memory::arena_block_min_bytes && block.row.state == BlockState::ready)
        return;
    // A block that is still being made goes when it is made (BlockCreated, BlockFailed): its effect is under way.
    if (block.row.state == BlockState::creating) return;
    release_block(decision, key);
}
}  // namespace

void end_allocation(const State& state, Decision& decision, const memory::Allocation& allocation, Event ended) {
    const memory::Move* move = state.books.move(allocation.row.id.serial);
    const bool both_here = move != nullptr && move->block == allocation.row.block;
    if (move != nullptr && both_here) decision.events.push_back(MoveDropped{allocation.row.id, Code::cancelled});
    if (move != nullptr && !both_here) drop_move(state, decision, allocation, Code::cancelled);
    decision.events.push_back(std::move(ended));
    release_if_left_empty(state, decision, allocation.row.block, both_here ? 2 : 1);
}

void drop_move(const State& state, Decision& decision, const memory::Allocation& allocation, Code reason) {
    const BlockKey second = state.books.move(allocation.row.id.serial)->block;
    decision.events.push_back(MoveDropped{allocation.row.id, reason});
    if (second != allocation.row.block) release_if_left_empty(state, decision, second, 1);
}

std::vector<Effect> unfinished(const State& state) {
    std::vector<Effect> effects;
    for (const auto& [key, block] : state.books.blocks()) {
        if (block.row.state == BlockState::creating) effects.push_back(CreateBlockEffect{key});
        if (block.row.state == BlockState::releasing) effects.push_back(ReleaseBlockEffect{key});
    }
    for (const auto& [serial, transfer] : state.transfers.transfers())
        if (transfer.state == TransferState::running) effects.push_back(TransferEffect{transfer.plan.id});
    effects.push_back(ScheduleTransfersEffect{});
    for (const auto& [serial, operation] : state.catalogue.operations()) {
        if (operation.state != OperationState::running) continue;
        if (operation.is_upkeep())
            effects.push_back(UpkeepEffect{operation.id});
        else if (operation.model == 0)
            effects.push_back(InspectModelEffect{operation.id});
    }
    for (const auto& [serial, model] : state.catalogue.models()) {
        if (model.state != ModelState::loading) continue;
        const BlockKey block = state.books.allocation(model.allocation)->row.block;
        if (state.books.block(block)->row.state == BlockState::ready) effects.push_back(LoadModelEffect{model.operation});
    }
    return effects;
}
}  // namespace vramd::core
