#include "core/memory/defragment.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "base/invariant.hpp"

namespace vramd::memory {
namespace {
/// The first of many spaces, in a fixed order, whose largest hole is at least so large: O(log spaces).
class LargestHoles {
public:
    explicit LargestHoles(std::size_t count) : leaves_(std::bit_ceil(std::max<std::size_t>(count, 1))), tree_(2 * leaves_, 0) {}
    void set(std::size_t index, u64 bytes) {
        std::size_t node = leaves_ + index;
        tree_[node] = bytes;
        for (node /= 2; node > 0; node /= 2) tree_[node] = std::max(tree_[2 * node], tree_[2 * node + 1]);
    }
    /// `count` where there is none from `from` on; the caller compares with its own count.
    [[nodiscard]] std::size_t first_at_least(u64 bytes, std::size_t from) const {
        if (from >= leaves_) return leaves_;
        std::size_t node = leaves_ + from;
        while (tree_[node] < bytes) {
            while (node % 2 == 1) node /= 2;  // Right children and the root have nothing further right under the same parent.
            if (node == 0) return leaves_;
            ++node;
        }
        while (node < leaves_) node = tree_[2 * node] >= bytes ? 2 * node : 2 * node + 1;
        return node - leaves_;
    }

private:
    std::size_t leaves_;
    std::vector<u64> tree_;
};

/// A range on its way through the plan, in whatever block it is by now.
struct Piece {
    LayoutRange range;
    Handle handle;
};
struct PlanBlock {
    const LayoutBlock* origin = nullptr;
    SubAllocator space{0};
    std::vector<Piece> pieces;
    u64 live_bytes = 0;
    bool gone = false;      ///< Emptied.
    bool received = false;  ///< Something was moved here in this round.
    bool left = false;      ///< Counted as left already.
    std::size_t group = 0;
    std::size_t place_in_group = 0;  ///< In the order in which targets are tried.
};
/// One owner's arenas, the fullest first.
struct Group {
    std::vector<std::size_t> blocks;
    LargestHoles holes{0};
};

/// What one strategy takes part in.
struct Rules {
    u64 live_percentage_max = 100;  ///< Of a block that is evacuated.
    u64 moved_bytes_max = UINT64_MAX;
    u64 range_bytes_max = UINT64_MAX;
    u64 idle_ns_min = 0;
    bool even_without_gain = false;  ///< Also blocks without a hole, and those that just received something: fewest blocks at any cost.
    bool slides = false;
};
Rules rules_of(DefragmentStrategy strategy) {
    Rules rules;
    if (strategy == DefragmentStrategy::quick) {
        rules.live_percentage_max = quick_live_percentage_max;
        rules.moved_bytes_max = quick_moved_bytes_max;
    }
    if (strategy == DefragmentStrategy::conservative) {
        rules.range_bytes_max = conservative_range_bytes_max;
        rules.idle_ns_min = conservative_idle_ns_min;
    }
    if (strategy == DefragmentStrategy::thorough) rules.even_without_gain = rules.slides = true;
    return rules;
}

class Planner {
public:
    Planner(const Layout& layout, const Rules& rules, const PlanBounds& bounds) : layout_(layout), rules_(rules), bounds_(bounds) {
        bounds_.moved_bytes_max = std::min(bounds.moved_bytes_max, rules.moved_bytes_max);
        Layout closed;
        for (const LayoutBlock& block : layout.blocks) {
            add(block);
            if (block.closed) closed.blocks.push_back(block);
        }
        closed_ = figures_of(closed);
        order_targets();
        plan_.after = layout.figures;
        take_empty_blocks();
    }
    Plan run() {
        if (bounds_.scope == PlanScope::evacuate) evacuate_all();
        if (rules_.slides || bounds_.scope == PlanScope::within_blocks) slide_all();
        plan_.after = figures();
        return std::move(plan_);
    }

private:
    void add(const LayoutBlock& origin) {
        PlanBlock block;
        block.origin = &origin;
        if (!origin.closed) {
            block.space = SubAllocator(origin.size_bytes, arena_granule_bytes);
            for (const LayoutRange& range : origin.ranges) {
                const auto placed = block.space.reserve_at(range.offset_bytes, range.size_bytes);
                INVARIANT(placed && placed->granted_bytes == range.granted_bytes);
                block.pieces.push_back({range, placed->handle});
                block.live_bytes += range.granted_bytes;
            }
        }
        blocks_.push_back(std::move(block));
    }

