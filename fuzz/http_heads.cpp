// links: http
// The bytes as a request's head, and as decisions of a generator of heads that are nearly right. A head that is taken is split once more by
// a reader of this file's own, after RFC 9112: whatever the two disagree about is a way to smuggle a second request past the first.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "base/choices.hpp"
#include "http/head_check.hpp"
#include "http/utf8.hpp"

using namespace vramd;
using namespace vramd::http;

namespace {
void demand(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "wrong: %s\n", what);
    std::abort();
}

void judge_refusal(const Error& error) {
    const bool right = error.code == Code::malformed_request || error.code == Code::header_too_large || error.code == Code::forbidden ||
                       error.code == Code::unsupported;
    demand(right && !describe(error).empty(), "a refusal that no stranger's head may get");
}

/// The end of the head as it is found when the bytes come in pieces of `step`; -1: refused.
i64 end_in_pieces(std::string_view bytes, std::size_t step) {
    HeadScanner scanner(Caps{});
    for (std::size_t size = std::min(step, bytes.size());; size = std::min(size + step, bytes.size())) {
        const Result<u64> end = scanner.scan(bytes.substr(0, size));
        if (!end) return -1;
        if (*end != 0) return static_cast<i64>(*end);
        if (size == bytes.size()) return 0;
    }
}

/// A head's fields, or nothing where RFC 9112 allows no reading of a line.
std::optional<std::vector<Field>> split(std::string_view head) {
    std::vector<Field> fields;
    head.remove_prefix(head.find("\r\n") + 2);
    while (!head.starts_with("\r\n")) {
        const std::string_view line = head.substr(0, head.find("\r\n"));
        head.remove_prefix(line.size() + 2);
        const std::size_t colon = line.find(':');
        if (colon == 0 || colon == std::string_view::npos) return std::nullopt;
        for (const char c : line.substr(0, colon))
            if (c <= 0x20 || c >= 0x7f || std::string_view("\"(),/:;<=>?@[\\]{}").find(c) != std::string_view::npos) return std::nullopt;
        std::string_view value = line.substr(colon + 1);
        while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
        while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
        fields.emplace_back(line.substr(0, colon), value);
    }
    return fields;
}

