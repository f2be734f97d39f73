/// The holes of one space in address order, answering "which is the first that is large enough" in O(log holes).
///
/// A B-tree of 16-way nodes whose entries are three parallel arrays, so that one node is three cache lines and a question to it is
/// four SSE2 comparisons: `keys` (a leaf's hole offsets; above, the least offset that may lie in the child), `sizes` (a leaf's hole sizes;
/// above, the largest hole in the child) and `links` (a leaf: the live range in front of the hole; above, the child).
/// First fit goes down by `sizes`, everything else by `keys`.
///
/// Invariants
///  - Keys rise strictly inside a node; every hole of child i has an offset in [keys[i], keys[i + 1]), where for i = 0 the bound of
///    the node itself stands instead of keys[0] (which is never asked above the leaves).
///  - `sizes[i]` of an inner node is exactly the largest size below child i; `largest_` that of the root.
///  - Unused slots lie at the end, with the largest key and size 0; so no node stores a count.
///  - No node but an empty root leaf is empty; one that falls below 6 entries is joined with a neighbour if both fit into 12.
///    A full one first moves entries to a neighbour with room, which keeps the tree low and the memory a hole costs small.
#pragma once
#include <array>
#include <bit>

#include "base/types.hpp"
#include "core/memory/suballocator_lanes.hpp"
#include "core/memory/suballocator_table.hpp"

namespace vramd::memory {
/// `counts[i]`: holes of 2^i <= size < 2^(i + 1) bytes.
struct HoleHistogram {
    std::array<u64, 64> counts{};

    bool operator==(const HoleHistogram&) const = default;
};

/// All offsets and sizes here are in granules, below 2^32 - 1. Copyable; not synchronised.
class HoleTree {
public:
    /// One hole and the slot of the live range that ends where it begins.
    struct Entry {
        u32 offset = 0;
        u32 size = 0;
        u32 behind = 0;
    };
    static constexpr u32 height_end = 16;  ///< 2^32 holes need fewer levels than this.
    /// A way from the root (level 0) to one entry of a leaf, or, its last slot `none`, to the start of a leaf. Good until the next
    /// change of the tree.
    struct Path {
        std::array<u32, height_end> nodes;
        std::array<u32, height_end> slots;
    };

    HoleTree() : root_(nodes_.add()) { nodes_[root_] = Node(); }

    /// Size of the largest hole, 0 if there is none. O(1).
    [[nodiscard]] u32 largest() const { return unflip(largest_); }
    [[nodiscard]] u32 count() const { return count_; }
    [[nodiscard]] u64 heap_bytes() const { return nodes_.heap_bytes(); }
    /// Adds the holes to `into`; a granule has 2^`granule_bits` bytes. O(holes), and asks no other memory than the tree's.
    void count_into(HoleHistogram& into, u32 granule_bits) const { count_below(root_, 0, into, granule_bits); }

    /// The first hole in address order that can hold `size` (> 0) at a multiple of `alignment` (a power of two); false if none can.
    [[nodiscard]] bool first_fit(u32 size, u32 alignment, Path& path) const;
    /// Seeks the place of `offset` in the order: where `insert` puts a hole, and where `at_or_before` and `next` look from. Asks nothing
    /// but the tree, so that a caller's loads of other memory can go on meanwhile.
    void seek(u32 offset, Path& path) const;
    /// From a place sought: the last hole that begins at or before it; false if there is none.
    [[nodiscard]] bool at_or_before(Path& path) const;
    /// From a place sought: the first hole behind it, which exists and begins at `offset`.
    void next(u32 offset, Path& path) const;
    [[nodiscard]] Entry entry(const Path& path) const {
        const Node& leaf = nodes_[path.nodes[height_]];
        const u32 slot = path.slots[height_];
        return {unflip(leaf.keys[slot]), unflip(leaf.sizes[slot]), leaf.links[slot]};
    }

    /// Adds a hole, which touches none, at the place that `seek` found for its offset.
    void insert(const Path& path, Entry hole);
    /// Removes the hole at `path`.
    void erase(Path& path);
    /// Changes the hole at `path`; it keeps its place in the order.
    void replace(const Path& path, Entry hole);
    /// The hole at `path` gets the larger `size` and swallows the hole behind it, which begins at `next_offset` and ends where the
    /// new size does.
    void swallow_next(Path& path, u32 next_offset, u32 size);