    void order_targets() {
        std::map<u32, std::size_t> groups;  // By owner.
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            if (blocks_[i].origin->closed || blocks_[i].pieces.empty()) continue;
            const auto [found, fresh] = groups.emplace(blocks_[i].origin->owner, groups_.size());
            if (fresh) groups_.emplace_back();
            blocks_[i].group = found->second;
            groups_[found->second].blocks.push_back(i);
        }
        for (Group& group : groups_) {
            std::ranges::stable_sort(group.blocks, [this](std::size_t a, std::size_t b) { return fuller(blocks_[a], blocks_[b]); });
            group.holes = LargestHoles(group.blocks.size());
            for (std::size_t place = 0; place < group.blocks.size(); ++place) {
                blocks_[group.blocks[place]].place_in_group = place;
                note_holes(blocks_[group.blocks[place]]);
            }
        }
    }
    /// Whether `a` costs more bytes moved per byte gained than `b`.
    static bool fuller(const PlanBlock& a, const PlanBlock& b) {
        return u128{a.live_bytes} * b.origin->size_bytes > u128{b.live_bytes} * a.origin->size_bytes;
    }
    void note_holes(const PlanBlock& block) {
        groups_[block.group].holes.set(block.place_in_group, block.gone ? 0 : block.space.stats().largest_free_bytes);
    }

    void take_empty_blocks() {
        for (PlanBlock& block : blocks_) {
            if (block.origin->closed || !block.pieces.empty()) continue;
            if (bounds_.scope == PlanScope::within_blocks || enough()) continue;
            plan_.empty.push_back(block.origin->key);
            gain(block);
        }
    }
    void gain(PlanBlock& block) {
        block.gone = true;
        plan_.gained_bytes += block.origin->size_bytes;
        plan_.after.uncommitted_bytes += block.origin->size_bytes;
        plan_.after.blocks -= 1;
    }

    // ------------------------------------------------------------------------------------------------------------------ evacuations
    void evacuate_all() {
        for (bool more = true; more && !enough();) {
            more = false;
            std::vector<std::size_t> candidates;
            for (const Group& group : groups_)
                for (const std::size_t block : group.blocks)
                    if (!blocks_[block].gone) candidates.push_back(block);
            for (PlanBlock& block : blocks_) block.received = false;
            std::ranges::stable_sort(candidates, [this](std::size_t a, std::size_t b) { return fuller(blocks_[b], blocks_[a]); });
            for (const std::size_t block : candidates) {
                if (enough()) return;
                // Who received something in this round is as full as a target should be: it is looked at in the next one.
                if (blocks_[block].received && !rules_.even_without_gain) continue;
                more = evacuate(blocks_[block]) || more;
            }
        }
    }

    /// Whether the strategy would empty this block; counts why not where ranges are held.
    bool may_evacuate(PlanBlock& block) {
        const u64 size_bytes = block.origin->size_bytes;
        if (!rules_.even_without_gain && block.live_bytes >= size_bytes) return false;
        if (u128{block.live_bytes} * 100 > u128{size_bytes} * rules_.live_percentage_max) return false;
        bool in_use = false;
        bool pinned = false;
        for (const Piece& piece : block.pieces) {
            if (piece.range.granted_bytes > rules_.range_bytes_max) return false;
            if (rules_.idle_ns_min > 0 && piece.range.accessed_wall_ns + rules_.idle_ns_min > layout_.now_wall_ns) return false;
            in_use = in_use || piece.range.hold == Hold::in_use;
            pinned = pinned || piece.range.hold == Hold::pinned;
        }
        if (!in_use && !pinned) return true;
        if (!std::exchange(block.left, true)) (pinned ? plan_.left_pinned : plan_.left_in_use) += 1;
        return false;
    }

