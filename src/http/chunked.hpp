/// The framing of a chunked request body, without its bytes.
///
/// Grammar (RFC 9112, 7.1): chunk = 1*HEXDIG [ext] CRLF data CRLF; the last has size 0, then trailers, then CRLF. The decoder is fed what
/// is not data; between, its user reads `data_left_bytes` straight to where they belong and says so with `take`. Strict: every line ends
/// with CRLF, a size has at most 16 digits and fits 63 bits, extensions and trailers are skipped up to a limit.
#pragma once
#include <string_view>

#include "base/result.hpp"

namespace vramd::http {
/// One per body. After an error it must not be fed again.
class ChunkDecoder {
public:
    /// Takes framing from the front of `bytes`, up to the next data, the end, or all there is; answers how much it took.
    /// Errors: `malformed_request`.
    [[nodiscard]] Result<u64> feed(std::string_view bytes);
    /// Bytes of data that follow now, before more framing.
    [[nodiscard]] u64 data_left_bytes() const { return data_left_bytes_; }
    /// `size_bytes` (≤ data_left_bytes) of data have been read.
    void take(u64 size_bytes);
    /// The body and its trailers are complete.
    [[nodiscard]] bool done() const { return state_ == State::done; }

private:
    enum class State : u8 {
        size,
        extension,
        size_lf,
        data,
        data_cr,
        data_lf,
        trailer_start,
        trailer_name,
        trailer,
        trailer_lf,
        end_lf,
        done
    };
    [[nodiscard]] Result<void> step(char c);
    [[nodiscard]] Result<void> step_size(char c);
    [[nodiscard]] Result<void> step_trailer(char c);

    State state_ = State::size;
    u64 data_left_bytes_ = 0;
    u64 size_ = 0;
    u32 digits_ = 0;
    u64 skipped_bytes_ = 0;  ///< Of extensions and trailers, over the whole body.
};
}  // namespace vramd::http
