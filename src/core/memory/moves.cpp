/// Moves: an allocation with two places, of which the first holds its bytes until the second does.
#include "base/invariant.hpp"
#include "core/memory/books.hpp"

namespace vramd::memory {
void Books::apply(const MoveReserved& event) {
    Allocation* const found = allocations_.find(event.id.serial);
    INVARIANT(found != nullptr && found->row.status == AllocationStatus::live && !moves_.contains(event.id.serial));
    const AllocationRow& row = found->row;
    Move move{event.block, event.offset_bytes, event.granted_bytes, event.operation, {}};
    move.handle = take_range(event.block, event.offset_bytes, row.size_bytes, event.granted_bytes, event.id.serial);
    INVARIANT(name(blocks_.at(event.block).row.owner) == name(row.owner));  // A block never holds two owners' bytes.
    const u16 to = blocks_.at(event.block).row.device;
    if (to != blocks_.at(row.block).row.device) hold(to, row.owner, event.granted_bytes);
    moves_.emplace(event.id.serial, move);
}

void Books::apply(const AllocationMoved& event) {
    Allocation* const found = allocations_.find(event.id.serial);
    auto taken = moves_.extract(event.id.serial);
    INVARIANT(found != nullptr && !taken.empty());
    AllocationRow& row = found->row;
    const Move& move = taken.mapped();
    const u16 from = blocks_.at(row.block).row.device;
    const u16 to = blocks_.at(move.block).row.device;
    give_range(row.block, row.granted_bytes, found->handle);
    let_go(from, row.owner, row.granted_bytes);
    if (from == to) hold(to, row.owner, move.granted_bytes);  // On another device it has counted since it was reserved.
    device_sums_[from].allocations -= 1;
    device_sums_[to].allocations += 1;
    uncount_use(row);
    row.block = move.block;
    row.offset_bytes = move.offset_bytes;
    row.granted_bytes = move.granted_bytes;
    found->handle = move.handle;
    count_use(row);
}

void Books::apply(const MoveDropped& event) {
    auto taken = moves_.extract(event.id.serial);
    INVARIANT(!taken.empty());
    const Move& move = taken.mapped();
    const AllocationRow& row = allocations_.find(event.id.serial)->row;
    const u16 to = blocks_.at(move.block).row.device;
    if (to != blocks_.at(row.block).row.device) let_go(to, row.owner, move.granted_bytes);
    give_range(move.block, move.granted_bytes, move.handle);
}

const Move* Books::move(u64 serial) const {
    const auto found = moves_.find(serial);
    return found == moves_.end() ? nullptr : &found->second;
}
}  // namespace vramd::memory
