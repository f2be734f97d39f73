/// What the sub-allocator is compared with, built here so that every figure of a run comes from the same machine and minute.
///
/// Each peer has the same shape: `allocate(granules)` gives a handle that tests true, or one that tests false; `free(handle)`;
/// `bookkeeping_bytes()`. None of the peers takes an alignment, checks a handle, reserves, grows or resizes.
#pragma once
#include <array>
#include <bit>
#include <map>
#include <set>
#include <vector>

#include "core/memory/suballocator.hpp"

namespace vramd::bench {
inline constexpr u64 granule = 256;

/// The allocator under test.
class Ours {
public:
    static constexpr const char* name = "vramd";
    struct Handle {
        memory::Handle handle;
        explicit operator bool() const { return handle.generation != 0; }
    };
    explicit Ours(u64 granules) : space_(granules * granule, granule) {}
    Handle allocate(u32 granules) {
        const auto placement = space_.allocate(u64{granules} * granule, granule);
        return placement ? Handle{placement->handle} : Handle{};
    }
    void free(Handle handle) { (void)space_.free(handle.handle); }
    [[nodiscard]] u64 bookkeeping_bytes() const { return space_.stats().bookkeeping_bytes; }
    memory::SubAllocator& space() { return space_; }

private:
    memory::SubAllocator space_;
};

/// Always succeeds and does nothing: what the driver itself costs.
class Driver {
public:
    static constexpr const char* name = "driver alone";
    using Handle = u32;
    explicit Driver(u64) {}
    Handle allocate(u32) { return ++last_; }
    void free(Handle) {}
    [[nodiscard]] u64 bookkeeping_bytes() const { return 0; }

private:
    u32 last_ = 0;
};

/// The floor: fixed slots from a free list, whatever the size. Not an allocator of ranges at all.
class SlotList {
public:
    static constexpr const char* name = "slot free list";
    using Handle = u32;
    explicit SlotList(u64) {}
    Handle allocate(u32) {
        if (free_.empty()) return ++slots_;
        const u32 slot = free_.back();
        free_.pop_back();
        return slot;
    }
    void free(Handle slot) { free_.push_back(slot); }
    [[nodiscard]] u64 bookkeeping_bytes() const { return free_.capacity() * sizeof(u32); }

private:
    std::vector<u32> free_;
    u32 slots_ = 0;
};

/// Best fit over two red-black trees, lowest address among equals. Keeps nothing for live ranges: the handle is the range.
class BestFit {
public:
    static constexpr const char* name = "red-black best fit";
    struct Handle {
        u32 offset = 0;
        u32 size = 0;
        explicit operator bool() const { return size != 0; }
    };
    explicit BestFit(u64 granules) { add(0, static_cast<u32>(granules)); }
    Handle allocate(u32 size) {
        const auto best = by_size_.lower_bound({size, 0});
        if (best == by_size_.end()) return {};
        const auto [hole, offset] = *best;
        by_size_.erase(best);
        by_offset_.erase(offset);
        if (hole != size) add(offset + size, hole - size);
        return {offset, size};
    }
    void free(Handle range) {
        auto [offset, size] = range;
        auto after = by_offset_.lower_bound(offset);
        if (after != by_offset_.end() && after->first == offset + size) {
            size += after->second;
            by_size_.erase({after->second, after->first});
            after = by_offset_.erase(after);
        }
        if (after != by_offset_.begin()) {
            const auto before = std::prev(after);
            if (before->first + before->second == offset) {
                offset = before->first;
                size += before->second;
                by_size_.erase({before->second, before->first});
                by_offset_.erase(before);
            }
        }
        add(offset, size);
    }
    [[nodiscard]] u64 bookkeeping_bytes() const { return by_offset_.size() * 2 * 48; }

private:
    void add(u32 offset, u32 size) {
        by_offset_.emplace(offset, size);
        by_size_.emplace(size, offset);
    }
    std::map<u32, u32> by_offset_;
    std::set<std::pair<u32, u32>> by_size_;
};

/// Good fit in constant time: 8 bins per power of two, the request rounded up to a bin so that any hole there fits (the two-level
/// segregated fit of Masmano et al., 2004). This is the policy of the best published O(1) libraries.
class GoodFit {
public:
    static constexpr const char* name = "O(1) good fit";
    using Handle = u32;
    explicit GoodFit(u64 granules) : nodes_(1) {
        heads_.fill(0);
        insert(new_node(0, static_cast<u32>(granules), 0, 0));
    }
    Handle allocate(u32 size) {
        const u32 wanted = bin_above(size);
        u32 row = wanted / 8;
        u32 columns = row < rows ? columns_[row] & (~0U << wanted % 8) : 0;
        if (columns == 0) {
            const u32 later = row + 1 < rows ? rows_used_ & (~0U << (row + 1)) : 0;
            if (later == 0) return 0;
            row = static_cast<u32>(std::countr_zero(later));
            columns = columns_[row];
        }
        const u32 index = heads_[row * 8 + static_cast<u32>(std::countr_zero(columns))];
        remove(index);
        nodes_[index].used = true;
        if (const u32 left = nodes_[index].size - size; left != 0) {
            const u32 rest = new_node(nodes_[index].offset + size, left, index, nodes_[index].after);
            if (nodes_[rest].after != 0) nodes_[nodes_[rest].after].before = rest;
            nodes_[index].after = rest;
            nodes_[index].size = size;
            insert(rest);
        }
        return index;
    }
    void free(Handle index) {
        nodes_[index].used = false;
        if (const u32 before = nodes_[index].before; before != 0 && !nodes_[before].used) {
            remove(before);
            absorb_after(before);
            index = before;
        }
        if (const u32 after = nodes_[index].after; after != 0 && !nodes_[after].used) {
            remove(after);
            absorb_after(index);
        }
        insert(index);
    }
    [[nodiscard]] u64 bookkeeping_bytes() const { return nodes_.size() * sizeof(Node) + sizeof(*this); }

private:
    static constexpr u32 rows = 30;
    struct Node {
        u32 offset = 0, size = 0, before = 0, after = 0, bin_before = 0, bin_after = 0;
        bool used = false;
    };
    static u32 bin_below(u32 size) {
        if (size < 8) return size;
        const u32 row = static_cast<u32>(std::bit_width(size)) - 3;
        return row * 8 + ((size >> (row - 1)) & 7);
    }
    static u32 bin_above(u32 size) {
        const u32 bin = bin_below(size);
        return size >= 8 && (size & ((1U << (bin / 8 - 1)) - 1)) != 0 ? bin + 1 : bin;
    }
    u32 new_node(u32 offset, u32 size, u32 before, u32 after) {
        u32 index = static_cast<u32>(nodes_.size());
        if (spare_ != 0) {
            index = spare_;
            spare_ = nodes_[index].after;
        } else {
            nodes_.emplace_back();
        }
        nodes_[index] = {offset, size, before, after, 0, 0, false};
        return index;
    }
    void absorb_after(u32 index) {
        const u32 gone = nodes_[index].after;
        nodes_[index].size += nodes_[gone].size;
        nodes_[index].after = nodes_[gone].after;
        if (nodes_[gone].after != 0) nodes_[nodes_[gone].after].before = index;
        nodes_[gone].after = spare_;
        spare_ = gone;
    }
    void insert(u32 index) {
        const u32 bin = bin_below(nodes_[index].size);
        nodes_[index].bin_before = 0;
        nodes_[index].bin_after = heads_[bin];
        if (heads_[bin] != 0) nodes_[heads_[bin]].bin_before = index;
        heads_[bin] = index;
        columns_[bin / 8] = static_cast<u8>(columns_[bin / 8] | (1U << bin % 8));
        rows_used_ |= 1U << bin / 8;
    }
    void remove(u32 index) {
        const Node& node = nodes_[index];
        if (node.bin_after != 0) nodes_[node.bin_after].bin_before = node.bin_before;
        if (node.bin_before != 0) {
            nodes_[node.bin_before].bin_after = node.bin_after;
            return;
        }
        const u32 bin = bin_below(node.size);
        heads_[bin] = node.bin_after;
        if (heads_[bin] != 0) return;
        columns_[bin / 8] = static_cast<u8>(columns_[bin / 8] & ~(1U << bin % 8));
        if (columns_[bin / 8] == 0) rows_used_ &= ~(1U << bin / 8);
    }
    std::vector<Node> nodes_;
    std::array<u32, rows * 8> heads_;
    std::array<u8, rows> columns_{};
    u32 rows_used_ = 0;
    u32 spare_ = 0;
};
}  // namespace vramd::bench
