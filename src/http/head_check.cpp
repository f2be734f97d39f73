#include "http/head_check.hpp"

#include <algorithm>
#include <charconv>

#include "http/target.hpp"

namespace vramd::http {
namespace {
std::unexpected<Error> malformed(std::string_view field, std::string detail) {
    return refuse(Code::malformed_request, field, std::move(detail));
}

struct KnownMethod {
    std::string_view name;
    Method method;
    BodyWanted wanted;
};
constexpr KnownMethod known_methods[] = {
    {"GET", Method::get, BodyWanted::whole},         {"HEAD", Method::get, BodyWanted::head_only},
    {"POST", Method::post, BodyWanted::whole},       {"PUT", Method::put, BodyWanted::whole},
    {"PATCH", Method::patch, BodyWanted::whole},     {"DELETE", Method::delete_, BodyWanted::whole},
    {"OPTIONS", Method::options, BodyWanted::whole},
};

Result<const KnownMethod*> known_method(const std::string& name) {
    for (const KnownMethod& row : known_methods)
        if (row.name == name) return &row;
    return refuse(Code::unsupported, "method", "The method " + name.substr(0, 32) + " is not one that this server knows.");
}

/// The one value of a header that may appear once at most; nullptr: absent.
Result<const std::string*> single(const Headers& headers, std::string_view name) {
    if (headers.count(name) > 1) return malformed(name, "There is more than one " + std::string(name) + " header.");
    return headers.find(name);
}

/// One way of framing the body, or a refusal.
Result<void> check_framing(const RawHead& raw, RequestHead& head) {
    TRY(const std::string* length, single(raw.headers, "Content-Length"));
    TRY(const std::string* coding, single(raw.headers, "Transfer-Encoding"));
    if (coding != nullptr) {
        if (length != nullptr) return malformed("Transfer-Encoding", "Content-Length and Transfer-Encoding exclude each other.");
        if (raw.version != 11) return malformed("Transfer-Encoding", "Transfer-Encoding needs HTTP/1.1.");
        if (!equals_without_case(*coding, "chunked")) return malformed("Transfer-Encoding", "The only Transfer-Encoding taken is chunked.");
        head.framing = Framing::chunked;
        return {};
    }
    if (length == nullptr) return {};
    u64 value = 0;
    const char* end = length->data() + length->size();
    const auto [stopped, failed] = std::from_chars(length->data(), end, value);
    if (length->empty() || failed != std::errc{} || stopped != end || value > number_max)
        return malformed("Content-Length", "Content-Length must be one decimal number from 0 to 9223372036854775807.");
    head.framing = value == 0 ? Framing::none : Framing::length;
    head.content_length_bytes = value;
    return {};
}

bool is_loopback(std::string_view host) {
    if (equals_without_case(host, "localhost") || host == "[::1]") return true;
    // 127.0.0.0/8 written in full; short forms such as "127.1" are what rebinding tricks use.
    u32 parts[4] = {};
    const char* at = host.data();
    const char* end = host.data() + host.size();
    for (u32 i = 0; i < 4; ++i) {
        const auto [stopped, failed] = std::from_chars(at, end, parts[i]);
        if (failed != std::errc{} || stopped == at || stopped - at > 3 || parts[i] > 255) return false;
        at = stopped;
        if (i == 3) break;
        if (at == end || *at++ != '.') return false;
    }
    return at == end && parts[0] == 127;
}

/// "host:port" is a name that this door answers to.
bool is_ours(const Authority& authority, const HostPolicy& policy) {
    const bool named =
        is_loopback(authority.host) || std::any_of(policy.extra_hosts.begin(), policy.extra_hosts.end(),
                                                   [&](const auto& name) { return equals_without_case(name, authority.host); });
    return named && (policy.door == Door::unix_socket || authority.port.value_or(80) == policy.port);
}

Result<void> check_host(const RawHead& raw, const HostPolicy& policy, const Peer& peer, const ParsedTarget& target) {
    if (raw.headers.count("Host") != 1) return malformed("Host", "A request needs exactly one Host header.");
    const std::string& host = *raw.headers.find("Host");
    // A client of the Unix socket may call the server what it likes: only local processes reach it.
    if (policy.door == Door::unix_socket && host.empty()) return {};
    TRY(const Authority authority, parse_authority(host));
    if (!target.authority.empty() && !equals_without_case(target.authority, host))
        return malformed("Host", "The request's target and its Host header name different hosts.");
    // From another machine nobody gets anything without a token, which no page that rebinds a name has; and a machine has many names.
    const bool guarded = policy.door == Door::tcp && comes_over_loopback(peer);
    if (guarded && !is_ours(authority, policy))
        return refuse(Code::forbidden, "Host", "This server answers to the loopback's names with its own port, not to '" + host + "'.");
    return {};
}

/// A page of another site must not act here in its visitor's name: browsers send Origin with everything but plain GETs.
Result<void> check_origin(const RawHead& raw, const HostPolicy& policy, const Peer& peer) {
    TRY(const std::string* origin, single(raw.headers, "Origin"));
    if (origin == nullptr) return {};
    constexpr std::string_view scheme = "http://";
    if (origin->starts_with(scheme)) {
        const auto authority = parse_authority(std::string_view(*origin).substr(scheme.size()));
        if (authority && is_ours(*authority, policy)) return {};
        // Who came by another name of this server has its page from there.
        const bool far = policy.door == Door::tcp && !comes_over_loopback(peer);
        if (far && equals_without_case(std::string_view(*origin).substr(scheme.size()), *raw.headers.find("Host"))) return {};
    }
    return refuse(Code::forbidden, "Origin", "Requests from pages of another origin are not taken.");
}

/// A page of another site must not even read here by what sends no Origin: its pictures, scripts and frames. Browsers say of those whose
/// they are. A link that somebody follows is let be: what it shows is the visitor's alone.
Result<void> check_site(const RawHead& raw) {
    TRY(const std::string* site, single(raw.headers, "Sec-Fetch-Site"));
    if (site == nullptr || *site == "same-origin" || *site == "none") return {};
    const auto says = [&](std::string_view name, std::string_view value) {
        const std::string* const said = raw.headers.find(name);
        return said != nullptr && *said == value;
    };
    const bool reads = raw.method == "GET" || raw.method == "HEAD";
    if (reads && says("Sec-Fetch-Mode", "navigate") && says("Sec-Fetch-Dest", "document")) return {};
    return refuse(Code::forbidden, "Sec-Fetch-Site", "Requests from pages of another origin are not taken.");
}

/// Fields that mean one thing: of two, a proxy before this server might heed the one and this server the other.
constexpr std::string_view said_once[] = {"Authorization", "Content-Type", "Content-Encoding", "Content-Range", "Idempotency-Key",
                                          "Last-Event-ID", "Range"};

/// True if a comma-separated header has this token.
bool has_token(const Headers& headers, std::string_view name, std::string_view token) {
    for (const Field& field : headers.fields()) {
        if (!equals_without_case(field.first, name)) continue;
        std::string_view rest = field.second;
        while (!rest.empty()) {
            const std::size_t comma = std::min(rest.find(','), rest.size());
            std::string_view item = rest.substr(0, comma);
            while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
            while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
            if (equals_without_case(item, token)) return true;
            rest.remove_prefix(std::min(comma + 1, rest.size()));
        }
    }
    return false;
}
}  // namespace

Result<u64> HeadScanner::scan(std::string_view bytes) {
    for (; scanned_bytes_ < bytes.size(); ++scanned_bytes_) {
        if (bytes[scanned_bytes_] != '\n') continue;
        if (scanned_bytes_ == 0 || bytes[scanned_bytes_ - 1] != '\r')
            return malformed({}, "A line of the head ends without a carriage return.");
        const u64 end = scanned_bytes_ + 1;
        if (end > caps_.head_bytes_max) break;
        if (end - line_start_ == 2 && lines_ > 0) return end;
        if (lines_ == 0 && end > caps_.request_line_bytes_max) break;
        ++lines_;
        line_start_ = end;
        if (lines_ > caps_.headers_max + 1) return refuse(Code::header_too_large, "headers", lines_ - 1, caps_.headers_max);
    }
    if (lines_ == 0 && bytes.size() > caps_.request_line_bytes_max)
        return refuse(Code::header_too_large, "requestLineBytes", bytes.size(), caps_.request_line_bytes_max);
    if (bytes.size() > caps_.head_bytes_max) return refuse(Code::header_too_large, "headBytes", bytes.size(), caps_.head_bytes_max);
    return 0;
}

Result<void> check_lines(std::string_view head) {
    for (std::size_t i = 0; i < head.size(); ++i) {
        const auto byte = static_cast<u8>(head[i]);
        if (byte == '\r') {
            if (i + 1 == head.size() || head[i + 1] != '\n') return malformed({}, "The head has a carriage return inside a line.");
            ++i;
            if (i + 1 < head.size() && (head[i + 1] == ' ' || head[i + 1] == '\t'))
                return malformed({}, "A header continues on the next line; folded headers are not taken.");
        } else if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
            return malformed({}, "The head has a control character.");
        }
    }
    return {};
}

