/// Everything that happened: the only way in which state changes. What the ledger keeps, and what history and live events tell.
///
/// An event's tag in the ledger is its place in the variant: append new kinds at the end, never reorder. Longer than 400 lines because it is one list.
#pragma once
#include <span>
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
struct DeviceAdded {
    std::string device_id;
    u64 capacity_bytes = 0;
    u64 granule_bytes = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.device_id, s.capacity_bytes, s.granule_bytes);
    }
};
struct DeviceResized {
    u16 device = 0;
    u64 capacity_bytes = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.device, s.capacity_bytes);
    }
};
/// Room for a block is taken; the device makes it now.
struct BlockReserved {
    BlockKey block = 0;
    u16 device = 0;
    BlockKind kind = BlockKind::arena;
    std::string owner;
    u64 size_bytes = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.block, s.device, s.kind, s.owner, s.size_bytes);
    }
};
struct BlockReady {
    BlockKey block = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.block);
    }
};
/// Nothing uses the block any more; the device takes it back now.
struct BlockReleasing {
    BlockKey block = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.block);
    }
};
struct BlockGone {
    BlockKey block = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.block);
    }
};
/// A place is taken for an allocation. It is usable after AllocationReady.
struct AllocationReserved {
    AllocationId id;
    BlockKey block = 0;
    u64 offset_bytes = 0;
    u64 size_bytes = 0;
    u64 granted_bytes = 0;
    u64 alignment_bytes = 0;
    AllocationType type = AllocationType::default_;
    std::string owner;
    std::string purpose;
    bool persistent = true;
    bool shareable = false;
    u64 lease_seconds = 0;  ///< 0: no lease.
    u64 lease_until_monotonic_ns = 0;
    u64 wall_ns = 0;
    u64 model = 0;  ///< The serial of the model it is made for; 0: none.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.block, s.offset_bytes, s.size_bytes, s.granted_bytes, s.alignment_bytes, s.type, s.owner, s.purpose, s.persistent,
              s.shareable, s.lease_seconds, s.lease_until_monotonic_ns, s.wall_ns, s.model);
    }
};
struct AllocationReady {
    AllocationId id;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id);
    }
};
/// It never became usable: its place is free again.
struct AllocationDropped {
    AllocationId id;
    Code code{};
    std::string detail;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.code, s.detail);
    }
};
struct AllocationFreed {
    AllocationId id;
    Code reason{};  ///< timed_out: its lease ended; cancelled: freed by its owner; device_lost: its memory is gone;
                    ///< insufficient_memory: its model was evicted to make room.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.reason);
    }
};
/// Freed while clients hold it: a zombie without a lease, which goes with the last hold.
struct AllocationAbandoned {
    AllocationId id;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id);
    }
};
struct AllocationAccessed {
    AllocationId id;
    u64 wall_ns = 0;
    u64 lease_until_monotonic_ns = 0;  ///< 0: no lease.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.wall_ns, s.lease_until_monotonic_ns);
    }
};
struct LeaseRenewed {
    AllocationId id;
    u64 lease_seconds = 0;
    u64 lease_until_monotonic_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.lease_seconds, s.lease_until_monotonic_ns);
    }
};
struct OperationStarted {
    OperationId id;
    OperationKind kind = OperationKind::load_model;
    std::string owner;
    LoadRequest request;
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.kind, s.owner, s.request, s.wall_ns);
    }
};
struct OperationEnded {
    OperationId id;
    OperationState state = OperationState::succeeded;
    Error error;  ///< Where it did not succeed.
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.state, s.error.code, s.error.field, s.error.value, s.error.limit, s.error.detail, s.wall_ns);
    }
};
/// A model becomes known, with its first copy on the way. `target` is where the operation wants it: elsewhere than `device` where the
/// copy is one in the RAM cache from which the other is made.
struct ModelLoading {
    ModelId id;
    OperationId operation;
    AllocationId allocation;
    u16 device = 0;
    ModelTier tier = ModelTier::device;
    u16 target = 0;
    Inspection inspection;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.operation, s.allocation, s.device, s.tier, s.target, s.inspection);
    }
};
/// A copy of the model is whole.
struct ModelResident {
    ModelId id;
    AllocationId allocation;
    u16 device = 0;
    u64 load_ns = 0;
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.allocation, s.device, s.load_ns, s.wall_ns);
    }
};
/// The operation waits for this model from now on, on device `target`, and gives it its name.
struct ModelNamed {
    ModelId id;
    OperationId operation;
    u16 target = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.operation, s.target);
    }
};
/// A copy of the model is gone (unloaded, evicted, or its load ended without it); with its last one the model is.
struct ModelGone {
    ModelId id;
    AllocationId allocation;
    u16 device = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.allocation, s.device);
    }
};
/// One name of the model is given up; others remain.
struct ModelUnnamed {
    ModelId id;
    std::string name;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.name);
    }
};
/// A second place is taken for an allocation, into which its bytes are copied now; the first one holds until AllocationMoved.
struct MoveReserved {
    AllocationId id;
    BlockKey block = 0;
    u64 offset_bytes = 0;
    u64 granted_bytes = 0;
    u64 operation = 0;  ///< Serial of the operation that moves it; 0: a transfer does.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.block, s.offset_bytes, s.granted_bytes, s.operation);
    }
};
/// The second place holds the bytes: it is the allocation's place now, and the first one is free.
struct AllocationMoved {
    AllocationId id;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id);
    }
};
/// The second place is given back; the allocation stays where it is.
struct MoveDropped {
    AllocationId id;
    Code reason{};  ///< conflict: it was used meanwhile; else what failed.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.reason);
    }
};
/// A transfer is accepted and has its room; its turn comes.
struct TransferQueued {
    TransferPlan plan;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.plan);
    }
};
struct TransferBegun {
    TransferId id;
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.wall_ns);
    }
};
/// It is to end before its time; it does as soon as no thread touches its memory.
struct TransferCancelling {
    TransferId id;
    Code reason{};  ///< cancelled: somebody asked; timed_out: its time is up.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.reason);
    }
};
struct TransferEnded {
    TransferId id;
    TransferState state = TransferState::succeeded;
    Error error;  ///< Where it did not succeed.
    TransferResult result;
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.state, s.error.code, s.error.field, s.error.value, s.error.limit, s.error.detail, s.result, s.wall_ns);
    }
};
/// Its owner asked for the operation's end; it ends as soon as its process is gone.
struct OperationCancelling {
    OperationId id;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id);
    }
};
/// Some of the block's history is lost: all of it counts as handed out once, and is zeroed before it is handed out again.
struct BlockDirtied {
    BlockKey block = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.block);
    }
};
/// A device has other limits from now on; their revision is one higher.
struct LimitsSet {
    u16 device = 0;
    DeviceLimits limits;
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.device, s.limits, s.wall_ns);
    }
};

