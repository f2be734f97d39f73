// links: http
// The bytes as a chunked body, cut where their first byte says, and as decisions of a generator of bodies that are nearly right. However a
// body is cut, it decodes to the same bytes or to a refusal; and a decoder of this file's own, after RFC 9112 7.1, decodes it alike.
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/choices.hpp"
#include "http/chunked.hpp"

using namespace vramd;
using namespace vramd::http;

namespace {
struct Decoded {
    enum class End : u8 { complete, cut_short, refused };
    End end = End::cut_short;
    std::string body;
    std::size_t used = 0;  ///< Of a complete body: where the next request begins.
    bool operator==(const Decoded&) const = default;
};

void demand(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "wrong: %s\n", what);
    std::abort();
}

/// As a connection does it: whatever has come is framing until data is due.
Decoded decode(std::string_view bytes, std::size_t step) {
    ChunkDecoder decoder;
    Decoded decoded;
    for (std::size_t end = 0; end < bytes.size() && !decoder.done();) {
        end = std::min(end + step, bytes.size());
        while (decoded.used < end && !decoder.done()) {
            const Result<u64> taken = decoder.feed(bytes.substr(decoded.used, end - decoded.used));
            if (!taken) {
                demand(taken.error().code == Code::malformed_request && !describe(taken.error()).empty(), "a refusal that no body may get");
                return {Decoded::End::refused, {}, 0};
            }
            demand(*taken <= end - decoded.used, "more was taken than there was");
            decoded.used += *taken;
            const std::size_t data = std::min<u64>(decoder.data_left_bytes(), end - decoded.used);
            demand(data > 0 || decoded.used == end || decoder.done(), "the decoder stands still");
            if (data == 0) continue;
            decoded.body += bytes.substr(decoded.used, data);
            decoder.take(data);
            decoded.used += data;
        }
    }
    if (decoder.done()) decoded.end = Decoded::End::complete;
    return decoded;
}

/// A line up to its CRLF, taken from the front; nothing where none is complete, or where it holds what no line may.
std::optional<std::string_view> line_of(std::string_view& rest) {
    const std::size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view line = rest.substr(0, end);
    for (const char c : line)
        if ((static_cast<u8>(c) < 0x20 && c != '\t') || c == 0x7f) return std::nullopt;
    rest.remove_prefix(end + 2);
    return line;
}

/// The whole body at once; nothing where it is not complete and right.
std::optional<Decoded> reference(std::string_view bytes) {
    std::string_view rest = bytes;
    Decoded decoded{Decoded::End::complete, {}, 0};
    for (;;) {
        const auto line = line_of(rest);
        if (!line) return std::nullopt;
        const std::string digits(line->substr(0, line->find(';')));
        if (digits.empty() || digits.size() > 16 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
            return std::nullopt;
        const u64 size = std::strtoull(digits.c_str(), nullptr, 16);
        if (size == 0) break;
        if (size > rest.size() || !rest.substr(size).starts_with("\r\n")) return std::nullopt;
        decoded.body += rest.substr(0, size);
        rest.remove_prefix(size + 2);
    }
    for (;;) {
        const auto line = line_of(rest);
        if (!line || line->starts_with(' ') || line->starts_with('\t')) return std::nullopt;
        if (line->empty()) break;
    }
    decoded.used = bytes.size() - rest.size();
    return decoded;
}

void judge(std::string_view bytes, std::size_t step) {
    const Decoded whole = decode(bytes, std::max<std::size_t>(bytes.size(), 1));
    const Decoded pieces = decode(bytes, step);
    demand(pieces == decode(bytes, 1), "a body decodes by how it is cut");
    demand(pieces.end == whole.end && pieces.body == whole.body && pieces.used == whole.used, "a body decodes by how it is cut");
    const auto expected = reference(bytes);
    demand(expected.has_value() == (whole.end == Decoded::End::complete), "what is complete is not agreed upon");
    if (expected) demand(*expected == whole, "two decoders see different bodies");
}

std::string odd_body(Choices& choices) {
    static const char* const sizes[] = {"0",
                                        "1",
                                        "3",
                                        "003",
                                        "A",
                                        "a;x=1",
                                        "3;\t",
                                        "3 ",
                                        " 3",
                                        "0x3",
                                        "-1",
                                        "",
                                        "7fffffffffffffff",
                                        "8000000000000000",
                                        "00000000000000000",
                                        "ffffffffffffffff",
                                        "10000000000000000"};
    static const char* const ends[] = {"\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "", "\r\n\r\n"};
    std::string body;
    for (u64 i = choices.below(5); i > 0; --i) {
        if (choices.one_in(2)) {
            body += "3\r\nabc\r\n";
            continue;
        }
        body += std::string(sizes[choices.below(std::size(sizes))]) + ends[choices.below(std::size(ends))];
        body += std::string(choices.below(12), '0') + ends[choices.below(std::size(ends))];
    }
    body += choices.one_in(6) ? "" : "0\r\n";
    static const char* const trailers[] = {"", "", "", "T: x\r\n", " folded\r\n", "bad\n", "\tx\r\n", "a\rb\r\n"};
    return body + trailers[choices.below(std::size(trailers))] + "\r\nnext";
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (!bytes.empty()) judge(bytes.substr(1), 1 + data[0] % 16);
    Choices choices = Choices::replay({data, data + std::min<std::size_t>(size, 200)});
    const std::string odd = odd_body(choices);
    judge(odd, 1 + choices.below(9));
    return 0;
}
