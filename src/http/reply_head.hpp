/// The bytes before a reply's body.
#pragma once
#include "http/head_check.hpp"

namespace vramd::http {
/// How the reply's end is known.
enum class ReplyFraming : u8 { length, chunked, until_close };

/// Status line and headers with their empty line. Header names and values that have control characters lose them: nothing that a handler
/// copied from a request can start another header. `now_seconds` since 1970 becomes Date.
[[nodiscard]] std::string reply_head(const Reply& reply, ReplyFraming framing, u64 size_bytes, Persistence persistence, i64 now_seconds);
}  // namespace vramd::http
