#include "core/memory/books.hpp"

#include <algorithm>
#include <bit>

#include "base/invariant.hpp"

namespace vramd::memory {
// ------------------------------------------------------------------------------------------------------------------ devices and blocks
void Books::apply(const DeviceAdded& event) {
    INVARIANT(!device_named(event.device_id) && devices_.size() < UINT16_MAX);
    devices_.push_back({event.device_id, event.capacity_bytes, event.granule_bytes});
    device_sums_.emplace_back();
}

void Books::apply(const DeviceResized& event) {
    INVARIANT(event.device < devices_.size() && event.capacity_bytes >= device_sums_[event.device].committed);
    devices_[event.device].capacity_bytes = event.capacity_bytes;
}

void Books::apply(const BlockReserved& event) {
    INVARIANT(event.device < devices_.size() && event.block >= next_block_ && event.size_bytes > 0);
    INVARIANT(event.size_bytes <= uncommitted_bytes(event.device));
    Block block;
    block.row = {event.block, event.size_bytes, 0, names_.take(event.owner), event.device, event.kind, BlockState::creating};
    if (event.kind == BlockKind::arena) {
        block.space = SharedPart<SubAllocator>::made_of(event.size_bytes, arena_granule_bytes);
        arenas_[{event.device, event.owner}].insert(event.block);
    }
    blocks_.emplace(event.block, std::move(block));
    next_block_ = event.block + 1;
    device_sums_[event.device].committed += event.size_bytes;
    device_sums_[event.device].blocks += 1;
}

void Books::apply(const BlockReady& event) {
    const auto found = blocks_.find(event.block);
    INVARIANT(found != blocks_.end() && found->second.row.state == BlockState::creating);
    found->second.row.state = BlockState::ready;
}

void Books::apply(const BlockDirtied& event) {
    const auto found = blocks_.find(event.block);
    INVARIANT(found != blocks_.end());
    found->second.row.dirty_bytes = found->second.row.size_bytes;
}

void Books::apply(const BlockReleasing& event) {
    const auto found = blocks_.find(event.block);
    INVARIANT(found != blocks_.end() && found->second.row.state != BlockState::releasing && found->second.allocations().empty());
    BlockRow& row = found->second.row;
    row.state = BlockState::releasing;
    device_sums_[row.device].zombie += row.size_bytes;
    if (row.kind == BlockKind::arena) {
        const auto arena = arenas_.find({row.device, name(row.owner)});
        INVARIANT(arena != arenas_.end());
        arena->second.erase(row.key);
        if (arena->second.empty()) arenas_.erase(arena);
    }
}

void Books::apply(const BlockGone& event) {
    const auto found = blocks_.find(event.block);
    INVARIANT(found != blocks_.end() && found->second.row.state == BlockState::releasing);
    const BlockRow& row = found->second.row;
    DeviceSums& sums = device_sums_[row.device];
    sums.committed -= row.size_bytes;
    sums.zombie -= row.size_bytes;
    sums.blocks -= 1;
    names_.drop(row.owner);
    blocks_.erase(found);
}

// -------------------------------------------------------------------------------------------------------------------------- allocations
void Books::apply(const AllocationReserved& event) {
    INVARIANT(event.id.serial >= next_allocation_);
    Allocation allocation;
    AllocationRow& row = allocation.row;
    row.id = event.id;
    row.block = event.block;
    row.offset_bytes = event.offset_bytes;
    row.size_bytes = event.size_bytes;
    row.granted_bytes = event.granted_bytes;
    row.created_wall_ns = event.wall_ns;
    row.accessed_wall_ns = event.wall_ns;
    row.lease_until_monotonic_ns = event.lease_until_monotonic_ns;
    row.model = event.model;
    row.lease_seconds = static_cast<u32>(event.lease_seconds);
    row.owner = names_.take(event.owner);
    row.purpose = names_.take(event.purpose);
    row.alignment_log2 = static_cast<u8>(std::countr_zero(event.alignment_bytes));
    row.type = event.type;
    row.persistent = event.persistent;
    row.shareable = event.shareable;
    next_allocation_ = event.id.serial + 1;
    attach(std::move(allocation));
}

/// Takes a range of a block for an allocation, as its first or second place.
Handle Books::take_range(BlockKey key, u64 offset_bytes, u64 size_bytes, u64 granted_bytes, u64 serial) {
    const auto found = blocks_.find(key);
    INVARIANT(found != blocks_.end() && found->second.row.state != BlockState::releasing);
    Block& block = found->second;
    Handle handle;
    if (block.space) {
        const auto placement = block.space.own().reserve_at(offset_bytes, size_bytes);
        INVARIANT(placement && placement->granted_bytes == granted_bytes);
        handle = placement->handle;
    } else {
        INVARIANT(block.allocations().empty() && offset_bytes == 0 && granted_bytes == block.row.size_bytes);
    }
    block.enter(handle, serial);
    block.row.dirty_bytes = std::max(block.row.dirty_bytes, offset_bytes + granted_bytes);
    device_sums_[block.row.device].live += granted_bytes;
    return handle;
}

void Books::give_range(BlockKey key, u64 granted_bytes, Handle handle) {
    Block& block = blocks_.at(key);
    if (block.space) {
        const Freed freed = block.space.own().free(handle);
        INVARIANT(freed == Freed::freed);
    }
    block.leave();
    device_sums_[block.row.device].live -= granted_bytes;
}

void Books::count_use(const AllocationRow& row) {
    UseSums& sums = uses_[{blocks_.at(row.block).row.device, row.owner, row.purpose, row.model != 0}];
    sums.live += row.granted_bytes;
    sums.allocations += 1;
}

void Books::uncount_use(const AllocationRow& row) {
    const auto found = uses_.find({blocks_.at(row.block).row.device, row.owner, row.purpose, row.model != 0});
    INVARIANT(found != uses_.end() && found->second.live >= row.granted_bytes);
    found->second.live -= row.granted_bytes;
    found->second.allocations -= 1;
    if (found->second.allocations == 0) uses_.erase(found);
}

/// What is granted to a zombie counts as one, instead of as live.
void Books::count_abandoned(const AllocationRow& row) {
    DeviceSums& sums = device_sums_[blocks_.at(row.block).row.device];
    sums.live -= row.granted_bytes;
    sums.zombie += row.granted_bytes;
    sums.abandoned += row.granted_bytes;
}

void Books::uncount_abandoned(const AllocationRow& row) {
    DeviceSums& sums = device_sums_[blocks_.at(row.block).row.device];
    INVARIANT(sums.abandoned >= row.granted_bytes);
    sums.live += row.granted_bytes;
    sums.zombie -= row.granted_bytes;
    sums.abandoned -= row.granted_bytes;
}

/// Enters an allocation (whose names are taken already) into its block and all sums.
void Books::attach(Allocation allocation) {
    const AllocationRow& row = allocation.row;
    allocation.handle = take_range(row.block, row.offset_bytes, row.size_bytes, row.granted_bytes, row.id.serial);
    const Block& block = blocks_.at(row.block);
    INVARIANT(name(block.row.owner) == name(row.owner));  // A block never holds two owners' bytes.
    device_sums_[block.row.device].allocations += 1;
    count_use(row);
    hold(block.row.device, row.owner, row.granted_bytes);
    if (row.lease_until_monotonic_ns != 0) leases_.emplace(row.lease_until_monotonic_ns, row.id.serial);
    if (row.status == AllocationStatus::zombie) count_abandoned(row);
    allocations_.append(std::move(allocation));
}

/// Takes an allocation out of its block and all sums.
void Books::detach(u64 serial) {
    Allocation* const found = allocations_.find(serial);
    INVARIANT(found != nullptr && !moves_.contains(serial));
    const AllocationRow& row = found->row;
    if (row.status == AllocationStatus::zombie) uncount_abandoned(row);
    device_sums_[blocks_.at(row.block).row.device].allocations -= 1;
    let_go(blocks_.at(row.block).row.device, row.owner, row.granted_bytes);
    uncount_use(row);
    give_range(row.block, row.granted_bytes, found->handle);
    if (row.lease_until_monotonic_ns != 0) leases_.erase({row.lease_until_monotonic_ns, serial});
    names_.drop(row.owner);
    names_.drop(row.purpose);
    allocations_.erase(serial);
}

void Books::apply(const AllocationReady& event) {
    Allocation* const found = allocations_.find(event.id.serial);
    INVARIANT(found != nullptr && found->row.status == AllocationStatus::pending);
    INVARIANT(blocks_.at(found->row.block).row.state == BlockState::ready);
    found->row.status = AllocationStatus::live;
}

void Books::apply(const AllocationDropped& event) { detach(event.id.serial); }
void Books::apply(const AllocationFreed& event) { detach(event.id.serial); }

void Books::apply(const AllocationAbandoned& event) {
    Allocation* const found = allocations_.find(event.id.serial);
    INVARIANT(found != nullptr && found->row.status == AllocationStatus::live && found->row.model == 0);
    INVARIANT(!moves_.contains(event.id.serial));
    found->row.status = AllocationStatus::zombie;
    count_abandoned(found->row);
    set_lease(*found, 0);
}

void Books::set_lease(Allocation& allocation, u64 until_monotonic_ns) {
    AllocationRow& row = allocation.row;
    if (row.lease_until_monotonic_ns != 0) leases_.erase({row.lease_until_monotonic_ns, row.id.serial});
    row.lease_until_monotonic_ns = until_monotonic_ns;
    if (until_monotonic_ns != 0) leases_.emplace(until_monotonic_ns, row.id.serial);
}

void Books::apply(const AllocationAccessed& event) {
    Allocation* const found = allocations_.find(event.id.serial);
    INVARIANT(found != nullptr);
    found->row.accessed_wall_ns = event.wall_ns;
    found->row.access_count += 1;
    set_lease(*found, event.lease_until_monotonic_ns);
}

void Books::apply(const LeaseRenewed& event) {
    Allocation* const found = allocations_.find(event.id.serial);
    INVARIANT(found != nullptr);
    found->row.lease_seconds = static_cast<u32>(event.lease_seconds);
    set_lease(*found, event.lease_until_monotonic_ns);
}

// ----------------------------------------------------------------------------------------------------------------------------- look-ups
std::optional<u16> Books::device_named(std::string_view id) const {
    for (u16 i = 0; i < devices_.size(); ++i)
        if (devices_[i].id == id) return i;
    return std::nullopt;
}

const Block* Books::block(BlockKey key) const {
    const auto found = blocks_.find(key);
    return found == blocks_.end() ? nullptr : &found->second;
}

const Allocation* Books::allocation_by_serial(u64 serial) const { return allocations_.find(serial); }

const Allocation* Books::allocation(AllocationId id) const {
    const Allocation* found = allocation_by_serial(id.serial);
    return found != nullptr && found->row.id == id ? found : nullptr;
}

bool Books::block_is_empty(BlockKey key) const {
    const Block* found = block(key);
    return found != nullptr && found->allocations().empty();
}
}  // namespace vramd::memory
