/// A block with what lies in it, in the order of the places.
///
/// An arena's sub-allocator keeps its live ranges in that order already, so beside it a block keeps only whose range each is: a serial per
/// slot of the sub-allocator, 8 bytes and no search, where a tree by offset costs 64. Copies of a block share both until one changes.
#pragma once
#include <iterator>

#include "base/shared_part.hpp"
#include "core/memory/rows.hpp"
#include "core/memory/suballocator.hpp"
#include "core/memory/suballocator_table.hpp"

namespace vramd::memory {
class Occupants;

/// Copied in O(1); not synchronised, but a copy may be another thread's.
class Block {
public:
    BlockRow row;
    SharedPart<SubAllocator> space;  ///< Arenas only, else null. Ranges come and go together with `enter` and `leave`.

    /// The places taken in it: an allocation's first one, or the one that it is being moved to.
    [[nodiscard]] Occupants allocations() const;
    /// Whose the live range of this handle is; a block without `space` has one occupant, and its handle is null.
    [[nodiscard]] u64 serial(Handle handle) const { return space ? (*serials_)[handle.index] : sole_; }
    void enter(Handle handle, u64 serial) {
        ++count_;
        if (!space) {
            sole_ = serial;
            return;
        }
        if (!serials_) serials_ = SharedPart<Serials>::made_of();
        Serials& serials = serials_.own();
        while (serials.size() <= handle.index) (void)serials.add();  // Slots are numbered from 1 up without gaps.
        serials[handle.index] = serial;
    }
    void leave() { --count_; }

private:
    friend class Occupants;
    using Serials = ChunkedTable<u64, 7>;
    SharedPart<Serials> serials_;  ///< Null until something came.
    u64 sole_ = 0;
    u64 count_ = 0;
};

/// A look at what lies in a block; good until the block changes.
class Occupants {
public:
    /// Named as a map's pair is.
    struct Entry {
        u64 first;   ///< Offset in the block.
        u64 second;  ///< Serial of the allocation.
    };
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Entry;
        using difference_type = std::ptrdiff_t;
        using reference = Entry;
        using pointer = const Entry*;

        Entry operator*() const { return entry_; }
        pointer operator->() const { return &entry_; }
        Iterator& operator++() {
            ++at_;
            if (block_->space) {
                handle_ = block_->space->behind(handle_);
                look();
            }
            return *this;
        }
        bool operator==(const Iterator& other) const { return at_ == other.at_; }

    private:
        friend class Occupants;
        Iterator(const Block* block, u64 at) : block_(block), at_(at) {
            if (at != 0) return;
            if (block->space) handle_ = block->space->behind({});
            look();
        }
        void look() {
            if (at_ == block_->count_) return;
            entry_ = {block_->space ? block_->space->find(handle_)->offset_bytes : 0, block_->serial(handle_)};
        }
        const Block* block_;
        u64 at_;
        Handle handle_{};
        Entry entry_{};
    };

    explicit Occupants(const Block& block) : block_(&block) {}
    [[nodiscard]] Iterator begin() const { return {block_, 0}; }
    [[nodiscard]] Iterator end() const { return {block_, block_->count_}; }
    [[nodiscard]] std::size_t size() const { return block_->count_; }
    [[nodiscard]] bool empty() const { return block_->count_ == 0; }

private:
    const Block* block_;
};

inline Occupants Block::allocations() const { return Occupants(*this); }
}  // namespace vramd::memory
