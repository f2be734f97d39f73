#include "http/target.hpp"

#include <algorithm>
#include <charconv>

#include "http/utf8.hpp"

namespace vramd::http {
namespace {
std::unexpected<Error> malformed(std::string_view field, std::string detail) {
    return refuse(Code::malformed_request, field, std::move(detail));
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

enum class Plus : u8 { literal, space };

Result<std::string> percent_decoded(std::string_view text, Plus plus) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '+' && plus == Plus::space) c = ' ';
        if (c == '%') {
            const int high = i + 1 < text.size() ? hex_value(text[i + 1]) : -1;
            const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0) return malformed("target", "The target has a '%' that two hex digits do not follow.");
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (static_cast<u8>(c) < 0x20 || c == 0x7f) return malformed("target", "The target has an encoded control character.");
        out += c;
    }
    if (!is_utf8(out)) return malformed("target", "The target is not valid UTF-8.");
    return out;
}

Result<void> parse_query(std::string_view text, std::vector<Field>& query) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('&'), text.size());
        const std::string_view item = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (item.empty()) continue;
        const std::size_t equals = item.find('=');
        TRY(std::string name, percent_decoded(item.substr(0, equals), Plus::space));
        std::string value;
        if (equals != std::string_view::npos) {
            TRY(value, percent_decoded(item.substr(equals + 1), Plus::space));
        }
        query.emplace_back(std::move(name), std::move(value));
    }
    return {};
}
}  // namespace

Result<ParsedTarget> parse_target(std::string_view target, std::string_view method) {
    ParsedTarget parsed;
    if (!std::all_of(target.begin(), target.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '#'; }))
        return malformed("target", "The target may only have printable ASCII characters; others are written as %XX.");
    if (target == "*" && method == "OPTIONS") {
        parsed.path = "*";
        return parsed;
    }
    constexpr std::string_view scheme = "http://";
    if (equals_without_case(target.substr(0, scheme.size()), scheme)) {
        target.remove_prefix(scheme.size());
        const std::size_t slash = target.find('/');
        if (slash == std::string_view::npos || slash == 0) return malformed("target", "The target's host or path is missing.");
        parsed.authority = target.substr(0, slash);
        target.remove_prefix(slash);
    }
    if (target.empty() || target[0] != '/') return malformed("target", "The target must begin with '/'.");
    const std::size_t question = std::min(target.find('?'), target.size());
    std::string_view path = target.substr(0, question);
    if (question < target.size()) TRY_DO(parse_query(target.substr(question + 1), parsed.query));
    TRY(parsed.path, percent_decoded(path, Plus::literal));
    while (path.size() > 1) {
        path.remove_prefix(1);  // The slash.
        const std::size_t end = std::min(path.find('/'), path.size());
        TRY(std::string segment, percent_decoded(path.substr(0, end), Plus::literal));
        parsed.segments.push_back(std::move(segment));
        path.remove_prefix(end);
    }
    if (path == "/" && !parsed.segments.empty()) parsed.segments.emplace_back();
    return parsed;
}

Result<Authority> parse_authority(std::string_view text) {
    Authority authority;
    std::size_t host_end = text.find(':');
    if (text.starts_with('[')) {
        const std::size_t bracket = text.find(']');
        if (bracket == std::string_view::npos) return malformed("Host", "The host's bracket is not closed.");
        host_end = bracket + 1 < text.size() ? bracket + 1 : std::string_view::npos;
    }
    authority.host = text.substr(0, host_end);
    const auto is_host_char = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("-._~[]:").contains(c);
    };
    if (authority.host.empty() || !std::all_of(authority.host.begin(), authority.host.end(), is_host_char))
        return malformed("Host", "The host is not a name or an address.");
    if (host_end == std::string_view::npos) return authority;
    if (text[host_end] != ':') return malformed("Host", "The host is not a name or an address.");
    const std::string_view port = text.substr(host_end + 1);
    u16 value = 0;
    const auto [stopped, failed] = std::from_chars(port.data(), port.data() + port.size(), value);
    if (port.empty() || failed != std::errc{} || stopped != port.data() + port.size() || value == 0)
        return malformed("Host", "The host's port is not a number from 1 to 65535.");
    authority.port = value;
    return authority;
}
}  // namespace vramd::http