    /// Re-derives order, keys, sizes, fill and counts: true if all agree. O(holes); for AUDIT and tests.
    [[nodiscard]] bool consistent() const;

private:
    static constexpr u32 width = 16;
    static constexpr u32 none = 0xffff'ffff;              ///< No slot, no node.
    static constexpr Flipped no_key = flip(0xffff'ffff);  ///< The key of an unused slot.
    static constexpr u32 joined_below = 6;                ///< A node with fewer entries looks for a neighbour to join.
    static constexpr u32 joined_max = 12;                 ///< They join if the result leaves room for the next few inserts.
    struct alignas(64) Node {
        std::array<Flipped, width> keys;
        std::array<Flipped, width> sizes;
        std::array<u32, width> links;

        Node() {
            keys.fill(no_key);
            sizes.fill(flip(0));
            links.fill(0);
        }
        [[nodiscard]] u32 count() const;
        [[nodiscard]] Flipped largest() const;
        [[nodiscard]] bool full() const { return keys[width - 1] != no_key; }
        /// Room for an entry moved here and for the one whose coming made it move.
        [[nodiscard]] bool has_room_for_two() const { return keys[width - 2] == no_key; }
        /// Whether slot `slot` exists and holds an entry.
        [[nodiscard]] bool has(u32 slot) const { return slot < width && keys[slot] != no_key; }
        void put(u32 position, Entry entry);
        void remove(u32 position);
        /// Moves all but the first `kept` entries to the start of `right`, which has room for them.
        void move_end_to(Node& right, u32 kept);
        /// Moves the first `moved` entries to the end of `left`, which has room for them.
        void move_start_to(Node& left, u32 moved);
    };

    /// The first hole behind the leaf of `path` that can hold the request.
    [[nodiscard]] bool next_fit(u32 size, u32 alignment, Path& path) const;
    /// An entry of the node at `level` rose to `size`: tells the levels above.
    void raise(const Path& path, u32 level, Flipped size);
    /// Writes `now` where the path's entry of the node at `level` still has the larger `was`, and tells the levels above.
    void lower(const Path& path, u32 level, Flipped was, Flipped now);
    /// Whether `size` is the largest in the node at `level`, as the level above knows it.
    [[nodiscard]] bool is_largest(const Path& path, u32 level, Flipped size) const;
    /// The first hole of the leaf moved down to `offset`: lowers the bounds above it.
    void begin_earlier(const Path& path, u32 offset);
    /// The last hole of the leaf moved up to `offset`, perhaps past a bound that outlived the next leaf's first hole: raises that bound.
    void end_later(const Path& path, u32 offset);
    /// Joins or removes nodes that became too empty, from the leaf of `path` upwards.
    void mend(const Path& path);
    /// Moves all of the child behind `left_slot` into it, if both fit; false if they do not.
    [[nodiscard]] bool join(Node& parent, u32 left_slot, bool leaves);
    /// Puts `added` at `position` of a full node of `level` (> 0) by moving entries to a neighbour with room; false if none has.
    [[nodiscard]] bool spill(const Path& path, u32 level, u32 position, Entry added);
    /// A new root above the old one and `right`, its other half.
    void grow_root(Entry right);
    u32 new_node();
    void release(u32 node);
    void count_below(u32 node, u32 level, HoleHistogram& into, u32 granule_bits) const;
    /// Checks the subtree below `node`; false, or adds its holes to `seen`.
    [[nodiscard]] bool consistent_below(u32 node, u32 level, u64 low, u64 high, u32& seen, Flipped& largest) const;

    ChunkedTable<Node, 3> nodes_;
    u32 root_ = 0;
    u32 height_ = 0;  ///< Levels above the leaves.
    Flipped largest_ = flip(0);
    u32 count_ = 0;
    u32 free_nodes_ = none;  ///< Chained through links[0].
};

inline void HoleTree::count_below(u32 node, u32 level, HoleHistogram& into, u32 granule_bits) const {
    const Node& here = nodes_[node];
    for (u32 i = 0; here.has(i); ++i) {
        if (level < height_)
            count_below(here.links[i], level + 1, into, granule_bits);
        else
            into.counts[static_cast<std::size_t>(std::bit_width(u64{unflip(here.sizes[i])} << granule_bits) - 1)] += 1;
    }
}
}  // namespace vramd::memory
