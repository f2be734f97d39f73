/// Plans of moves that turn scattered holes into room that anybody can have.
///
/// Blocks are pieces of memory of their own: a device has no address space in which holes could be pushed together. What can be
/// gained is a whole arena block: when all its ranges fit into holes of other arenas of the same owner, it is released, and what
/// no block covers grows by its size. Sliding ranges within a block only joins holes for the same owner's small requests. So a plan is
/// a list of moves, mostly evacuations, with the blocks that they empty.
///
/// Choosing evacuations so that least is moved is bin packing. Here: the emptiest block first (its bytes moved per byte gained are
/// least), its largest range first (what fits nowhere shows early, and the attempt is undone), into the fullest blocks first (they are
/// least likely to be evacuated themselves). benchmarks/defragment.cpp measures how far that is from the optimum.
///
/// Invariants: a plan applied to its layout in order leaves ranges disjoint, aligned, inside their blocks, and no block with two owners'
/// bytes; held ranges and ranges in closed blocks do not move; no move begins where its range or an earlier one's still lies; `moved_bytes`
/// and the count of moves respect the bounds; a range moves to a lower address where it stays in its block.
///
/// Pure: no lock, clock or system call. A layout is copied from the books in one go, and planning needs no lock after that.
#pragma once
#include <span>
#include <vector>

#include "base/clock.hpp"
#include "core/memory/books.hpp"
#include "terms/upkeep.hpp"

namespace vramd::memory {
/// Why a range stays where it is.
enum class Hold : u8 {
    none,
    in_use,  ///< Its content is being read or written, it is not ready yet, or it is being moved already.
    pinned,  ///< It was asked to stay.
};
struct LayoutRange {
    u64 serial = 0;
    u64 offset_bytes = 0;
    u64 size_bytes = 0;
    u64 granted_bytes = 0;
    u64 alignment_bytes = arena_granule_bytes;
    u64 accessed_wall_ns = 0;
    Hold hold = Hold::none;
};
/// An arena. Dedicated and pinned blocks are in no layout: moving them gains nothing.
struct LayoutBlock {
    BlockKey key = 0;
    u32 owner = 0;  ///< Ranges go only to blocks of an equal owner.
    u64 size_bytes = 0;
    bool closed = false;              ///< Its ranges do not move, and none comes in: it is being made, cleared, or another's.
    std::vector<LayoutRange> ranges;  ///< By offset.
};
/// The arenas of one device, and what else its free memory is.
struct Layout {
    FreeFigures figures;
    u64 now_wall_ns = 0;
    std::vector<LayoutBlock> blocks;  ///< By key.
};

/// What of the books may take part.
struct LayoutFilter {
    std::string_view owner;         ///< Only this owner's arenas are open; empty: everybody's.
    std::span<const u64> in_use;    ///< Serials of allocations whose content is being read or written, sorted.
    std::span<const u64> preserve;  ///< Serials of allocations that stay, sorted.
    std::span<const u64> frozen;    ///< Blocks whose holes are being written, sorted.
};
/// How the free memory of a device lies now. O(blocks).
[[nodiscard]] FreeFigures figures_of(const Books& books, u16 device);
/// A device's arenas, copied. O(blocks + ranges).
[[nodiscard]] Layout layout_of(const Books& books, u16 device, const LayoutFilter& filter, u64 now_wall_ns);
/// Free memory as `layout.blocks` say it: what `layout.figures` would be after a change. O(blocks + ranges).
[[nodiscard]] FreeFigures figures_of(const Layout& layout);

/// `quick` moves at most this much, out of blocks that are at most a quarter live.
inline constexpr u64 quick_moved_bytes_max = 64 * mib;
inline constexpr u64 quick_live_percentage_max = 25;
/// `conservative` moves only ranges of at most this size that nobody accessed for this long.
inline constexpr u64 conservative_range_bytes_max = mib;
inline constexpr u64 conservative_idle_ns_min = 60 * ns_per_second;

enum class PlanScope : u8 {
    evacuate,       ///< Empty blocks; `thorough` slides ranges within the blocks left, too.
    within_blocks,  ///< Only slide.
};
struct PlanBounds {
    u64 moved_bytes_max = UINT64_MAX;
    u64 moves_max = UINT64_MAX;
    u64 target_fragmentation_hundredths = 0;  ///< No more is planned once the device is no more fragmented than this.
    PlanScope scope = PlanScope::evacuate;
};

struct PlannedMove {
    u64 serial = 0;
    BlockKey from = 0;
    BlockKey to = 0;
    u64 offset_bytes = 0;  ///< Where the lowest fitting place of `to` is, if all moves before were done and nothing else happened.
    u64 granted_bytes = 0;
    bool operator==(const PlannedMove&) const = default;
};
struct Plan {
    std::vector<PlannedMove> moves;
    std::vector<BlockKey> empty;  ///< Blocks that are empty already: released without a move. By key.
    u64 emptied_blocks = 0;       ///< By the moves.
    u64 moved_bytes = 0;
    u64 gained_bytes = 0;  ///< Sizes of the blocks that are empty and emptied.
    u64 left_in_use = 0;   ///< Blocks that would have been emptied, but for a range in use.
    u64 left_pinned = 0;   ///< The same for a range that is to stay.
    bool bounded = false;  ///< More could have been gained within no bounds.
    FreeFigures after;     ///< If all of it is done.
};
/// O(ranges × log ranges) in the usual case.
[[nodiscard]] Plan plan(const Layout& layout, DefragmentStrategy strategy, const PlanBounds& bounds);
}  // namespace vramd::memory
