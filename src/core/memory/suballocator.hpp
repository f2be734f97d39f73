/// Ranges inside one space, handed out lowest address first: offsets only, no memory of the space itself is ever touched.
///
/// Why address order: under lasting pressure exact first fit keeps 4 to 9 points more of the space in use than the best O(1) bins
/// (docs/notes/0001-sub-allocator.md). It is usually paid for with a walk over all holes; here a wide tree over the holes in address
/// order, each node knowing the largest hole below it, finds the first fit in O(log holes) and a refusal in O(1).
///
/// Invariants
///  - Live ranges never overlap, lie inside the space, start at a multiple of their alignment and end on a granule.
///  - Holes are maximal: between two neighbouring live ranges there is at most one. Hence holes <= live ranges + 1.
///  - `allocate` is refused only when no hole can hold the request; an exact-size hole is always usable again.
///  - Where `allocate` places depends on the live ranges and the capacity alone, never on how they came about. A space rebuilt with
///    `reserve_at` from the list of its ranges therefore places all that follows exactly as the original would.
///    Handles are not part of that promise: they are names in this object and differ after a rebuild.
///
/// A pure value: no thread, lock, clock, system call but the heap's; copying it copies the whole state. Not synchronised.
#pragma once
#include <optional>

#include "base/types.hpp"
#include "core/memory/suballocator_holes.hpp"

namespace vramd::memory {
/// Names one live range of one SubAllocator. 8 bytes; the default names nothing. A handle whose range was freed is recognised as
/// stale for ever: a slot that has been used 2^31 times is retired.
struct Handle {
    u32 index = 0;
    u32 generation = 0;

    bool operator==(const Handle&) const = default;
};

/// Where a request was put. `granted_bytes` is the requested size rounded up to whole granules.
struct Placement {
    Handle handle;
    u64 offset_bytes = 0;
    u64 granted_bytes = 0;
};

/// One live range, as iteration and `find` tell it.
struct LiveRange {
    Handle handle;
    u64 offset_bytes = 0;
    u64 granted_bytes = 0;
    u64 requested_bytes = 0;

    bool operator==(const LiveRange&) const = default;
};

/// One maximal unused span.
struct Hole {
    u64 offset_bytes = 0;
    u64 size_bytes = 0;

