/// The holes of one space in address order, answering "which is the first that is large enough" in O(log holes).
///
/// A B-tree of 16-way nodes whose entries are three parallel arrays, so that one node is three cache lines and a question to it is
/// four SSE2 comparisons: `keys` (a leaf's hole offsets; above, the least offset that may lie in the child), `sizes` (a leaf's hole sizes;
/// above, the largest hole in the child) and `links` (a leaf: the live range in front of the hole; above, the child).
/// First fit goes down by `sizes`, everything else by `keys`.
///
/// Invariants
///  - Keys rise strictly inside a node; every hole of child i has an offset in [keys[i], keys[i + 1]). The first key of each node on
///    the left edge is 0 above the leaves.
///  - `sizes[i]` of an inner node is exactly the largest size below child i; `largest_` that of the root.
///  - Unused slots lie at the end, with key `unused` and size 0; so no node stores a count.
///  - A node that falls below 4 entries is joined with a neighbour if both fit into 12; an empty one is removed.
#pragma once
#include <array>

#include "base/types.hpp"
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
    /// One hole and the index of the live range that ends where it begins.
    struct Entry {
        u32 offset = 0;
        u32 size = 0;
        u32 behind = 0;
    };
    /// A way from the root to one entry; good until the next change of the tree.
    struct Path {
        std::array<u32, 16> nodes;
        std::array<u32, 16> slots;
    };

    HoleTree();

    /// Size of the largest hole, 0 if there is none. O(1).
    [[nodiscard]] u32 largest() const { return largest_; }
    [[nodiscard]] u32 count() const { return count_; }
    [[nodiscard]] u64 heap_bytes() const { return nodes_.heap_bytes(); }

    /// The first hole in address order that can hold `size` (> 0) at a multiple of `alignment` (a power of two); false if none can.
    [[nodiscard]] bool first_fit(u32 size, u32 alignment, Path& path) const;
    /// The last hole that begins at or before `offset`; false if there is none.
    [[nodiscard]] bool at_or_before(u32 offset, Path& path) const;
    [[nodiscard]] Entry entry(const Path& path) const;

    /// Adds a hole where none overlaps or touches it.
    void insert(Entry hole);
    /// Removes the hole at `path`.
    void erase(const Path& path);
    /// Changes the hole at `path`; it keeps its place in the order.
    void replace(const Path& path, Entry hole);
    /// The hole at `path` gets the larger `size`, swallowing the hole behind it if that one lies inside the new size.
    void extend(const Path& path, u32 size);

    /// Re-derives order, keys, sizes, fill and counts: true if all agree. O(holes); for AUDIT and tests.
    [[nodiscard]] bool consistent() const;

private:
    static constexpr u32 width = 16;
    static constexpr u32 unused = 0xffff'ffff;
    static constexpr u32 joined_below = 4;  ///< A node with fewer entries looks for a neighbour to join.
    static constexpr u32 joined_max = 12;   ///< They join if the result leaves room for the next few inserts.
    struct alignas(64) Node {
        std::array<u32, width> keys;
        std::array<u32, width> sizes;
        std::array<u32, width> links;
    };

    ChunkedTable<Node, 3> nodes_;
    u32 root_ = 0;
    u32 height_ = 0;  ///< Levels above the leaves.
    u32 largest_ = 0;
    u32 count_ = 0;
    u32 free_nodes_ = unused;  ///< Chained through links[0].
};
}  // namespace vramd::memory
