/// A span of bytes inside a space of known size, checked once and trusted afterwards.
///
/// Offsets and sizes come from files, clients and drivers, and their unchecked sum is this field's classic hole: it wraps, and
/// the wrapped end passes the test. So the sum is made here only; whoever holds a `Range` holds the proof of end <= space.
#pragma once
#include "base/result.hpp"

namespace vramd {
/// Half-open span [offset, end). Immutable, 16 bytes, safe to share between threads.
class Range {
public:
    /// The span of `size_bytes` at `offset_bytes` in a space of `space_bytes`; size 0 is a valid, empty span.
    /// Errors: `out_of_range`, naming the field that does not fit and the largest value that would.
    [[nodiscard]] static Result<Range> within(u64 space_bytes, u64 offset_bytes, u64 size_bytes) {
        if (offset_bytes > space_bytes) return refuse(Code::out_of_range, "offsetBytes", offset_bytes, space_bytes);
        const u64 room_bytes = space_bytes - offset_bytes;  // Subtract, for the sum could wrap.
        if (size_bytes > room_bytes) return refuse(Code::out_of_range, "sizeBytes", size_bytes, room_bytes);
        return Range(offset_bytes, size_bytes);
    }
    [[nodiscard]] constexpr u64 offset_bytes() const { return offset_bytes_; }
    [[nodiscard]] constexpr u64 size_bytes() const { return size_bytes_; }
    [[nodiscard]] constexpr u64 end_bytes() const { return offset_bytes_ + size_bytes_; }
    [[nodiscard]] constexpr bool empty() const { return size_bytes_ == 0; }
    [[nodiscard]] constexpr bool overlaps(const Range& other) const {
        return offset_bytes_ < other.end_bytes() && other.offset_bytes_ < end_bytes();
    }
    bool operator==(const Range&) const = default;

private:
    constexpr Range(u64 offset_bytes, u64 size_bytes) : offset_bytes_(offset_bytes), size_bytes_(size_bytes) {}
    u64 offset_bytes_;
    u64 size_bytes_;
};
}  // namespace vramd
