/// The parts of `decide`, one per kind of command; state.hpp has what they add up to. Internal to core.
#pragma once
#include "core/reclaim.hpp"
#include "core/state.hpp"

namespace vramd::core {
// decide_memory.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const AllocateCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const FreeCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const RenewLeaseCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const AccessCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const ZeroedCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const ZeroFailedCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const ExpireCommand& command, Moment now);
// decide_pressure.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const PressureCommand& command, Moment now);
// decide_moves.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const MoveCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const MovedCommand& command, Moment now);
// decide_transfers.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const TransferCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const CancelTransferCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const ScheduleTransfersCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const ExpireTransferCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const TransferredCommand& command, Moment now);
// decide_limits.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const SetLimitsCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const ReclaimCommand& command, Moment now);
// decide_blocks.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const BlockCreatedCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const BlockFailedCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const BlockReleasedCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const AddDeviceCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const BlocksLostCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const RecoverCommand& command, Moment now);
// decide_models.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const LoadModelCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const InspectedCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const PlaceModelCommand& command, Moment now);
// decide_load_ends.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const LoadedCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const OperationFailedCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const CancelOperationCommand& command, Moment now);
// decide_unload.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const UnloadModelCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const UncacheCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const SetCacheCommand& command, Moment now);

// decide_upkeep.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const UpkeepCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const UpkeepToldCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const ReleaseEmptyCommand& command, Moment now);
// decide_sessions.cpp
[[nodiscard]] Result<Decision> decide_one(const State& state, const BeginSessionCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const TakeHoldCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const LetGoCommand& command, Moment now);
[[nodiscard]] Result<Decision> decide_one(const State& state, const EndSessionCommand& command, Moment now);

/// Whether somebody may begin to use it: refused as `conflict` while it is made ready, and as a zombie.
[[nodiscard]] Result<void> check_usable(const memory::Allocation& allocation, std::string_view field = "allocation");
/// Adds the events that end an allocation: its move's end, then `freed` or `dropped`, and the release of blocks that are left empty.
void end_allocation(const State& state, Decision& decision, const memory::Allocation& allocation, Event ended);
/// Whether models go for what is needed only, or down to the low watermark where the high one is passed (Catalogue::marks).
enum class Ahead : u8 { no, of_need };
/// Reclaims what `scope` allows, if with it and the releases under way a block of `size_bytes` would fit the device; false, and nothing
/// added, if not.
[[nodiscard]] bool make_room(const State& state, Decision& decision, const ReclaimScope& scope, u64 size_bytes, Ahead ahead = Ahead::no);
/// A block of `size_bytes` that fits comes: where it passes the high watermark, models go down to the low one, as far as they may.
void keep_marks(const State& state, Decision& decision, const ReclaimScope& scope, u64 size_bytes);
/// Gives a move's second place back, and its block if nothing else is in it.
void drop_move(const State& state, Decision& decision, const memory::Allocation& allocation, Code reason);
/// Ends the open transfers of an allocation whose block is lost: each fails with `error`, and what it was to make elsewhere goes.
void end_transfers_of(const State& state, Decision& decision, u64 allocation_serial, BlockKey lost, const Error& error, u64 wall_ns);
/// Adds BlockReleasing and its effect.
void release_block(Decision& decision, BlockKey block);
/// Adds the end of a copy of a model that is whole: its memory goes back, and its block.
void end_copy(const State& state, Decision& decision, const model::Copy& copy, Code reason);
/// Adds an operation's end; a failure's words are made of the error's figures here.
void end_operation(Decision& decision, OperationId id, OperationState how, Error error, u64 wall_ns);
/// The end of a load that has no copy on its way: failed, or cancelled where somebody asked for that.
[[nodiscard]] Decision failed_load(const State& state, OperationId id, Error error, u64 wall_ns);
/// Adds the end of a copy's load: every operation that cannot end well without it ends so, its memory goes back.
void end_load(const State& state, Decision& decision, const model::Copy& copy, OperationState how, const Error& error, u64 wall_ns);
/// The copy on which the operation waits, if that is on its way: where it is wanted, or from which that is to be made.
[[nodiscard]] const model::Copy* awaited_copy(const State& state, const model::Operation& operation);
/// What is told of a refusal after the load has waited for clients that hold what it wants.
[[nodiscard]] Error after_wait(const Waited& waited, Error refusal);
/// A refusal for what is not there or not the caller's: both look the same.
[[nodiscard]] std::unexpected<Error> not_found(std::string_view what, std::string_view name);
}  // namespace vramd::core
