/// Everything that can ask for a change of state: callers' requests and finished effects alike.
///
/// A command carries all that `decide` may depend on: the secrets of new ids come with it, and the time beside it.
#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "terms/limits.hpp"
#include "terms/model.hpp"
#include "terms/pressure.hpp"
#include "terms/session.hpp"
#include "terms/transfer.hpp"
#include "terms/upkeep.hpp"

namespace vramd {
/// What a caller gave its request, so that the same one sent again does its work once (core/keys.hpp).
struct RequestKey {
    std::string text;  ///< Empty: none.
    u64 call = 0;      ///< Hash of the method, the path and the query.
    u64 body = 0;      ///< Hash of the body.
};
/// Who asks.
struct Caller {
    std::string owner;  ///< "uid:1000", "http", or a token's owner.
    Role role = Role::user;
    RequestKey key = {};
    u64 session = 0;  ///< Of the attach protocol; 0: none. What it holds is not asked back for its own sake.
};

// Callers' requests.
struct AllocateCommand {
    Caller caller;
    std::string device_id;  ///< Empty: the device with most room.
    u64 size_bytes = 0;
    u64 alignment_bytes = 256;
    AllocationType type = AllocationType::default_;
    Priority priority = Priority::normal;
    std::string purpose;
    std::string owner;  ///< Empty: the caller.
    bool persistent = true;
    bool shareable = false;
    u64 lease_seconds = 60;  ///< For what is not persistent.
    u64 secret = 0;
    std::vector<u64> frozen;  ///< Set by the engine: blocks whose holes are being written now, sorted; nothing may be placed there.
    std::vector<u64> in_use;  ///< Set by the engine: serials of allocations whose content is being used, sorted: they are not reclaimed.
    std::vector<u16> closed;  ///< Set by the engine: devices whose room is kept for somebody who has waited longer; no new block there.
};
struct FreeCommand {
    Caller caller;
    AllocationId id;
    bool in_use = false;   ///< Set by the engine: content is being read or written, or clients have it attached.
    bool abandon = false;  ///< Set by the engine: what is in use becomes a zombie instead of being refused.
};
struct RenewLeaseCommand {
    Caller caller;
    AllocationId id;
    u64 lease_seconds = 60;
};
/// Somebody read or wrote the content: renews the lease and counts.
struct AccessCommand {
    AllocationId id;
};
struct LoadModelCommand {
    Caller caller;
    LoadRequest request;
    u64 operation_secret = 0;
    bool held = false;  ///< Once it is there, nobody evicts it until who asked has let it go (Engine::let_loaded_go).
};
/// A model is not needed on its devices any more. A copy where the RAM cache is stays there, as long as the cache has room for it.
struct UnloadModelCommand {
    enum class Cached : u8 { keep, drop };
    Caller caller;
    std::string name;
    std::string device_id;  ///< Empty: wherever it is.
    Cached cached = Cached::keep;
    std::vector<u64> in_use{};  ///< Set by the engine: as in AllocateCommand.
};
/// Give up what the RAM cache holds beside the models that are loaded.
struct UncacheCommand {
    Caller caller;
    std::string name;           ///< Empty: all.
    std::vector<u64> in_use{};  ///< Set by the engine: as in AllocateCommand.
};
struct CancelOperationCommand {
    Caller caller;
    OperationId id;
};

// Finished effects.
struct BlockCreatedCommand {
    BlockKey block = 0;
};
struct BlockFailedCommand {
    BlockKey block = 0;
    Error error;
};
struct BlockReleasedCommand {
    BlockKey block = 0;
};
struct ZeroedCommand {
    AllocationId id;
};
struct ZeroFailedCommand {
    AllocationId id;
    Error error;
};
/// How a load has waited for room. Set by the engine.
struct Waited {
    u64 asked_bytes = 0;  ///< Held still by clients that were asked to let go.
    bool late = false;    ///< Its time to wait is over.
};
struct InspectedCommand {
    OperationId operation;
    Inspection inspection;
    u64 model_secret = 0;
    u64 allocation_secret = 0;
    std::vector<u64> frozen{};  ///< Set by the engine, as are the next two: as in AllocateCommand.
    std::vector<u64> in_use{};
    std::vector<u16> closed{};
    Waited waited{};
};
/// The model that an operation waits for is known; where it is wanted it is not on its way yet.
struct PlaceModelCommand {
    OperationId operation;
    u64 allocation_secret = 0;
    std::vector<u64> frozen{};  ///< Set by the engine, as are the next two: as in AllocateCommand.
    std::vector<u64> in_use{};
    std::vector<u16> closed{};
    Waited waited{};
};
struct LoadedCommand {
    OperationId operation;
    u64 load_ns = 0;
};
struct OperationFailedCommand {
    OperationId operation;
    Error error;
};

// The shell's own.
struct AddDeviceCommand {
    std::string device_id;
    u64 capacity_bytes = 0;
    u64 granule_bytes = 4096;
};
/// The RAM cache is on this device and holds at most so much beside the models that are loaded there. `max_bytes` 0: there is none.
struct SetCacheCommand {
    std::string device_id;
    u64 max_bytes = 0;
    EvictionOrder order = EvictionOrder::fifo;  ///< Which models go first, there and everywhere;
    Watermarks marks = no_watermarks;           ///< and from where on they go ahead of need.
};
/// Blocks whose memory did not come back after a restart (their device or descriptor is gone).
struct BlocksLostCommand {
    std::vector<BlockKey> blocks;
};
/// After a restart of the core: what nobody was told of is undone.
struct RecoverCommand {
    enum class History : u8 { whole, damaged } history = History::whole;  ///< Damaged: events that were recorded are lost.
};
/// Leases that ran out.
struct ExpireCommand {
    std::vector<u64> in_use;  ///< Serials of allocations whose content is being read or written now, sorted.
};

/// Move an allocation within its device, into the lowest place of `to_block` that fits; in its own block only to a lower address.
struct MoveCommand {
    u64 operation = 0;  ///< Serial of the operation that moves it.
    AllocationId id;
    BlockKey to_block = 0;
    bool in_use = false;      ///< Set by the engine: content is being read or written.
    std::vector<u64> frozen;  ///< Set by the engine: as in AllocateCommand.
};
/// The bytes lie at the second place, or did not get there.
struct MovedCommand {
    AllocationId id;
    bool stale = false;          ///< The content was written, or is being used, since the copy began: it does not count.
    std::optional<Code> failed;  ///< Why the copy did not end.
};

/// Move bytes between two places, on one device or two.
struct TransferCommand {
    Caller caller;
    AllocationId source;
    std::optional<AllocationId> target;  ///< Exactly one of target and target_device_id.
    std::string target_device_id;
    u64 source_offset_bytes = 0;
    u64 target_offset_bytes = 0;
    std::optional<u64> size_bytes;  ///< Absent: to the source's end, at most what the target holds.
    TransferMode mode = TransferMode::copy;
    Priority priority = Priority::normal;
    bool verify = false;
    u64 timeout_ns = 0;  ///< 0: none.
    u64 secret = 0;
    u64 allocation_secret = 0;
    std::vector<u64> frozen;  ///< Set by the engine, as are the next two: as in AllocateCommand.
    std::vector<u64> in_use{};
    std::vector<u16> closed{};
};
struct CancelTransferCommand {
    Caller caller;
    TransferId id;
};
/// Let the next queued transfers begin, as far as any may.
struct ScheduleTransfersCommand {};
/// A transfer's time is up.
struct ExpireTransferCommand {
    TransferId id;
};
/// A transfer's bytes are there, or did not get there.
struct TransferredCommand {
    TransferId id;
    TransferResult result;
    std::optional<Error> error;
};
/// Give a device other limits.
struct SetLimitsCommand {
    Caller caller;
    std::string device_id;
    LimitsChange change;
    std::optional<u64> if_revision;  ///< Only if this is the present revision.
    Enforce enforce = Enforce::later;
    std::vector<u64> frozen;  ///< Set by the engine, as is the next: as in AllocateCommand.
    std::vector<u64> in_use;
};
/// Give memory of a device back to what anybody can have, as far as it can be: arenas that hold nothing first, then models that nobody
/// uses or pinned, those that were loaded first before the others.
struct ReclaimCommand {
    u16 device = 0;
    std::optional<u64> wanted_bytes;   ///< Exactly one: so many more bytes without a block;
    std::optional<u64> down_to_bytes;  ///< or so many bytes in blocks at most.
    ReclaimReach reach = ReclaimReach::models;
    std::vector<std::string> preserve;  ///< Names of models that stay, sorted.
    std::vector<u64> frozen;            ///< Set by the engine, as is the next: as in AllocateCommand.
    std::vector<u64> in_use;
    std::vector<u64>
        copies;  ///< Serials of the models' allocations that may go, in their order; empty: all, those that were loaded first before.
    u64 idle_min_ns = 0;  ///< What is loaded for use goes only if nobody touched it for so long.
};

/// Begin a defragmentation or an optimize.
struct UpkeepCommand {
    Caller caller;
    std::string device_id;               ///< Empty: every device.
    UpkeepRequest request;               ///< Without devices, own_only and serials: `decide` fills them in.
    std::vector<AllocationId> preserve;  ///< Stay where they are.
    u64 operation_secret = 0;
};
/// What an upkeep did so far, or all of it.
struct UpkeepToldCommand {
    OperationId operation;
    UpkeepResult result;                  ///< Without `after` and `duration_ns`: `decide` reads them off the state and the clock.
    std::optional<OperationState> ended;  ///< How, where it is over.
    Error error;                          ///< Where it did not succeed.
};
/// Give back arenas that are empty.
struct ReleaseEmptyCommand {
    u16 device = 0;
    std::string owner;        ///< Only this owner's; empty: anybody's.
    std::vector<u64> frozen;  ///< Set by the engine: as in AllocateCommand.
};

using Command = std::variant<AllocateCommand, FreeCommand, RenewLeaseCommand, AccessCommand, LoadModelCommand, UnloadModelCommand,
                             CancelOperationCommand, BlockCreatedCommand, BlockFailedCommand, BlockReleasedCommand, ZeroedCommand,
                             ZeroFailedCommand, InspectedCommand, LoadedCommand, OperationFailedCommand, AddDeviceCommand,
                             BlocksLostCommand, RecoverCommand, ExpireCommand, MoveCommand, MovedCommand, PressureCommand, TransferCommand,
                             CancelTransferCommand, ScheduleTransfersCommand, ExpireTransferCommand, TransferredCommand, UpkeepCommand,
                             UpkeepToldCommand, ReleaseEmptyCommand, SetLimitsCommand, ReclaimCommand, UncacheCommand, PlaceModelCommand,
                             SetCacheCommand, BeginSessionCommand, TakeHoldCommand, LetGoCommand, EndSessionCommand>;
}  // namespace vramd
