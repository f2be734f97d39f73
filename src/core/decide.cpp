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

void end_allocation(const State& state, Decision& decision, const memory::Allocation& allocation, Event ended) {
    const memory::Block& block = *state.books.block(allocation.row.block);
    decision.events.push_back(std::move(ended));
    if (block.allocations.size() != 1) return;
    // An owner's last small arena stays, so that allocating and freeing one thing in turn makes no block each time; it goes when
    // somebody needs the room.
    if (block.row.kind == BlockKind::arena && block.row.size_bytes <= memory::arena_block_min_bytes && block.row.state == BlockState::ready)
        return;
    // A block that is still being made goes when it is made (BlockCreated, BlockFailed): its effect is under way.
    if (block.row.state == BlockState::creating) return;
    release_block(decision, block.row.key);
}

std::vector<Effect> unfinished(const State& state) {
    std::vector<Effect> effects;
    for (const auto& [key, block] : state.books.blocks()) {
        if (block.row.state == BlockState::creating) effects.push_back(CreateBlockEffect{key});
        if (block.row.state == BlockState::releasing) effects.push_back(ReleaseBlockEffect{key});
    }
    for (const auto& [serial, operation] : state.catalogue.operations()) {
        if (operation.state != OperationState::running) continue;
        if (operation.model == 0) effects.push_back(InspectModelEffect{operation.id});
    }
    for (const auto& [serial, model] : state.catalogue.models()) {
        if (model.state != ModelState::loading) continue;
        const BlockKey block = state.books.allocation(model.allocation)->row.block;
        if (state.books.block(block)->row.state == BlockState::ready) effects.push_back(LoadModelEffect{model.operation});
    }
    return effects;
}
}  // namespace vramd::core