/// Fields of one name keep their order; of different names it means nothing (RFC 9110, 5.3).
std::vector<Field> by_name(std::vector<Field> fields) {
    const auto lower = [](std::string name) {
        std::ranges::transform(name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        return name;
    };
    std::stable_sort(fields.begin(), fields.end(), [&](const Field& a, const Field& b) { return lower(a.first) < lower(b.first); });
    return fields;
}

bool is_plain(std::string_view text) {
    return is_utf8(text) && std::ranges::none_of(text, [](char c) { return static_cast<u8>(c) < 0x20 || c == 0x7f; });
}

void judge_framing(const RequestHead& head, const std::vector<Field>& fields) {
    std::vector<std::string> lengths;
    std::vector<std::string> codings;
    u64 hosts = 0;
    for (const auto& [name, value] : fields) {
        if (equals_without_case(name, "Content-Length")) lengths.push_back(value);
        if (equals_without_case(name, "Transfer-Encoding")) codings.push_back(value);
        if (equals_without_case(name, "Host")) ++hosts;
    }
    demand(hosts == 1, "a head without exactly one Host was taken");
    demand(lengths.size() + codings.size() <= 1, "a head that frames its body twice was taken");
    demand((head.framing == Framing::chunked) == !codings.empty(), "Transfer-Encoding and framing differ");
    demand(codings.empty() || equals_without_case(codings[0], "chunked"), "a coding that is not chunked was taken");
    demand(head.content_length_bytes <= number_max, "a length beyond 2^63 - 1 was taken");
    if (lengths.empty()) return demand(head.content_length_bytes == 0, "a length out of nothing");
    const std::size_t zeros = std::min(lengths[0].find_first_not_of('0'), lengths[0].size() - 1);
    demand(lengths[0].substr(zeros) == std::to_string(head.content_length_bytes), "Content-Length was read as another number");
}

void judge_head(std::string_view head, const HostPolicy& policy) {
    auto raw = check_lines(head) ? parse_head(head) : Result<RawHead>(std::unexpected(check_lines(head).error()));
    if (!raw) return judge_refusal(raw.error());
    const Result<CheckedHead> checked = check_head(*std::move(raw), policy, Peer{});
    if (!checked) return judge_refusal(checked.error());
    const RequestHead& told = checked->head;
    const auto fields = split(head);
    demand(fields.has_value(), "a head with a line that is no field was taken");
    demand(by_name(*fields) == by_name(told.headers.fields()), "two readers see different fields");
    judge_framing(told, *fields);
    demand(told.path.starts_with('/') || (told.path == "*" && told.method == Method::options), "a path that does not begin with '/'");
    demand(is_plain(told.path), "a path with control characters or invalid UTF-8");
    for (const std::string& segment : told.segments) demand(is_plain(segment), "an odd segment");
    const auto slashes = std::ranges::count(checked->head.path, '/');  // Of names with "%2F" in them too.
    demand(told.path == "/" || told.path == "*" || std::cmp_less_equal(told.segments.size(), slashes), "more segments than slashes");
    for (const auto& [name, value] : told.query) demand(is_plain(name) && is_plain(value), "an odd query");
}

void judge(std::string_view bytes) {
    const i64 end = end_in_pieces(bytes, std::max<std::size_t>(bytes.size(), 1));
    // Beyond a cap both refuse, but a whole that goes on behind a good head is only seen in one piece.
    if (bytes.size() <= Caps{}.request_line_bytes_max) {
        demand(end_in_pieces(bytes, 1) == end, "the head's end depends on how it came");
        demand(end_in_pieces(bytes, 7) == end, "the head's end depends on how it came");
    }
    if (end <= 0) return;
    const std::string_view head = bytes.substr(0, static_cast<std::size_t>(end));
    demand(head.ends_with("\r\n\r\n"), "a head that does not end with an empty line");
    judge_head(head, {Door::unix_socket, 0, {}});
    judge_head(head, {Door::tcp, 8080, {"models.example"}});
}

std::string one_of(Choices& choices, std::initializer_list<const char*> texts) { return texts.begin()[choices.below(texts.size())]; }

std::string odd_head(Choices& choices) {
    std::string head = one_of(choices, {"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get", "TRACE", ""}) + " ";
    head += one_of(choices,
                   {"/", "/a%2fb?x=%41&y", "*", "http://localhost:8080/a", "//", "/%00", "/\xc3\xa4", "/%c3%a4", "/a?%zz", "/../b", "a"});
    head += one_of(choices, {" HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/2.0\r\n", "  HTTP/1.1\r\n", "\r\n", " HTTP/1.1\n"});
    for (u64 i = 1 + choices.below(5); i > 0; --i) {
        head += one_of(
            choices, {"Host", "Host", "Content-Length", "Transfer-Encoding", "Origin", "Expect", "Connection", "Content-Length ", "X", ""});
        head += one_of(choices, {": ", ":", " : ", ":\t", ""});
        head +=
            one_of(choices, {"localhost:8080", "127.0.0.1:8080", "[::1]:8080", "a.example", "0", "7", "+7", "7, 7", "18446744073709551616",
                             "chunked", "chunked, chunked", "xchunked", "http://localhost:8080", "100-continue", "close", "", "a\tb"});
        head += one_of(choices, {"\r\n", "\r\n", "\r\n", "\r\n ", "\n", " \r\n", "\r"});
    }
    return head + one_of(choices, {"\r\n", "\r\n", "\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n", "\n", ""});
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
    judge({reinterpret_cast<const char*>(data), size});
    Choices choices = Choices::replay({data, data + std::min<std::size_t>(size, 200)});
    judge(odd_head(choices));
    return 0;
}
