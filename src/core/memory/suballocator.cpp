#include "core/memory/suballocator.hpp"

#include <bit>

#include "base/invariant.hpp"

namespace vramd::memory {
SubAllocator::SubAllocator(u64 capacity_bytes, u64 granule_bytes, Mode mode)
    : granule_bits_(static_cast<u32>(std::countr_zero(granule_bytes))), mode_(mode) {
    INVARIANT(std::has_single_bit(granule_bytes) && granule_bytes <= gib);
    INVARIANT(capacity_bytes <= capacity_max_bytes(granule_bytes));
    capacity_ = static_cast<u32>(capacity_bytes >> granule_bits_);
    slots_.add();
    set_edge();
    HoleTree::Path path;
    holes_.seek(0, path);
    if (capacity_ > 0) holes_.insert(path, {0, capacity_, 0});
}

void SubAllocator::set_edge() {
    slots_[0].offset = capacity_;
    slots_[0].size = 0U - capacity_;
}

u64 SubAllocator::granules(u64 size_bytes) const { return size_bytes == 0 ? 0 : ((size_bytes - 1) >> granule_bits_) + 1; }

bool SubAllocator::is_live(Handle handle) const {
    return handle.index < slots_.size() && slots_[handle.index].generation == handle.generation && handle.generation % 2 == 1;
}

u32 SubAllocator::new_slot() {
    if (free_slots_ == 0) return slots_.add();
    const u32 index = free_slots_;
    free_slots_ = slots_[index].after;
    return index;
}

Placement SubAllocator::place(HoleTree::Path& path, u32 offset, u32 size, u64 requested_bytes) {
    const HoleTree::Entry hole = holes_.entry(path);
    const u32 index = new_slot();
    Slot& slot = slots_[index];
    slot.offset = offset;
    slot.size = size;
    slot.slack = static_cast<u32>((u64{size} << granule_bits_) - requested_bytes);
    slot.before = hole.behind;
    Slot& before = slots_[hole.behind];
    slot.after = before.after;
    before.after = index;
    slots_[slot.after].before = index;
    ++slot.generation;
    used_ += size;
    ++live_;
    slack_bytes_ += slot.slack;

    const u32 skipped = offset - hole.offset;
    const u32 left = hole.size - skipped - size;
    if (skipped == 0) {
        if (left == 0)
            holes_.erase(path);
        else
            holes_.replace(path, {offset + size, left, index});
    } else {
        holes_.replace(path, {hole.offset, skipped, hole.behind});
        if (left != 0) {
            holes_.seek(offset + size, path);
            holes_.insert(path, {offset + size, left, index});
        }
    }
    return {{index, slot.generation}, u64{offset} << granule_bits_, u64{size} << granule_bits_};
}

bool SubAllocator::find_fit(u64 size, u64 alignment_bytes, HoleTree::Path& path, u32& start) const {
    const u64 alignment = alignment_bytes >> granule_bits_ == 0 ? 1 : alignment_bytes >> granule_bits_;
    if (size - 1 >= holes_.largest()) return false;  // A size of 0 wraps.
    if (alignment_bytes == 0 || (alignment_bytes & (alignment_bytes - 1)) != 0 || alignment > alignment_max) return false;
    if (!holes_.first_fit(static_cast<u32>(size), static_cast<u32>(alignment), path)) return false;
    start = holes_.entry(path).offset;
    start += (0U - start) & static_cast<u32>(alignment - 1);
    return true;
}

std::optional<Placement> SubAllocator::allocate(u64 size_bytes, u64 alignment_bytes) {
    const u64 size = granules(size_bytes);
    HoleTree::Path path;
    u32 start = 0;
    if (!find_fit(size, alignment_bytes, path, start)) return std::nullopt;
    return place(path, start, static_cast<u32>(size), size_bytes);
}

std::optional<u64> SubAllocator::fit(u64 size_bytes, u64 alignment_bytes) const {
    HoleTree::Path path;
    u32 start = 0;
    if (!find_fit(granules(size_bytes), alignment_bytes, path, start)) return std::nullopt;
    return u64{start} << granule_bits_;
}

std::optional<Placement> SubAllocator::reserve_at(u64 offset_bytes, u64 size_bytes) {
    const u64 size = granules(size_bytes);
    const u64 offset = offset_bytes >> granule_bits_;
    if (size - 1 >= holes_.largest() || offset << granule_bits_ != offset_bytes || offset >= capacity_) return std::nullopt;
    HoleTree::Path path;
    holes_.seek(static_cast<u32>(offset), path);
    if (!holes_.at_or_before(path)) return std::nullopt;
    const HoleTree::Entry hole = holes_.entry(path);
    if (offset + size > u64{hole.offset} + hole.size) return std::nullopt;
    return place(path, static_cast<u32>(offset), static_cast<u32>(size), size_bytes);
}

Freed SubAllocator::free(Handle handle) {
    if (!is_live(handle)) return Freed::stale;
    Slot& slot = slots_[handle.index];
    Slot& before = slots_[slot.before];
    Slot& after = slots_[slot.after];
    __builtin_prefetch(&before);
    __builtin_prefetch(&after);
    HoleTree::Path path;
    holes_.seek(slot.offset, path);  // Needs neither neighbour, so their cache misses pass behind it.
    const u32 start = before.offset + before.size;
    const u32 end = after.offset;
    const u32 own_end = slot.offset + slot.size;
    if (start != slot.offset) {
        INVARIANT(holes_.at_or_before(path));
        if (end != own_end)
            holes_.swallow_next(path, own_end, end - start);
        else
            holes_.replace(path, {start, end - start, slot.before});
    } else if (end != own_end) {
        holes_.next(own_end, path);
        holes_.replace(path, {start, end - start, slot.before});
    } else {
        holes_.insert(path, {start, end - start, slot.before});
    }
    before.after = slot.after;
    after.before = slot.before;
    used_ -= slot.size;
    --live_;
    slack_bytes_ -= slot.slack;
    if (++slot.generation != 0) {  // A slot whose generations are used up stays out of use, so no handle ever means two ranges.
        slot.after = free_slots_;
        free_slots_ = handle.index;
    }
    return Freed::freed;
}

Resized SubAllocator::resize(Handle handle, u64 new_size_bytes) {
    if (!is_live(handle)) return Resized::stale;
    Slot& slot = slots_[handle.index];
    const u64 size = granules(new_size_bytes);
    const u32 end = slots_[slot.after].offset;  // Of the hole behind, or of the range itself if there is none.
    if (size == 0 || size > u64{end - slot.offset}) return Resized::no_room;
    const auto new_size = static_cast<u32>(size);
    const u32 old_end = slot.offset + slot.size;
    const u32 new_end = slot.offset + new_size;
    const HoleTree::Entry hole{new_end, end - new_end, handle.index};
    if (new_end != old_end) {
        HoleTree::Path path;
        if (old_end == end) {
            holes_.seek(new_end, path);
            holes_.insert(path, hole);
        } else {
            holes_.seek(old_end, path);
            INVARIANT(holes_.at_or_before(path));
            if (new_end == end)
                holes_.erase(path);
            else
                holes_.replace(path, hole);
        }
    }
    const auto slack = static_cast<u32>((size << granule_bits_) - new_size_bytes);
    used_ += new_size - slot.size;
    slack_bytes_ += u64{slack} - slot.slack;
    slot.size = new_size;
    slot.slack = slack;
    return Resized::resized;
}

SpaceChange SubAllocator::grow(u64 new_capacity_bytes) {
    const u64 capacity = new_capacity_bytes >> granule_bits_;
    if (capacity <= capacity_ || new_capacity_bytes > capacity_max_bytes(granule_bytes())) return SpaceChange::out_of_range;
    const u32 old = capacity_;
    capacity_ = static_cast<u32>(capacity);
    const u32 last = slots_[0].before;
    const u32 last_end = highest_used();
    set_edge();
    HoleTree::Path path;
    holes_.seek(old, path);
    if (last_end == old)
        holes_.insert(path, {old, capacity_ - old, last});
    else if (holes_.at_or_before(path))
        holes_.replace(path, {last_end, capacity_ - last_end, last});
    return SpaceChange::changed;
}

SpaceChange SubAllocator::shrink(u64 new_capacity_bytes) {
    const u64 capacity = new_capacity_bytes >> granule_bits_;
    if (capacity >= capacity_) return SpaceChange::out_of_range;
    const u32 last_end = highest_used();
    if (capacity < last_end) return SpaceChange::occupied;
    HoleTree::Path path;
    holes_.seek(capacity_, path);
    INVARIANT(holes_.at_or_before(path));
    capacity_ = static_cast<u32>(capacity);
    set_edge();
    if (capacity_ == last_end)
        holes_.erase(path);
    else
        holes_.replace(path, {last_end, capacity_ - last_end, slots_[0].before});
    return SpaceChange::changed;
}

u32 SubAllocator::highest_used() const {
    const u32 last = slots_[0].before;
    return last == 0 ? 0 : slots_[last].offset + slots_[last].size;
}

std::optional<LiveRange> SubAllocator::find(Handle handle) const {
    if (!is_live(handle)) return std::nullopt;
    return live_range(handle.index);
}

Handle SubAllocator::behind(Handle handle) const {
    const u32 next = slots_[handle.index].after;  // Slot 0, the null handle's, is in front of the first and behind the last.
    return next == 0 ? Handle{} : Handle{next, slots_[next].generation};
}

Hole SubAllocator::hole_without(Handle handle) const {
    const Slot& slot = slots_[handle.index];
    const u32 begin = slots_[slot.before].offset + slots_[slot.before].size;  // Of the edge: 0, by its wrap.
    const u32 end = slots_[slot.after].offset;
    return {u64{begin} << granule_bits_, u64{end - begin} << granule_bits_};
}

LiveRange SubAllocator::live_range(u32 index) const {
    const Slot& slot = slots_[index];
    const u64 granted = u64{slot.size} << granule_bits_;
    return {{index, slot.generation}, u64{slot.offset} << granule_bits_, granted, granted - slot.slack};
}

u64 SubAllocator::capacity_bytes() const { return u64{capacity_} << granule_bits_; }

u64 SubAllocator::granule_bytes() const { return u64{1} << granule_bits_; }

SubAllocatorStats SubAllocator::stats() const {
    const u64 used = u64{used_} << granule_bits_;
    return {
        .capacity_bytes = capacity_bytes(),
        .used_bytes = used,
        .requested_bytes = used - slack_bytes_,
        .free_bytes = capacity_bytes() - used,
        .largest_free_bytes = u64{holes_.largest()} << granule_bits_,
        .highest_used_bytes = u64{highest_used()} << granule_bits_,
        .live_count = live_,
        .hole_count = holes_.count(),
        .bookkeeping_bytes = slots_.heap_bytes() + holes_.heap_bytes(),
    };
}

HoleHistogram SubAllocator::hole_histogram() const {
    HoleHistogram histogram;
    holes_.count_into(histogram, granule_bits_);
    return histogram;
}

bool SubAllocator::same_layout(const SubAllocator& other) const {
    if (capacity_ != other.capacity_ || granule_bits_ != other.granule_bits_ || mode_ != other.mode_ || live_ != other.live_) return false;
    u32 theirs = other.slots_[0].after;
    for (u32 ours = slots_[0].after; ours != 0; ours = slots_[ours].after, theirs = other.slots_[theirs].after) {
        const Slot& a = slots_[ours];
        const Slot& b = other.slots_[theirs];
        if (a.offset != b.offset || a.size != b.size || a.slack != b.slack) return false;
    }
    return true;
}

bool SubAllocator::consistent() const {
    u64 live = 0;
    u64 used = 0;
    u64 slack = 0;
    u64 end = 0;
    u32 before = 0;
    for (u32 i = slots_[0].after; i != 0 && live <= live_; before = i, i = slots_[i].after) {
        const Slot& slot = slots_[i];
        if (slot.offset < end || slot.size == 0 || slot.before != before || slot.generation % 2 == 0) return false;
        if (slot.slack >= granule_bytes()) return false;
        end = u64{slot.offset} + slot.size;
        ++live;
        used += slot.size;
        slack += slot.slack;
    }
    if (end > capacity_ || slots_[0].before != before || live != live_ || used != used_ || slack != slack_bytes_) return false;
    u64 holes = 0;
    bool known = true;
    HoleTree::Path path;
    for_each_hole([&](const Hole& hole) {
        ++holes;
        const auto offset = static_cast<u32>(hole.offset_bytes >> granule_bits_);
        holes_.seek(offset, path);
        known = known && holes_.at_or_before(path) && holes_.entry(path).offset == offset &&
                u64{holes_.entry(path).size} << granule_bits_ == hole.size_bytes &&
                slots_[holes_.entry(path).behind].offset + slots_[holes_.entry(path).behind].size == offset;
    });
    return known && holes == holes_.count() && holes_.consistent();
}
}  // namespace vramd::memory
