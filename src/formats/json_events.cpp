#include "formats/json_events.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <optional>

#include "formats/limits.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
namespace {
namespace json = boost::json;
/// What is kept of a string or number; one more than a name may have, so that too long is seen as such.
constexpr std::size_t token_bytes_max = name_bytes_max + 1;

/// What Boost.JSON's parser calls. Its names are the library's.
struct Handler {
    static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
    using code = json::error_code;
    using text = json::string_view;

    explicit Handler(JsonListener& told) : listener(told) {}

    JsonListener& listener;
    std::optional<Error> refusal;
    std::string token;

    bool pass(Result<void> result, code& ec) {
        token.clear();
        if (result) return true;
        refusal = std::move(result).error();
        ec = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
        return false;
    }
    bool grow(text part) {
        token.append(part.data(), std::min<std::size_t>(part.size(), token_bytes_max - std::min(token.size(), token_bytes_max)));
        return true;
    }
    bool on_document_begin(code&) { return true; }
    bool on_document_end(code&) { return true; }
    bool on_object_begin(code& ec) { return pass(listener.object_begins(), ec); }
    bool on_object_end(std::size_t, code& ec) { return pass(listener.object_ends(), ec); }
    bool on_array_begin(code& ec) { return pass(listener.array_begins(), ec); }
    bool on_array_end(std::size_t, code& ec) { return pass(listener.array_ends(), ec); }
    bool on_key_part(text part, std::size_t, code&) { return grow(part); }
    bool on_key(text part, std::size_t, code& ec) { return grow(part) && pass(listener.key(token), ec); }
    bool on_string_part(text part, std::size_t, code&) { return grow(part); }
    bool on_string(text part, std::size_t, code& ec) { return grow(part) && pass(listener.string(token), ec); }
    bool on_number_part(text part, code&) { return grow(part); }
    bool on_int64(std::int64_t value, text part, code& ec) {
        grow(part);
        return pass(value < 0 || token.starts_with('-') ? listener.other(token) : listener.number(static_cast<u64>(value)), ec);
    }
    bool on_uint64(std::uint64_t value, text, code& ec) { return pass(listener.number(value), ec); }
    bool on_double(double, text part, code& ec) { return grow(part) && pass(listener.other(token), ec); }
    bool on_bool(bool value, code& ec) { return pass(listener.other(value ? "true" : "false"), ec); }
    bool on_null(code& ec) { return pass(listener.other("null"), ec); }
    bool on_comment_part(text, code&) { return true; }
    bool on_comment(text, code&) { return true; }
};

bool is_space(std::byte byte) {
    const auto c = static_cast<char>(byte);
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
}  // namespace

Result<void> read_json(Window& file, u64 offset_bytes, u64 size_bytes, std::string_view place, JsonListener& listener) {
    json::parse_options options;
    options.max_depth = nesting_max;
    json::basic_parser<Handler> parser(options, listener);
    u64 done_bytes = 0;
    while (done_bytes < size_bytes) {
        TRY(const auto piece, file.some(offset_bytes + done_bytes, size_bytes - done_bytes));
        std::size_t used = 0;
        if (!parser.done()) {
            json::error_code ec;
            used = parser.write_some(done_bytes + piece.size() < size_bytes, reinterpret_cast<const char*>(piece.data()), piece.size(), ec);
            if (ec && parser.handler().refusal) return std::unexpected(*std::move(parser.handler().refusal));
            if (ec) return invalid(place, "it is not valid JSON near byte ", done_bytes + used, ": ", ec.message());
        }
        for (const std::byte byte : piece.subspan(used))
            if (!is_space(byte)) return invalid(place, "something follows the JSON value");
        done_bytes += piece.size();
    }
    if (!parser.done()) return invalid(place, "the JSON ends too early");
    return {};
}
}  // namespace vramd::formats
