#include <algorithm>

#include "api/route.hpp"

namespace vramd::api {
namespace {
bool is_parameter(std::string_view segment) { return segment.starts_with('{'); }

/// True if the path fits the pattern; then `params` holds the parameters' values.
bool fits(std::span<const std::string_view> pattern, const std::vector<std::string>& segments, std::vector<std::string>& params) {
    if (pattern.size() != segments.size()) return false;
    params.clear();
    for (std::size_t i = 0; i < segments.size(); ++i) {
        if (is_parameter(pattern[i]) && !segments[i].empty())  // `DELETE /cache/$name` without a name is not `DELETE /cache`.
            params.push_back(segments[i]);
        else if (pattern[i] != segments[i])
            return false;
    }
    return true;
}

/// Of two patterns of one length: whether this one has a word of the API where the other first has a parameter in its stead.
bool is_nearer(std::span<const std::string_view> pattern, std::span<const std::string_view> other) {
    return std::ranges::lexicographical_compare(pattern, other, {}, is_parameter, is_parameter);
}

std::string allow_of(u32 methods) {
    std::string allow;
    for (u32 i = 0; i <= static_cast<u32>(http::Method::options); ++i) {
        if ((methods >> i & 1) == 0) continue;
        allow.append(allow.empty() ? "" : ", ").append(http::name_of(static_cast<http::Method>(i)));
        if (static_cast<http::Method>(i) == http::Method::get) allow += ", HEAD";
    }
    return allow;
}
}  // namespace

std::vector<std::string_view> segments_of(std::string_view pattern) {
    std::vector<std::string_view> segments;
    while (!pattern.empty()) {
        pattern.remove_prefix(1);  // The slash.
        const std::size_t end = std::min(pattern.find('/'), pattern.size());
        if (end > 0) segments.push_back(pattern.substr(0, end));
        pattern.remove_prefix(end);
    }
    return segments;
}

std::string allow_anywhere(std::span<const Route> rows) {
    u32 methods = u32{1} << static_cast<u32>(http::Method::options);
    for (const Route& row : rows) methods |= u32{1} << static_cast<u32>(row.method);
    return allow_of(methods);
}

Match match(std::span<const Route> rows, http::Method method, const std::vector<std::string>& segments) {
    Match found;
    std::vector<std::string_view> best;
    u32 methods = 0;
    std::vector<std::string> params;
    for (const Route& row : rows) {
        const std::vector<std::string_view> pattern = segments_of(row.pattern);
        if (!fits(pattern, segments, params)) continue;
        methods |= u32{1} << static_cast<u32>(row.method);
        if (row.method != method || (found.route != nullptr && !is_nearer(pattern, best))) continue;
        best = pattern;
        found.route = &row;
        found.params = params;
    }
    if (methods != 0) found.allow = allow_of(methods | u32{1} << static_cast<u32>(http::Method::options));
    return found;
}
}  // namespace vramd::api
