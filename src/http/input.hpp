/// Bytes that came from a socket and are not used yet.
#pragma once
#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace vramd::http {
/// What is read or sent at once. Large enough to hide the cost of a call, small enough that the lane's other connections wait a fraction of
/// a millisecond.
inline constexpr u64 piece_bytes = mib;

/// Grows to what is asked of it and shrinks when it is empty, since thousands of idle connections each hold one. Not synchronised.
class Input {
public:
    /// Empty, it holds on to `kept_bytes` at most.
    explicit Input(u64 kept_bytes = 8 * kib) : kept_bytes_(kept_bytes) {}
    [[nodiscard]] std::string_view view() const { return {bytes_.data() + begin_, end_ - begin_}; }
    [[nodiscard]] u64 size() const { return end_ - begin_; }
    [[nodiscard]] bool empty() const { return begin_ == end_; }
    void consume(u64 size_bytes) {
        begin_ += size_bytes;
        if (begin_ != end_) return;
        begin_ = end_ = 0;
        if (bytes_.size() > kept_bytes_) std::vector<char>().swap(bytes_);
    }
    /// Space for `size_bytes` more behind what is there. Moves the bytes: views end here.
    [[nodiscard]] std::span<char> room(u64 size_bytes) {
        if (begin_ > 0) {
            std::copy(bytes_.begin() + static_cast<i64>(begin_), bytes_.begin() + static_cast<i64>(end_), bytes_.begin());
            end_ -= begin_;
            begin_ = 0;
        }
        if (bytes_.size() - end_ < size_bytes) bytes_.resize(end_ + size_bytes);
        return {bytes_.data() + end_, size_bytes};
    }
    void filled(u64 size_bytes) { end_ += size_bytes; }

private:
    u64 kept_bytes_;
    std::vector<char> bytes_;
    u64 begin_ = 0;
    u64 end_ = 0;
};
}  // namespace vramd::http