/// A defragmentation or an optimize begins.
struct UpkeepStarted {
    OperationId id;
    std::string owner;
    UpkeepRequest request;
    std::vector<FreeFigures> before;  ///< One per device of the request.
    u64 monotonic_ns = 0;
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.owner, s.request, s.before, s.monotonic_ns, s.wall_ns);
    }
};
/// What is known of it by now; its moves are events of their own.
struct UpkeepTold {
    OperationId id;
    UpkeepResult result;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.result);
    }
};
/// A change was made under a key that its caller gave; recorded in the change's own batch, as its last event.
struct KeyUsed {
    std::string owner;
    std::string key;
    u64 call = 0;         ///< Hash of the method, the path and the query.
    u64 body = 0;         ///< Hash of the request's body: the same key with another one is refused.
    std::string subject;  ///< The id of what was made or ended; empty: none.
    std::string device_id;
    u64 bytes = 0;  ///< What was given back.
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.owner, s.key, s.call, s.body, s.subject, s.device_id, s.bytes, s.wall_ns);
    }
};

/// A further copy of a model that is known is on the way, made from a copy that is whole, else from the file.
struct ModelCopying {
    ModelId id;
    OperationId operation;
    AllocationId allocation;
    u16 device = 0;
    ModelTier tier = ModelTier::device;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.operation, s.allocation, s.device, s.tier);
    }
};
/// What a copy is kept for is another from now on: loaded for use, or in the RAM cache only. Its bytes stay where they are.
struct ModelTiered {
    ModelId id;
    AllocationId allocation;
    u16 device = 0;
    ModelTier tier = ModelTier::device;
    bool pinned = false;  ///< Never evicted.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.allocation, s.device, s.tier, s.pinned);
    }
};
/// Where the RAM cache is, what it may hold beside the models that are loaded, and which models go first, there and everywhere.
struct CacheSet {
    u16 device = 0;
    u64 max_bytes = 0;
    EvictionOrder order = EvictionOrder::fifo;
    Watermarks marks = no_watermarks;  ///< Ahead of which need models go, on every device.
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.device, s.max_bytes, s.order, s.marks);
    }
};

using Event = std::variant<DeviceAdded, DeviceResized, BlockReserved, BlockReady, BlockReleasing, BlockGone, AllocationReserved,
                           AllocationReady, AllocationDropped, AllocationFreed, AllocationAccessed, LeaseRenewed, OperationStarted,
                           OperationEnded, ModelLoading, ModelResident, ModelNamed, ModelGone, ModelUnnamed, OperationCancelling,
                           MoveReserved, AllocationMoved, MoveDropped, PressureChanged, TransferQueued, TransferBegun, TransferCancelling,
                           TransferEnded, UpkeepStarted, UpkeepTold, BlockDirtied, KeyUsed, LimitsSet, ModelCopying, ModelTiered, CacheSet,
                           SessionBegun, HoldTaken, HoldEnded, SessionEnded, AllocationAbandoned>;

/// The event's name towards people: "allocationReady", ….
[[nodiscard]] std::string_view name_of(const Event& event);
/// All names, by tag.
[[nodiscard]] std::span<const std::string_view> event_names();
/// The ledger's form: one tag byte, then the fields (archive.hpp).
void encode(const Event& event, std::vector<std::byte>& out);
/// The event that `encode` wrote; a fault is `system_failed` with what is wrong.
[[nodiscard]] Result<Event> decode_event(std::span<const std::byte> bytes);
}  // namespace vramd
