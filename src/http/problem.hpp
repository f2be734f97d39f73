/// Errors as RFC 9457 problem documents, for the refusals that the HTTP room makes itself and for whoever has nothing to add to an `Error`.
#pragma once
#include <string_view>

#include "http/message.hpp"

namespace vramd::http {
inline constexpr std::string_view problem_type = "application/problem+json";

/// `application/problem+json` with type, title, status, detail, instance and code, and field, value and limit where the error has them.
/// Adds Retry-After where the code table has one. `instance` is the request's path; left away when empty.
[[nodiscard]] Reply problem_reply(const Error& error, std::string_view instance);

/// `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string json_quoted(std::string_view text);
}  // namespace vramd::http
