/// A table that grows by small chunks and never moves an element, so that growth has no pause: at a million elements a doubling
/// array copies tens of megabytes in one call, this one allocates a few kilobytes and at worst moves a list of pointers.
///
/// Freed slots are chained through the elements themselves by the owner; the table only adds new ones at its end.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "base/types.hpp"

namespace vramd::memory {
/// `T` is trivially copyable; a chunk holds 2^chunk_bits of them. Copying copies every element. Not synchronised.
template <class T, u32 chunk_bits>
class ChunkedTable {
public:
    static constexpr u32 chunk_size = 1U << chunk_bits;

    ChunkedTable() = default;
    ChunkedTable(ChunkedTable&&) noexcept = default;
    ChunkedTable& operator=(ChunkedTable&&) noexcept = default;
    ~ChunkedTable() = default;
    ChunkedTable(const ChunkedTable& other) : size_(other.size_) {
        chunks_.reserve(other.chunks_.size());
        for (const auto& chunk : other.chunks_) {
            chunks_.push_back(std::make_unique_for_overwrite<T[]>(chunk_size));
            std::copy_n(chunk.get(), chunk_size, chunks_.back().get());
        }
    }
    ChunkedTable& operator=(const ChunkedTable& other) {
        if (this != &other) *this = ChunkedTable(other);
        return *this;
    }

    T& operator[](u32 index) { return chunks_[index >> chunk_bits][index & (chunk_size - 1)]; }
    const T& operator[](u32 index) const { return chunks_[index >> chunk_bits][index & (chunk_size - 1)]; }
    [[nodiscard]] u32 size() const { return size_; }

    /// The index of a new, value-initialised element at the end.
    u32 add() {
        if ((size_ & (chunk_size - 1)) == 0) chunks_.push_back(std::make_unique<T[]>(chunk_size));
        return size_++;
    }
    /// Heap memory held.
    [[nodiscard]] u64 heap_bytes() const { return chunks_.size() * chunk_size * sizeof(T) + chunks_.capacity() * sizeof(chunks_[0]); }

private:
    std::vector<std::unique_ptr<T[]>> chunks_;
    u32 size_ = 0;
};
}  // namespace vramd::memory