Result<CheckedHead> check_head(RawHead raw, const HostPolicy& policy, Peer peer) {
    CheckedHead checked;
    TRY(const KnownMethod* method, known_method(raw.method));
    TRY(ParsedTarget target, parse_target(raw.target, raw.method));
    TRY_DO(check_host(raw, policy, peer, target));
    TRY_DO(check_framing(raw, checked.head));
    TRY_DO(check_origin(raw, policy, peer));
    TRY_DO(check_site(raw));
    for (const std::string_view name : said_once) TRY_DO(single(raw.headers, name));
    TRY(const std::string* expect, single(raw.headers, "Expect"));
    if (expect != nullptr) {
        if (!equals_without_case(*expect, "100-continue")) return malformed("Expect", "The only expectation taken is 100-continue.");
        if (raw.version == 11 && checked.head.framing != Framing::none) checked.expectation = Expectation::continue_100;
    }
    const bool closes = raw.version != 11 || has_token(raw.headers, "Connection", "close");
    checked.persistence = closes ? Persistence::close : Persistence::keep_alive;
    checked.wanted = method->wanted;
    checked.version = raw.version;
    checked.head.method = method->method;
    checked.head.path = std::move(target.path);
    checked.head.segments = std::move(target.segments);
    checked.head.query = std::move(target.query);
    checked.head.headers = std::move(raw.headers);
    checked.head.peer = std::move(peer);
    return checked;
}
}  // namespace vramd::http
