/// For tests and benchmarks of plans: random layouts, a plan done move by move on bytes, and the best that any plan could do.
#pragma once
#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/choices.hpp"
#include "core/memory/defragment.hpp"

namespace vramd::memory {
/// How a random layout is to be.
struct LayoutWish {
    u64 blocks = 4;
    u64 block_granules_max = 64;
    u64 owners = 2;
    u64 range_granules_max = 12;
    u64 alignment_log2_max = 10;  ///< From the granule's 8 on.
    u64 held_one_in = 12;         ///< 0: nothing is held.
    u64 closed_one_in = 12;       ///< 0: no block is closed.
};

/// Arenas filled by first fit and thinned out again, each to a density of its own.
inline Layout any_layout(Choices& choices, const LayoutWish& wish) {
    Layout layout;
    layout.now_wall_ns = 1000 * ns_per_second;
    u64 serial = 1;
    for (u64 i = 0; i < wish.blocks; ++i) {
        LayoutBlock& block = layout.blocks.emplace_back();
        block.key = 10 + i;
        block.owner = static_cast<u32>(choices.below(wish.owners));
        block.size_bytes = (wish.block_granules_max / 2 + choices.below(wish.block_granules_max / 2 + 1)) * arena_granule_bytes;
        block.closed = wish.closed_one_in > 0 && choices.one_in(wish.closed_one_in);
        SubAllocator space(block.size_bytes, arena_granule_bytes);
        const u64 kept_percentage = choices.below(101);
        for (;;) {
            LayoutRange range;
            range.size_bytes = 1 + choices.below(wish.range_granules_max * arena_granule_bytes);
            range.alignment_bytes = arena_granule_bytes << choices.below(wish.alignment_log2_max - 7);
            const auto placed = space.allocate(range.size_bytes, range.alignment_bytes);
            if (!placed) break;
            if (choices.below(100) >= kept_percentage) continue;
            range.serial = serial++;
            range.offset_bytes = placed->offset_bytes;
            range.granted_bytes = placed->granted_bytes;
            range.accessed_wall_ns = choices.below(2) * 990 * ns_per_second;
            if (wish.held_one_in > 0 && choices.one_in(wish.held_one_in)) range.hold = choices.below(2) == 0 ? Hold::in_use : Hold::pinned;
            block.ranges.push_back(range);
        }
        std::ranges::sort(block.ranges, {}, &LayoutRange::offset_bytes);
    }
    layout.figures.uncommitted_bytes = choices.below(8) * arena_granule_bytes;
    layout.figures.capacity_bytes = layout.figures.uncommitted_bytes;
    layout.figures.free_bytes = layout.figures.uncommitted_bytes;
    layout.figures.blocks = layout.blocks.size();
    layout.figures.allocations = serial - 1;
    for (const LayoutBlock& block : layout.blocks) {
        layout.figures.capacity_bytes += block.size_bytes;
        layout.figures.free_bytes += block.size_bytes;
        for (const LayoutRange& range : block.ranges) layout.figures.free_bytes -= range.granted_bytes;
    }
    layout.figures = figures_of(layout);
    return layout;
}

/// Does a plan as the daemon does: each range has both places until its bytes are at the second one, and an emptied block goes.
/// What the plan may not do is told in a sentence, and nothing further is done.
class PlanTrial {
public:
    explicit PlanTrial(Layout before) : layout(std::move(before)) {}
    std::optional<std::string> run(const Plan& plan) {
        for (const BlockKey key : plan.empty)
            if (!release(key)) return "a block is called empty that is not";
        for (const PlannedMove& move : plan.moves)
            if (const auto fault = run(move)) return "the move of " + std::to_string(move.serial) + " " + *fault;
        return std::nullopt;
    }
    Layout layout;
    u64 moved_bytes = 0;
    u64 released = 0;

private:
    LayoutBlock* block(BlockKey key) {
        const auto found = std::ranges::find(layout.blocks, key, &LayoutBlock::key);
        return found == layout.blocks.end() ? nullptr : &*found;
    }
    bool release(BlockKey key) {
        const LayoutBlock* gone = block(key);
        if (gone == nullptr || gone->closed || !gone->ranges.empty()) return false;
        layout.figures.uncommitted_bytes += gone->size_bytes;
        layout.figures.blocks -= 1;
        released += 1;
        std::erase_if(layout.blocks, [key](const LayoutBlock& other) { return other.key == key; });
        return true;
    }
    std::optional<std::string> run(const PlannedMove& move) {
        LayoutBlock* from = block(move.from);
        LayoutBlock* to = block(move.to);
        if (from == nullptr || to == nullptr) return "names a block that is gone";
        const auto found = std::ranges::find(from->ranges, move.serial, &LayoutRange::serial);
        if (found == from->ranges.end()) return "begins where the range is not";
        LayoutRange range = *found;
        if (from->closed || to->closed) return "touches a closed block";
        if (range.hold != Hold::none) return "moves what is held";
        if (from->owner != to->owner) return "mixes owners";
        if (from == to && move.offset_bytes >= range.offset_bytes) return "goes up in its block";
        if (move.offset_bytes % range.alignment_bytes != 0) return "ends unaligned";
        if (move.granted_bytes != range.granted_bytes) return "changes the size";
        if (move.offset_bytes + move.granted_bytes > to->size_bytes) return "leaves its block";
        for (const LayoutRange& other : to->ranges)
            if (move.offset_bytes < other.offset_bytes + other.granted_bytes && other.offset_bytes < move.offset_bytes + move.granted_bytes)
                return "overlaps " + std::to_string(other.serial);
        from->ranges.erase(found);
        range.offset_bytes = move.offset_bytes;
        to->ranges.insert(std::ranges::upper_bound(to->ranges, range.offset_bytes, {}, &LayoutRange::offset_bytes), range);
        moved_bytes += range.granted_bytes;
        if (from->ranges.empty()) (void)release(move.from);  // It is there and empty.
        return std::nullopt;
    }
};

/// The best that evacuating can do on a small layout: for each set of blocks, whether all their ranges fit the holes of the others, by
/// trying every assignment. Ranges must be aligned to the granule, and nothing be held or closed.
class BestEvacuation {
public:
    struct Best {
        u64 gained_bytes = 0;
        u64 moved_bytes = 0;
    };
    explicit BestEvacuation(const Layout& layout) : layout_(layout) {
        for (u64 set = 1; set < u64{1} << layout.blocks.size(); ++set)
            if (fits(set)) {
                Best best;
                for (std::size_t i = 0; i < layout.blocks.size(); ++i)
                    if ((set >> i & 1) != 0) best.gained_bytes += layout.blocks[i].size_bytes, best.moved_bytes += live(layout.blocks[i]);
                all_.push_back(best);
            }
    }
    /// The most that can be gained at all.
    [[nodiscard]] u64 most_gained_bytes() const {
        u64 most = 0;
        for (const Best& one : all_) most = std::max(most, one.gained_bytes);
        return most;
    }
    /// The least that must be moved to gain so much; nothing if it cannot be gained.
    [[nodiscard]] std::optional<u64> least_moved_bytes(u64 gained_bytes) const {
        std::optional<u64> least;
        for (const Best& one : all_)
            if (one.gained_bytes >= gained_bytes && (!least || one.moved_bytes < *least)) least = one.moved_bytes;
        return least;
    }

private:
    static u64 live(const LayoutBlock& block) {
        u64 bytes = 0;
        for (const LayoutRange& range : block.ranges) bytes += range.granted_bytes;
        return bytes;
    }
    [[nodiscard]] bool fits(u64 set) const {
        std::map<u32, std::vector<u64>> holes;
        std::map<u32, std::vector<u64>> ranges;
        for (std::size_t i = 0; i < layout_.blocks.size(); ++i) {
            const LayoutBlock& block = layout_.blocks[i];
            u64 end = 0;
            for (const LayoutRange& range : block.ranges) {
                if ((set >> i & 1) != 0) ranges[block.owner].push_back(range.granted_bytes);
                if ((set >> i & 1) == 0) holes[block.owner].push_back(range.offset_bytes - end);
                end = range.offset_bytes + range.granted_bytes;
            }
            if ((set >> i & 1) == 0 && !block.ranges.empty()) holes[block.owner].push_back(block.size_bytes - end);
        }
        for (auto& [owner, list] : ranges) {
            std::ranges::sort(list, std::greater<>());
            if (!pack(list, 0, holes[owner])) return false;
        }
        return true;
    }
    static bool pack(const std::vector<u64>& ranges, std::size_t next, std::vector<u64>& holes) {
        if (next == ranges.size()) return true;
        for (std::size_t i = 0; i < holes.size(); ++i) {
            if (holes[i] < ranges[next] || std::find(holes.begin(), holes.begin() + static_cast<std::ptrdiff_t>(i), holes[i]) !=
                                               holes.begin() + static_cast<std::ptrdiff_t>(i))
                continue;  // Too small, or as large as one that was tried.
            holes[i] -= ranges[next];
            const bool done = pack(ranges, next + 1, holes);
            holes[i] += ranges[next];
            if (done) return true;
        }
        return false;
    }
    const Layout& layout_;
    std::vector<Best> all_;
};
}  // namespace vramd::memory
