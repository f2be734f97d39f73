#include "formats/window.hpp"

#include <algorithm>

#include "base/invariant.hpp"
#include "base/range.hpp"
#include "formats/limits.hpp"

namespace vramd::formats {
namespace {
constexpr u64 jump_bytes = 4 * kib;
}

Result<std::span<const std::byte>> Window::view(u64 offset_bytes, u64 size_bytes) {
    INVARIANT(size_bytes <= window_bytes);
    TRY(const auto range, Range::within(size_bytes_, offset_bytes, size_bytes));
    if (range.empty()) return std::span<const std::byte>();
    if (offset_bytes < start_bytes_ || range.end_bytes() > end_bytes()) TRY_DO(refill(offset_bytes, size_bytes));
    return std::span<const std::byte>(buffer_).subspan(offset_bytes - start_bytes_, size_bytes);
}

Result<std::span<const std::byte>> Window::some(u64 offset_bytes, u64 size_max_bytes) {
    INVARIANT(size_max_bytes > 0);
    TRY_DO(Range::within(size_bytes_, offset_bytes, 1));
    if (offset_bytes < start_bytes_ || offset_bytes >= end_bytes()) TRY_DO(refill(offset_bytes, 1));
    const auto rest = std::span<const std::byte>(buffer_).subspan(offset_bytes - start_bytes_);
    return rest.first(std::min<u64>(rest.size(), size_max_bytes));
}

Result<void> Window::refill(u64 offset_bytes, u64 needed_bytes) {
    const bool goes_on = offset_bytes >= start_bytes_ && offset_bytes <= end_bytes();
    const bool goes_back_a_little = offset_bytes < start_bytes_ && start_bytes_ - offset_bytes <= window_bytes;
    // A message is gone through twice, its frame and its inside: a little of what lies behind stays at hand.
    const u64 behind_bytes = goes_on ? std::min(offset_bytes, jump_bytes) : 0;
    const u64 ahead_bytes = std::max(needed_bytes, goes_on || goes_back_a_little ? window_bytes : jump_bytes);
    start_bytes_ = offset_bytes - behind_bytes;
    buffer_.resize(behind_bytes + std::min(ahead_bytes, size_bytes_ - offset_bytes));
    auto done = source_.read(start_bytes_, buffer_);
    if (!done) buffer_.clear();  // Half a read is no read.
    return done;
}
}  // namespace vramd::formats
