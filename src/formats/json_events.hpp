/// JSON read in pieces, as events, in constant memory: for headers of up to 100 MB of which only a table is kept.
///
/// Boost.JSON's parser checks the grammar, UTF-8 and depth; this file turns its pieces of strings into whole ones with a limit. What a
/// key means and whether it may occur twice is the listener's business.
#pragma once
#include <string_view>

#include "formats/window.hpp"

namespace vramd::formats {
/// Told of each event in order; an error ends the reading. The views live during the call only.
class JsonListener {
public:
    virtual ~JsonListener() = default;
    [[nodiscard]] virtual Result<void> object_begins() = 0;
    [[nodiscard]] virtual Result<void> object_ends() = 0;
    [[nodiscard]] virtual Result<void> array_begins() = 0;
    [[nodiscard]] virtual Result<void> array_ends() = 0;
    [[nodiscard]] virtual Result<void> key(std::string_view text) = 0;
    [[nodiscard]] virtual Result<void> string(std::string_view text) = 0;
    /// An integer from 0 to 2^64 − 1.
    [[nodiscard]] virtual Result<void> number(u64 value) = 0;
    /// Any other value, as written: a negative number, one with a fraction or exponent, true, false, null.
    [[nodiscard]] virtual Result<void> other(std::string_view text) = 0;
};

/// Reads the one JSON value that fills [offset, offset + size) of the file, spaces around it allowed.
/// Errors: `invalid_model` at `place` for what is not JSON, is nested deeper than `nesting_max` or has a string beyond
/// `name_bytes_max` + 1 (longer ones are passed on cut, never grown); the listener's; the source's.
[[nodiscard]] Result<void> read_json(Window& file, u64 offset_bytes, u64 size_bytes, std::string_view place, JsonListener& listener);
}  // namespace vramd::formats
