/// The books of memory: which device has which blocks, which block holds which allocations, whose they are.
///
/// Invariants (reliability.md's numbers; `audit` recomputes them, the simulation checks them after each step)
///  1. Per device: live + zombie + reserved + free = capacity, and Σ blocks ≤ capacity. What limits.hpp keeps back is reserved, as far
///     as it is not in use already; no allocation is made beyond what is free, none beyond its owner's quota.
///  2. Ranges in a block are disjoint, aligned and inside it; no two holes are neighbours (the sub-allocator's own invariant).
///  3. Each allocation has one owner and one state; serials are never reused.
///  4. Owners' sums match. A block never holds two owners' bytes.
///  9. Nothing is handed out unscrubbed: an allocation below its block's dirty mark is zeroed before it is ready.
///
/// Only `apply` changes anything, and it does exactly what an event says. A pure value: no thread, clock, random or system call.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "core/memory/block.hpp"
#include "core/memory/limits.hpp"
#include "core/memory/names.hpp"
#include "core/memory/row_table.hpp"
#include "core/memory/rows.hpp"
#include "core/memory/suballocator.hpp"
#include "terms/event.hpp"

namespace vramd::memory {
/// The least unit of an allocation in an arena.
inline constexpr u64 arena_granule_bytes = 256;
inline constexpr u64 alignment_max_bytes = gib;
/// From this size on an allocation has a block of its own: it can then be given back to the system alone.
inline constexpr u64 dedicated_min_bytes = 8 * mib;
inline constexpr u64 arena_block_min_bytes = 2 * mib;
inline constexpr u64 arena_block_max_bytes = 64 * mib;

/// Sums of one device. Bytes.
struct DeviceSums {
    u64 committed = 0;  ///< Σ of all its blocks.
    u64 live = 0;       ///< Σ granted to allocations.
    u64 zombie = 0;     ///< Σ of blocks that are given up and not yet back, and granted to allocations that only their holders keep.
    u64 abandoned = 0;  ///< The latter's part of it: comes back when their holders let go.
    u64 allocations = 0;
    u64 blocks = 0;
    /// What comes back by itself, soon.
    [[nodiscard]] u64 returning() const { return zombie - abandoned; }
};
/// Whose memory it is, where, and for what: what usage is told by.
struct Use {
    u16 device = 0;
    u32 owner = 0;    ///< Of `Books::name`.
    u32 purpose = 0;  ///< Of `Books::name`.
    bool of_model = false;
    auto operator<=>(const Use&) const = default;
};
struct UseSums {
    u64 live = 0;
    u64 allocations = 0;
    bool operator==(const UseSums&) const = default;
};

/// An allocation with its name in the block's space.
struct Allocation {
    AllocationRow row;
    Handle handle;
    [[nodiscard]] u64 key() const { return row.id.serial; }
};
/// In the order of their serials.
using Allocations = RowTable<Allocation>;

/// An allocation's second place while its bytes are copied there. It counts as live on its device, but not for its owner.
struct Move {
    BlockKey block = 0;
    u64 offset_bytes = 0;
    u64 granted_bytes = 0;
    u64 operation = 0;  ///< Serial of the operation that moves it; 0: a transfer does.
    Handle handle;
};

/// What is to be placed.
struct Request {
    u16 device = 0;
    std::string_view owner;
    u64 size_bytes = 0;
    u64 alignment_bytes = arena_granule_bytes;
    AllocationType type = AllocationType::default_;
    bool shareable = false;       ///< Needs a block of its own.
    std::span<const u64> frozen;  ///< Blocks where nothing may be placed now, sorted.
    bool may_take_block = true;   ///< False: only what lies in the owner's arenas can be had.
};
/// Where it would go.
struct Spot {
    BlockKey block = 0;  ///< 0: a new one.
    BlockKind kind = BlockKind::arena;
    u64 block_bytes = 0;  ///< Size of the new one.
    u64 offset_bytes = 0;
    u64 granted_bytes = 0;
    u64 zero_bytes = 0;  ///< Leading bytes that must be zeroed first.
};

/// What the place of an allocation must be a multiple of: as asked for, at least the granule, and for textures as textures need.
[[nodiscard]] u64 placement_alignment_bytes(const AllocationRow& row);
[[nodiscard]] u64 placement_alignment_bytes(const Request& request);
/// Whether the request shares a block with others of its owner.
[[nodiscard]] bool goes_into_arena(const Request& request);

class Books {
public:
    // Changes: exactly what the event says. INVARIANT where an event cannot fit the books (decide made it, so it is our bug).
    void apply(const DeviceAdded& event);
    void apply(const DeviceResized& event);
    void apply(const BlockReserved& event);
    void apply(const BlockReady& event);
    void apply(const BlockReleasing& event);
    void apply(const BlockGone& event);
    void apply(const AllocationReserved& event);
    void apply(const AllocationReady& event);
    void apply(const AllocationDropped& event);
    void apply(const AllocationFreed& event);
    void apply(const AllocationAbandoned& event);
    void apply(const AllocationAccessed& event);
    void apply(const LeaseRenewed& event);
    void apply(const MoveReserved& event);
    void apply(const AllocationMoved& event);
    void apply(const MoveDropped& event);
    void apply(const BlockDirtied& event);
    void apply(const LimitsSet& event);

