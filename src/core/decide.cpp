#include "core/decide.hpp"

namespace vramd::core {
namespace {
/// What a key's row says the change was about.
struct Subject {
    std::string id;
    std::string device_id;
};

template <class C>
Subject subject_of(const State& state, const C& command, const Decision& decision) {
    if constexpr (std::is_same_v<C, FreeCommand>) {
        const memory::Allocation* allocation = state.books.allocation(command.id);
        if (allocation == nullptr) return {};
        return {to_text(command.id), state.books.devices()[state.books.block(allocation->row.block)->row.device].id};
    } else if constexpr (std::is_same_v<C, UnloadModelCommand>) {
        const model::Model* model = state.catalogue.model_named(command.name);
        if (model == nullptr) return {};
        return {to_text(model->id), state.books.devices()[state.catalogue.copies_of(model->id.serial).front()->device].id};
    } else {
        if (decision.operation) return {to_text(decision.operation), {}};
        if (decision.transfer) return {to_text(decision.transfer), {}};
        if (decision.allocation) return {to_text(decision.allocation), {}};
        return {};
    }
}

/// Records the caller's key with the change. What may be done twice (a lease's renewal, a cancel) needs none.
template <class C>
void note_key(const State& state, const C& command, Moment now, Decision& decision) {
    if constexpr (requires { command.caller.key; } && !std::is_same_v<C, RenewLeaseCommand> && !std::is_same_v<C, CancelOperationCommand> &&
                  !std::is_same_v<C, CancelTransferCommand>) {
        const RequestKey& key = command.caller.key;
        if (key.text.empty() || decision.events.empty() || decision.again_after_release) return;
        Subject subject = subject_of(state, command, decision);
        decision.events.push_back(KeyUsed{command.caller.owner, key.text, key.call, key.body, std::move(subject.id),
                                          std::move(subject.device_id), decision.freed_bytes, now.wall_ns});
    }
}
}  // namespace

Result<Decision> decide(const State& state, const Command& command, Moment now) {
    return std::visit(
        [&state, now](const auto& kind) {
            Result<Decision> decision = decide_one(state, kind, now);
            if (decision) note_key(state, kind, now, *decision);
            return decision;
        },
        command);
}

std::string held_by_asked(u64 bytes) {
    return bytes == 0 ? "" : " Clients that were asked to let go hold " + std::to_string(bytes) + " bytes.";
}

Error after_wait(const Waited& waited, Error refusal) {
    if (waited.asked_bytes == 0) return refusal;
    refusal.detail = describe(refusal) + held_by_asked(waited.asked_bytes);
    if (waited.late && refusal.code == Code::insufficient_memory) refusal.code = Code::timed_out;
    return refusal;
}

std::unexpected<Error> not_found(std::string_view what, std::string_view name) {
    return refuse(Code::not_found, what, "There is no " + std::string(what) + " " + std::string(name) + ", or it is not yours.");
}

std::unexpected<Error> no_device(const memory::Books& books, std::string_view device_id) {
    std::string known;
    for (const memory::DeviceRow& row : books.devices())
        if (row.capacity_bytes > 0) known += (known.empty() ? "" : ", ") + row.id;
    const std::string asked = device_id.empty() ? "There is no device" : "There is no device " + std::string(device_id);
    return refuse(Code::not_found, "device", known.empty() ? asked + "; none is in the books yet." : asked + "; there are: " + known + ".");
}

Result<void> check_usable(const memory::Allocation& allocation, std::string_view field) {
    const std::string name = "The allocation " + to_text(allocation.row.id);
    switch (allocation.row.status) {
        case AllocationStatus::live:
            return {};
        case AllocationStatus::pending:
            return refuse(Code::conflict, field, name + " is not ready yet.");
        case AllocationStatus::zombie:
            break;
    }
    return refuse(Code::conflict, field, name + " was freed; it stays only until those who have it attached let go of it.");
}

void release_block(Decision& decision, BlockKey block) {
    decision.events.push_back(BlockReleasing{block});
    decision.effects.push_back(ReleaseBlockEffect{block});
}

namespace {
/// Gives a block back that is left with nothing once `leaving` of its places are gone.
void release_if_left_empty(const State& state, Decision& decision, BlockKey key, std::size_t leaving) {
    const memory::Block& block = *state.books.block(key);
    if (block.allocations().size() != leaving) return;
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
        else if (state.catalogue.copy_on(operation.model, operation.target) == nullptr)
            effects.push_back(PlaceModelEffect{operation.id});  // Waits on where the copy from which it is to be made is on its way.
    }
    for (const auto& [serial, copy] : state.catalogue.copies()) {
        if (copy.state != ModelState::loading) continue;
        const BlockKey block = state.books.allocation(copy.allocation)->row.block;
        if (state.books.block(block)->row.state == BlockState::ready) effects.push_back(LoadModelEffect{copy.operation});
    }
    return effects;
}
}  // namespace vramd::core