    bool evacuate(PlanBlock& from) {
        if (!may_evacuate(from)) return false;
        Group& group = groups_[from.group];
        group.holes.set(from.place_in_group, 0);
        std::vector<std::size_t> order(from.pieces.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::ranges::stable_sort(order, [&from](std::size_t a, std::size_t b) {
            return from.pieces[a].range.granted_bytes > from.pieces[b].range.granted_bytes;
        });
        std::vector<Landing> landings;
        for (const std::size_t piece : order) {
            const auto landing = land(group, from.pieces[piece].range);
            if (!landing) break;
            landings.push_back(*landing);
        }
        const bool fits = landings.size() == order.size();
        const bool within = fits && fits_bounds(from);
        if (!within) {
            take_back(group, landings);
            note_holes(from);
            return false;
        }
        commit(from, order, landings);
        return true;
    }
    bool fits_bounds(const PlanBlock& from) {
        const bool within =
            plan_.moved_bytes + from.live_bytes <= bounds_.moved_bytes_max && plan_.moves.size() + from.pieces.size() <= bounds_.moves_max;
        if (!within) plan_.bounded = true;
        return within;
    }

    struct Landing {
        std::size_t block = 0;
        Placement placement;
    };
    std::optional<Landing> land(Group& group, const LayoutRange& range) {
        for (std::size_t place = group.holes.first_at_least(range.granted_bytes, 0); place < group.blocks.size();
             place = group.holes.first_at_least(range.granted_bytes, place + 1)) {
            PlanBlock& to = blocks_[group.blocks[place]];
            const auto placement = to.space.allocate(range.size_bytes, range.alignment_bytes);
            if (!placement) continue;  // Large enough, but not where its alignment would have it.
            note_holes(to);
            return Landing{group.blocks[place], *placement};
        }
        return std::nullopt;
    }
    void take_back(Group& group, const std::vector<Landing>& landings) {
        for (const Landing& landing : landings) {
            PlanBlock& to = blocks_[landing.block];
            INVARIANT(to.space.free(landing.placement.handle) == Freed::freed);
            group.holes.set(to.place_in_group, to.space.stats().largest_free_bytes);
        }
    }
    void commit(PlanBlock& from, const std::vector<std::size_t>& order, const std::vector<Landing>& landings) {
        for (std::size_t i = 0; i < order.size(); ++i) {
            Piece piece = from.pieces[order[i]];
            PlanBlock& to = blocks_[landings[i].block];
            const LayoutRange& range = piece.range;
            plan_.moves.push_back(
                {range.serial, from.origin->key, to.origin->key, landings[i].placement.offset_bytes, range.granted_bytes});
            piece.range.offset_bytes = landings[i].placement.offset_bytes;
            piece.handle = landings[i].placement.handle;
            to.live_bytes += range.granted_bytes;
            to.pieces.push_back(piece);
            to.received = true;
        }
        plan_.moved_bytes += from.live_bytes;
        plan_.emptied_blocks += 1;
        from.pieces.clear();
        from.live_bytes = 0;
        gain(from);
    }

    // ---------------------------------------------------------------------------------------------------------------------- slides
    void slide_all() {
        for (PlanBlock& block : blocks_) {
            if (block.gone || block.origin->closed) continue;
            if (enough()) return;
            slide(block);
        }
    }
    /// The last range that fits a hole further down goes there, so that the holes gather at the block's end.
    void slide(PlanBlock& block) {
        std::ranges::sort(block.pieces, {}, [](const Piece& piece) { return piece.range.offset_bytes; });
        for (bool more = true; more;) {
            more = false;
            for (std::size_t i = block.pieces.size(); i-- > 0;) {
                LayoutRange& range = block.pieces[i].range;
                const auto offset = block.space.fit(range.size_bytes, range.alignment_bytes);
                if (!offset || *offset > range.offset_bytes || !may_slide(range)) continue;
                const auto placed = block.space.allocate(range.size_bytes, range.alignment_bytes);
                INVARIANT(placed && placed->offset_bytes == *offset);
                INVARIANT(block.space.free(block.pieces[i].handle) == Freed::freed);
                plan_.moves.push_back({range.serial, block.origin->key, block.origin->key, *offset, range.granted_bytes});
                plan_.moved_bytes += range.granted_bytes;
                range.offset_bytes = *offset;
                block.pieces[i].handle = placed->handle;
                more = true;
            }
            std::ranges::sort(block.pieces, {}, [](const Piece& piece) { return piece.range.offset_bytes; });
        }
    }
    bool may_slide(const LayoutRange& range) {
        if (range.hold != Hold::none) return false;
        const bool within = plan_.moved_bytes + range.granted_bytes <= bounds_.moved_bytes_max && plan_.moves.size() < bounds_.moves_max;
        if (!within) plan_.bounded = true;
        return within;
    }

    // --------------------------------------------------------------------------------------------------------------------- figures
    /// Whether the device is no more fragmented than was asked for.
    bool enough() {
        if (bounds_.target_fragmentation_hundredths == 0) return false;
        return figures().fragmentation_hundredths() <= bounds_.target_fragmentation_hundredths;
    }
    FreeFigures figures() const {
        FreeFigures figures = plan_.after;
        figures.holes = figures.uncommitted_bytes > 0 ? 1 : 0;
        figures.largest_free_bytes = figures.uncommitted_bytes;
        figures.holes += closed_.holes;
        figures.largest_free_bytes = std::max(figures.largest_free_bytes, closed_.largest_free_bytes);
        for (const PlanBlock& block : blocks_) {
            if (block.gone || block.origin->closed) continue;
            const SubAllocatorStats stats = block.space.stats();
            figures.holes += stats.hole_count;
            figures.largest_free_bytes = std::max(figures.largest_free_bytes, stats.largest_free_bytes);
        }
        return figures;
    }

    const Layout& layout_;
    Rules rules_;
    PlanBounds bounds_;
    FreeFigures closed_;             ///< Holes of the closed blocks, which no plan changes.
    std::vector<PlanBlock> blocks_;  ///< In the layout's order.
    std::vector<Group> groups_;
    Plan plan_;
};
}  // namespace

Plan plan(const Layout& layout, DefragmentStrategy strategy, const PlanBounds& bounds) {
    return Planner(layout, rules_of(strategy), bounds).run();
}
}  // namespace vramd::memory
