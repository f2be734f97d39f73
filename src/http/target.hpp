/// A request's target: its path and query, decoded once and judged; and what stands in Host and Origin.
#pragma once
#include "http/message.hpp"

namespace vramd::http {
struct ParsedTarget {
    std::string path;
    std::vector<std::string> segments;
    std::vector<Field> query;
    std::string authority;  ///< Of a target in absolute form ("http://host/path"); else empty.
};

/// Takes the origin form and the absolute form, and "*" for OPTIONS (as the path "*"). Errors: `malformed_request` for anything outside
/// printable ASCII, for '#', for a '%' without two hex digits, for what decodes to a control character or to invalid UTF-8.
[[nodiscard]] Result<ParsedTarget> parse_target(std::string_view target, std::string_view method);

/// "name", "name:80", "127.0.0.1:80", "[::1]:80".
struct Authority {
    std::string host;  ///< With the brackets of an IPv6 address.
    std::optional<u16> port;
};
/// Errors: `malformed_request`.
[[nodiscard]] Result<Authority> parse_authority(std::string_view text);
}  // namespace vramd::http