    /// The first place by policy: the owner's arenas in the order of their age, else a new block. Nothing changes.
    /// Errors: `insufficient_memory` (value: what is asked, limit: the largest that could be had); `limit_exceeded` (more than the
    /// device's limits could ever allow; limit: what they do); `quota_exceeded` (limit: what is left of the owner's quota).
    [[nodiscard]] Result<Spot> place(const Request& request) const;
    /// The lowest place in a ready arena of the same owner and device where this allocation could go; nothing if there is none.
    [[nodiscard]] std::optional<u64> place_in(BlockKey block, const Allocation& allocation) const;
    /// Of blocks that nobody wants any more while they are still being made; they go as soon as they are there. O(blocks).
    [[nodiscard]] u64 unwanted_bytes(u16 device) const;
    /// Empty arena blocks of a device that could be released to make room, in key order.
    [[nodiscard]] std::vector<BlockKey> empty_blocks(u16 device) const;
    /// The largest single request that this owner could have now.
    [[nodiscard]] u64 largest_for(u16 device, std::string_view owner) const;
    /// What this owner could have now in all: its holes and what no block covers.
    [[nodiscard]] u64 available_for(u16 device, std::string_view owner) const;
    /// What no block covers and the limits do not keep back.
    [[nodiscard]] u64 uncommitted_bytes(u16 device) const;
    /// The most that the limits allow: the capacity less what they keep back.
    [[nodiscard]] u64 usable_bytes(u16 device) const;
    /// What the limits keep back of what is not in use.
    [[nodiscard]] u64 reserved_bytes(u16 device) const;
    /// capacity − live − zombie − reserved.
    [[nodiscard]] u64 free_bytes(u16 device) const;
    /// What this owner's allocations take of the device, with second places that come there from another one.
    [[nodiscard]] u64 held_by(u16 device, std::string_view owner) const;
    /// What is left of this owner's quota; `number_max` where there is none.
    [[nodiscard]] u64 quota_left(u16 device, std::string_view owner) const;
    /// Whether `granted_bytes` more may be this owner's, now or, with `Could::ever`, if it held nothing else.
    enum class Could : u8 { now, ever };
    /// Errors: `limit_exceeded`, `quota_exceeded`, as `place`.
    [[nodiscard]] Result<void> allow(u16 device, std::string_view owner, u64 granted_bytes, Could could) const;

    // Look-ups; pointers hold until the next apply.
    [[nodiscard]] std::optional<u16> device_named(std::string_view id) const;
    [[nodiscard]] const std::vector<DeviceRow>& devices() const { return devices_; }
    [[nodiscard]] const DeviceSums& sums(u16 device) const { return device_sums_[device]; }
    [[nodiscard]] const Block* block(BlockKey key) const;
    [[nodiscard]] const std::map<BlockKey, Block>& blocks() const { return blocks_; }
    /// By serial and secret: a wrong secret finds nothing.
    [[nodiscard]] const Allocation* allocation(AllocationId id) const;
    [[nodiscard]] const Allocation* allocation_by_serial(u64 serial) const;
    [[nodiscard]] const Allocations& allocations() const { return allocations_; }
    /// Where this allocation is being moved; null if it is not.
    [[nodiscard]] const Move* move(u64 serial) const;
    /// By serial of the allocation.
    [[nodiscard]] const std::map<u64, Move>& moves() const { return moves_; }
    [[nodiscard]] const std::string& name(u32 index) const { return names_.text(index); }
    /// What is in use by each use of memory; none of 0 allocations.
    [[nodiscard]] const std::map<Use, UseSums>& uses() const { return uses_; }
    /// (deadline, serial) of every lease, soonest first.
    [[nodiscard]] const std::set<std::pair<u64, u64>>& leases() const { return leases_; }
    [[nodiscard]] u64 next_block() const { return next_block_; }
    [[nodiscard]] u64 next_allocation() const { return next_allocation_; }
    [[nodiscard]] bool block_is_empty(BlockKey key) const;

    /// Recomputes every derived figure from the rows and appends a sentence for each that differs.
    void audit(std::vector<std::string>& findings) const;

    /// All rows in order, for snapshots and the state's hash: what `restore` takes back.
    void save(std::vector<std::byte>& out) const;
    [[nodiscard]] static Result<Books> restore(std::span<const std::byte> bytes);

private:
    struct Saved;
    void attach(Allocation allocation);
    void detach(u64 serial);
    Handle take_range(BlockKey block, u64 offset_bytes, u64 size_bytes, u64 granted_bytes, u64 serial);
    void give_range(BlockKey block, u64 granted_bytes, Handle handle);
    void audit_block(const Block& block, std::vector<std::string>& findings) const;
    void set_lease(Allocation& allocation, u64 until_monotonic_ns);
    [[nodiscard]] u64 arena_block_bytes(const Request& request) const;
    void count_use(const AllocationRow& row);
    void uncount_use(const AllocationRow& row);
    void count_abandoned(const AllocationRow& row);
    void uncount_abandoned(const AllocationRow& row);
    void hold(u16 device, u32 owner, u64 bytes);
    void let_go(u16 device, u32 owner, u64 bytes);

    std::vector<DeviceRow> devices_;
    std::map<BlockKey, Block> blocks_;
    Allocations allocations_;
    std::map<u64, Move> moves_;
    Names names_;
    u64 next_block_ = 1;
    u64 next_allocation_ = 1;

    // Derived.
    std::vector<DeviceSums> device_sums_;
    std::map<Use, UseSums> uses_;
    std::map<std::pair<u16, std::string>, u64, std::less<>> held_;  ///< By device and owner, in bytes; none of 0.
    std::map<std::pair<u16, std::string>, std::set<BlockKey>, std::less<>> arenas_;
    std::set<std::pair<u64, u64>> leases_;
};
}  // namespace vramd::memory
