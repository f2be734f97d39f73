#include "api/etag.hpp"

#include <charconv>
#include <span>

#include "base/checksum.hpp"

namespace vramd::api {
namespace {
/// Calls `seen(tag, is_weak)` for each tag of a list, until it answers true. True if it did.
template <class Seen>
bool any_tag(std::string_view list, Seen&& seen) {
    while (!list.empty()) {
        list = http::trimmed(list);
        const bool weak = list.starts_with("W/");
        if (weak) list.remove_prefix(2);
        std::size_t end = list.find(',');
        if (list.starts_with('"')) {  // A comma may stand inside a tag.
            const std::size_t quote = list.find('"', 1);
            if (quote != std::string_view::npos) end = list.find(',', quote);
        }
        if (seen(http::trimmed(list.substr(0, end)), weak)) return true;
        if (end == std::string_view::npos) break;
        list.remove_prefix(end + 1);
    }
    return false;
}

std::string hexadecimal(u64 number) {
    char digits[16];
    const auto end = std::to_chars(digits, digits + sizeof digits, number, 16).ptr;
    return std::string(digits, end);
}
}  // namespace

std::string etag_of(u64 revision) { return "\"r" + std::to_string(revision) + "\""; }

std::string etag_of_body(std::string_view body) { return "\"" + hexadecimal(checksum(std::as_bytes(std::span(body)))) + "\""; }

bool matches_none(const http::RequestHead& head, std::string_view etag) {
    const std::string* const given = head.headers.find("If-None-Match");
    if (given == nullptr) return true;
    return !any_tag(*given, [&](std::string_view tag, bool) { return tag == "*" || tag == etag; });
}

Result<void> check_if_match(const http::RequestHead& head, std::string_view etag) {
    const std::string* const given = head.headers.find("If-Match");
    if (given == nullptr) return {};
    if (any_tag(*given, [&](std::string_view tag, bool weak) { return !weak && (tag == "*" || tag == etag); })) return {};
    return refuse(Code::precondition_failed, "If-Match",
                  "If-Match names " + *given + "; the present version is " + std::string(etag) + ".");
}

Result<std::optional<u64>> if_match_revision(const http::RequestHead& head) {
    const std::string* const given = head.headers.find("If-Match");
    if (given == nullptr || http::trimmed(*given) == "*") return std::optional<u64>();
    const std::string_view tag = http::trimmed(*given);
    u64 revision = 0;
    if (tag.size() > 3 && tag.starts_with("\"r") && tag.ends_with('"')) {
        const char* const end = tag.data() + tag.size() - 1;
        const auto [stopped, failed] = std::from_chars(tag.data() + 2, end, revision);
        if (failed == std::errc{} && stopped == end) return std::optional<u64>(revision);
    }
    return refuse(Code::invalid_field, "If-Match", "If-Match must be the one ETag that a read answered, such as \"r7\" with its quotes.");
}
}  // namespace vramd::api
