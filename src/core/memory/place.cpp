/// Where a request goes: the owner's own arenas first, then a new block, by size and type.
#include <algorithm>
#include <bit>

#include "base/invariant.hpp"
#include "core/memory/books.hpp"

namespace vramd::memory {
namespace {
/// The kind of block that a request needs (contract.md's table of allocation types).
BlockKind kind_for(const Request& request) {
    if (request.type == AllocationType::pinned) return BlockKind::pinned;
    const bool alone = request.shareable || request.type == AllocationType::mapped || request.type == AllocationType::unified ||
                       request.size_bytes >= dedicated_min_bytes;
    return alone ? BlockKind::dedicated : BlockKind::arena;
}

u64 alignment_for(AllocationType type, u64 alignment_bytes) {
    return std::max(alignment_bytes, type == AllocationType::texture ? 64 * kib : arena_granule_bytes);
}
u64 alignment_for(const Request& request) { return alignment_for(request.type, request.alignment_bytes); }
}  // namespace

u64 placement_alignment_bytes(const AllocationRow& row) { return alignment_for(row.type, u64{1} << row.alignment_log2); }
u64 placement_alignment_bytes(const Request& request) { return alignment_for(request); }
bool goes_into_arena(const Request& request) { return kind_for(request) == BlockKind::arena; }

/// Arenas grow with their owner, so that a small one wastes little and a large one has few blocks.
u64 Books::arena_block_bytes(const Request& request) const {
    u64 arena_bytes = 0;
    if (const auto arena = arenas_.find({request.device, std::string(request.owner)}); arena != arenas_.end())
        for (const BlockKey key : arena->second) arena_bytes += blocks_.at(key).row.size_bytes;
    const u64 granule = devices_[request.device].granule_bytes;
    const u64 wanted =
        std::clamp(std::bit_ceil(std::max(arena_bytes, request.size_bytes * 4)), arena_block_min_bytes, arena_block_max_bytes);
    const u64 least = round_up(request.size_bytes, granule);
    // At most an eighth of the room: what one owner's arena holds in advance, no other owner can have.
    const u64 share = round_down(uncommitted_bytes(request.device) / 8, granule);
    return std::max(least, std::min(round_up(wanted, granule), share));
}

Result<Spot> Books::place(const Request& request) const {
    INVARIANT(request.device < devices_.size() && request.size_bytes > 0 && std::has_single_bit(request.alignment_bytes));
    const DeviceRow& device = devices_[request.device];
    Spot spot;
    spot.kind = kind_for(request);
    const u64 unit = spot.kind == BlockKind::arena ? arena_granule_bytes : device.granule_bytes;
    // Nothing is larger than the largest number; the sum below could wrap without this.
    const u64 least_bytes = request.size_bytes > number_max ? request.size_bytes : round_up(request.size_bytes, unit);
    TRY_DO(allow(request.device, request.owner, least_bytes, Could::now));
    if (spot.kind == BlockKind::arena && least_bytes <= free_bytes(request.device)) {
        if (const auto arena = arenas_.find({request.device, std::string(request.owner)}); arena != arenas_.end())
            for (const BlockKey key : arena->second) {
                if (std::ranges::binary_search(request.frozen, key)) continue;
                const Block& block = blocks_.at(key);
                const auto offset = block.space->fit(request.size_bytes, alignment_for(request));
                if (!offset) continue;
                spot.block = key;
                spot.offset_bytes = *offset;
                spot.granted_bytes = round_up(request.size_bytes, arena_granule_bytes);
                const u64 dirty = block.row.dirty_bytes;
                spot.zero_bytes = dirty > *offset ? std::min(spot.granted_bytes, dirty - *offset) : 0;
                return spot;
            }
    }
    const u64 room = request.may_take_block ? uncommitted_bytes(request.device) : 0;
    if (!request.may_take_block && request.size_bytes <= uncommitted_bytes(request.device))
        return refuse(Code::insufficient_memory, "/sizeBytes",
                      "The room on " + device.id + " is kept for a request that has waited longer.");
    // Subtract before rounding up: the sum could wrap.
    if (request.size_bytes > room || round_up(request.size_bytes, device.granule_bytes) > room)
        return refuse(Code::insufficient_memory, "/sizeBytes", request.size_bytes, largest_for(request.device, request.owner));
    spot.block_bytes = spot.kind == BlockKind::arena ? arena_block_bytes(request) : round_up(request.size_bytes, device.granule_bytes);
    spot.granted_bytes = spot.kind == BlockKind::arena ? round_up(request.size_bytes, arena_granule_bytes) : spot.block_bytes;
    return spot;
}

std::optional<u64> Books::place_in(BlockKey key, const Allocation& allocation) const {
    const Block* to = block(key);
    const Block& from = blocks_.at(allocation.row.block);
    if (to == nullptr || !to->space || to->row.state != BlockState::ready || to->row.device != from.row.device) return std::nullopt;
    if (name(to->row.owner) != name(allocation.row.owner)) return std::nullopt;
    return to->space->fit(allocation.row.size_bytes, placement_alignment_bytes(allocation.row));
}

u64 Books::unwanted_bytes(u16 device) const {
    u64 bytes = 0;
    for (const auto& [key, block] : blocks_)
        if (block.row.device == device && block.row.state == BlockState::creating && block.allocations().empty())
            bytes += block.row.size_bytes;
    return bytes;
}

std::vector<BlockKey> Books::empty_blocks(u16 device) const {
    std::vector<BlockKey> empty;
    for (const auto& [key, block] : blocks_)
        if (block.row.device == device && block.row.kind == BlockKind::arena && block.row.state == BlockState::ready &&
            block.allocations().empty())
            empty.push_back(key);
    return empty;
}

u64 Books::largest_for(u16 device, std::string_view owner) const {
    u64 largest = round_down(uncommitted_bytes(device), devices_[device].granule_bytes);
    if (const auto arena = arenas_.find({device, std::string(owner)}); arena != arenas_.end())
        for (const BlockKey key : arena->second) {
            // A hole serves only what would go into an arena at all.
            const u64 hole = std::min(blocks_.at(key).space->stats().largest_free_bytes, free_bytes(device));
            largest = std::max(largest, std::min(hole, dedicated_min_bytes - 1));
        }
    return std::min(largest, quota_left(device, owner));
}

u64 Books::available_for(u16 device, std::string_view owner) const {
    u64 available = uncommitted_bytes(device);
    if (const auto arena = arenas_.find({device, std::string(owner)}); arena != arenas_.end())
        for (const BlockKey key : arena->second) available += blocks_.at(key).space->stats().free_bytes;
    return std::min({available, free_bytes(device), quota_left(device, owner)});
}
}  // namespace vramd::memory
