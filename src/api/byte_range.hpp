/// The Range and Content-Range headers (RFC 9110, bytes, one range).
#pragma once
#include <optional>
#include <string_view>

#include "base/range.hpp"

namespace vramd::api {
/// What a Range header asks of `size_bytes`: nothing (no such header, another unit, several ranges, or a text that is none: the whole is
/// answered then, as the RFC says), or the range. Errors: `out_of_range` when it lies beyond the end.
[[nodiscard]] Result<std::optional<Range>> range_from(const std::string* header, u64 size_bytes);

/// Where a Content-Range header puts a body in `size_bytes`: without one, at 0 with `body_bytes` (absent: unknown, up to the end).
/// Errors: `invalid_field` for a text that is none, or that does not agree with the body's length or the whole's size; `out_of_range`.
[[nodiscard]] Result<Range> content_range_from(const std::string* header, std::optional<u64> body_bytes, u64 size_bytes);
}  // namespace vramd::api