    bool operator==(const Hole&) const = default;
};

/// How requests are placed.
enum class Mode : u8 {
    dense,  ///< Exact first fit: the lowest address that holds the request.
};

/// What became of a `free`.
enum class [[nodiscard]] Freed : u8{
    freed,
    stale,  ///< The handle names no live range: freed before, never issued, or of another allocator. Nothing changed.
};

/// What became of a `resize`.
enum class [[nodiscard]] Resized : u8{
    resized,
    no_room,  ///< The hole behind the range is too small, or the new size is 0. Nothing changed.
    stale,    ///< As `Freed::stale`. Nothing changed.
};

/// What became of a `grow` or `shrink`.
enum class [[nodiscard]] SpaceChange : u8{
    changed,
    occupied,      ///< A live range ends beyond the new capacity (see `highest_used_bytes`). Nothing changed.
    out_of_range,  ///< Not larger (grow) or not smaller (shrink) than now, or above `capacity_max_bytes`. Nothing changed.
};

/// Numbers kept up to date by every call, so that reading them is O(1). All in bytes but the counts.
struct SubAllocatorStats {
    u64 capacity_bytes = 0;
    u64 used_bytes = 0;          ///< Sum of what was granted.
    u64 requested_bytes = 0;     ///< Sum of what was asked for; used - requested is lost to whole granules.
    u64 free_bytes = 0;          ///< capacity - used.
    u64 largest_free_bytes = 0;  ///< The largest hole: the largest request that a granule's alignment can still have.
    u64 highest_used_bytes = 0;  ///< End of the last live range; the space can shrink down to here. 0 when empty.
    u64 live_count = 0;
    u64 hole_count = 0;
    u64 bookkeeping_bytes = 0;  ///< Heap memory that this object holds for itself.
};

class SubAllocator {
public:
    /// The largest capacity for a granule: 2^32 - 1 granules (1 TiB less one granule for 256 B).
    [[nodiscard]] static constexpr u64 capacity_max_bytes(u64 granule_bytes) { return granule_bytes * 0xffff'ffff; }

    /// An empty space of `capacity_bytes`, rounded down to whole granules; 0 is allowed and refuses everything until it grows.
    /// `granule_bytes`: a power of two from 1 B to 1 GiB, the unit of offsets, sizes and the least alignment. Both are checked by
    /// INVARIANT (with capacity <= `capacity_max_bytes`): they come from our own configuration, not from a client.
    explicit SubAllocator(u64 capacity_bytes, u64 granule_bytes = 256, Mode mode = Mode::dense);

    /// The lowest place that holds `size_bytes` at a multiple of `alignment_bytes` (relative to the start of the space; the granule
    /// if smaller). The gap skipped for alignment stays a usable hole. Nothing, and no change, if no hole can hold it, if the size
    /// is 0, or if the alignment is not a power of two of at most 2^31 granules. Cost: O(log holes); O(1) for a refusal by size. With an
    /// alignment above the granule, holes that are large enough but wrongly placed are passed over 16 at a time: O(such holes) at worst.
    [[nodiscard]] std::optional<Placement> allocate(u64 size_bytes, u64 alignment_bytes);

    /// Where `allocate` would put this request now, without doing it: the offset. Same refusals and cost as `allocate`.
    /// For deciding on a state that must not change; `reserve_at` then takes the place.
    [[nodiscard]] std::optional<u64> fit(u64 size_bytes, u64 alignment_bytes) const;

    /// Exactly this range, to rebuild a space from a list of ranges in any order. Nothing, and no change, unless the offset is a
    /// multiple of the granule, the size above 0 and the whole range free. O(log holes).
    [[nodiscard]] std::optional<Placement> reserve_at(u64 offset_bytes, u64 size_bytes);

    /// Gives the range back and joins it with the holes beside it. Detects stale handles in every build. O(log holes).
    Freed free(Handle handle);

    /// Gives a live range another size at the same offset: shrinking always succeeds, growing takes from the hole behind it.
    /// O(log holes).
    Resized resize(Handle handle, u64 new_size_bytes);

    /// Changes the capacity (rounded down to whole granules) without moving anything. O(log holes).
    SpaceChange grow(u64 new_capacity_bytes);
    SpaceChange shrink(u64 new_capacity_bytes);

    /// The range behind a handle, or nothing if it is stale. O(1).
    [[nodiscard]] std::optional<LiveRange> find(Handle handle) const;

    /// The live range behind this live one in address order; of the null handle the first. Null behind the last. O(1).
    [[nodiscard]] Handle behind(Handle handle) const;

    /// The hole that would be left if this live range were freed: itself and the holes beside it. O(1).
    [[nodiscard]] Hole hole_without(Handle handle) const;

    [[nodiscard]] SubAllocatorStats stats() const;
    [[nodiscard]] u64 capacity_bytes() const;
    [[nodiscard]] u64 granule_bytes() const;
    [[nodiscard]] Mode mode() const { return mode_; }

    /// How many holes have a size in [2^i, 2^(i+1)) bytes, for each i. O(holes).
    [[nodiscard]] HoleHistogram hole_histogram() const;

    /// Calls `visit(const LiveRange&)` for each live range in address order. The allocator must not change meanwhile.
    template <class Visit>
    void for_each_live(Visit&& visit) const;
    /// Calls `visit(const Hole&)` for each hole in address order. The allocator must not change meanwhile.
    template <class Visit>
    void for_each_hole(Visit&& visit) const;

    /// Same capacity, granule, mode and live ranges (offset, granted, requested): all that decides later placements. O(live).
    [[nodiscard]] bool same_layout(const SubAllocator& other) const;

    /// Re-derives every invariant and total from the ranges themselves: true if all agree. O(live); for AUDIT and tests.
    [[nodiscard]] bool consistent() const;

private:
    /// One live range, or a free slot (generation even; `after` is the next free slot). Granules, but for `slack`.
    /// Slot 0 is the edge of the space: it begins at the capacity and, modulo 2^32, ends at 0, so that both neighbours of every
    /// live range exist and the holes before the first and behind the last need no case of their own.
    struct Slot {
        u32 offset;
        u32 size;
        u32 before;      ///< Slot of the live range in front, in address order.
        u32 after;       ///< Slot of the live range behind.
        u32 generation;  ///< Odd while live.
        u32 slack;       ///< Bytes granted but not requested.
    };

    static constexpr u64 alignment_max = u64{1} << 31;  ///< Granules.

    /// Writes the capacity into slot 0.
    void set_edge();
    [[nodiscard]] u64 granules(u64 size_bytes) const;
    [[nodiscard]] bool is_live(Handle handle) const;
    u32 new_slot();
    /// Finds the first hole that holds the request: `path` leads to it, `start` is the aligned place in it. Granules, but the alignment.
    [[nodiscard]] bool find_fit(u64 size, u64 alignment_bytes, HoleTree::Path& path, u32& start) const;
    /// Makes [offset, offset + size) of the hole at `path`, which holds it, a live range.
    Placement place(HoleTree::Path& path, u32 offset, u32 size, u64 requested_bytes);
    [[nodiscard]] u32 highest_used() const;
    [[nodiscard]] LiveRange live_range(u32 index) const;

    ChunkedTable<Slot, 7> slots_;
    HoleTree holes_;
    u32 capacity_ = 0;  ///< Granules.
    u32 used_ = 0;      ///< Granules.
    u32 live_ = 0;
    u32 free_slots_ = 0;  ///< 0: none.
    u64 slack_bytes_ = 0;
    u32 granule_bits_;
    Mode mode_;
};

template <class Visit>
void SubAllocator::for_each_live(Visit&& visit) const {
    for (u32 i = slots_[0].after; i != 0; i = slots_[i].after) visit(live_range(i));
}

template <class Visit>
void SubAllocator::for_each_hole(Visit&& visit) const {
    u32 i = 0;
    do {
        const u32 start = slots_[i].offset + slots_[i].size;
        i = slots_[i].after;
        if (const u32 end = slots_[i].offset; end != start) visit(Hole{u64{start} << granule_bits_, u64{end - start} << granule_bits_});
    } while (i != 0);
}
}  // namespace vramd::memory
