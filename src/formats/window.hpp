/// Small reads from a large file through one buffer of `window_bytes`.
///
/// Headers are read a few bytes at a time, and between two of them may lie gigabytes of weights that must not be read. So a read that
/// goes on where the buffer ends fills it whole, and one that jumps far fetches a little only.
#pragma once
#include <vector>

#include "formats/model_file.hpp"

namespace vramd::formats {
/// Borrows the source; not synchronised.
class Window {
public:
    explicit Window(Source& source) : source_(source), size_bytes_(source.size_bytes()) {}

    /// The file's size when the window was made; all checks of one pass use the same figure.
    [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
    /// The bytes [offset, offset + size), valid until the next call. `size` is at most `window_bytes`.
    /// Errors: `out_of_range` beyond the file's end; the source's own.
    [[nodiscard]] Result<std::span<const std::byte>> view(u64 offset_bytes, u64 size_bytes);
    /// As many of the bytes from `offset_bytes` on as the buffer holds or a refill brings, at least 1 and at most `size_max_bytes` (> 0).
    [[nodiscard]] Result<std::span<const std::byte>> some(u64 offset_bytes, u64 size_max_bytes);

private:
    [[nodiscard]] Result<void> refill(u64 offset_bytes, u64 needed_bytes);
    [[nodiscard]] u64 end_bytes() const { return start_bytes_ + buffer_.size(); }

    Source& source_;
    u64 size_bytes_;
    u64 start_bytes_ = 0;
    std::vector<std::byte> buffer_;
};
}  // namespace vramd::formats
