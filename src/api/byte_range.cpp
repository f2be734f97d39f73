#include "api/byte_range.hpp"

#include <charconv>

namespace vramd::api {
namespace {
std::optional<u64> number_from(std::string_view text) {
    u64 number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || read.ptr != text.data() + text.size() || text[0] < '0' || text[0] > '9') return std::nullopt;
    return read.ec == std::errc() ? number : number_max;  // Beyond 2^64: beyond any size.
}

std::unexpected<Error> beyond(u64 value, u64 size_bytes) {
    return std::unexpected(
        Error{Code::out_of_range, "Range", value, size_bytes,
              "The range begins at byte " + std::to_string(value) + ", and there are " + std::to_string(size_bytes) + " bytes."});
}
}  // namespace

Result<std::optional<Range>> range_from(const std::string* header, u64 size_bytes) {
    constexpr std::string_view unit = "bytes=";
    if (header == nullptr || !std::string_view(*header).starts_with(unit)) return std::nullopt;
    const std::string_view text = std::string_view(*header).substr(unit.size());
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto first = number_from(text.substr(0, dash));
    const auto last = number_from(text.substr(dash + 1));
    if (dash == 0) {  // The last so many bytes.
        if (!last) return std::nullopt;
        if (*last == 0) return beyond(size_bytes, size_bytes);
        const u64 count = std::min(*last, size_bytes);
        TRY(const Range range, Range::within(size_bytes, size_bytes - count, count));
        return range;
    }
    if (!first || (!last && dash + 1 < text.size()) || (last && *last < *first)) return std::nullopt;
    if (*first >= size_bytes) return beyond(*first, size_bytes);
    const u64 end = last && *last < size_bytes - 1 ? *last + 1 : size_bytes;
    TRY(const Range range, Range::within(size_bytes, *first, end - *first));
    return range;
}

Result<Range> content_range_from(const std::string* header, std::optional<u64> body_bytes, u64 size_bytes) {
    if (header == nullptr) return Range::within(size_bytes, 0, body_bytes.value_or(size_bytes));
    constexpr std::string_view unit = "bytes ";
    const auto refused = [](std::string detail) { return refuse(Code::invalid_field, "Content-Range", std::move(detail)); };
    const std::string_view all = *header;
    const std::size_t dash = all.find('-'), slash = all.find('/');
    if (!all.starts_with(unit) || dash == std::string_view::npos || slash == std::string_view::npos || slash < dash)
        return refused("Content-Range must read \"bytes FIRST-LAST/SIZE\" or \"bytes FIRST-LAST/*\".");
    const auto first = number_from(all.substr(unit.size(), dash - unit.size()));
    const auto last = number_from(all.substr(dash + 1, slash - dash - 1));
    const std::string_view whole = all.substr(slash + 1);
    if (!first || !last || *last < *first || *last >= number_max)
        return refused("Content-Range must name a first and a last byte, the first not beyond the last.");
    if (whole != "*" && number_from(whole) != size_bytes)
        return refused("Content-Range names another size; the allocation has " + std::to_string(size_bytes) + " bytes.");
    const u64 count = *last - *first + 1;
    if (body_bytes && *body_bytes != count)
        return std::unexpected(
            Error{Code::invalid_field, "Content-Range", count, *body_bytes,
                  "Content-Range names " + std::to_string(count) + " bytes and the body has " + std::to_string(*body_bytes) + "."});
    return Range::within(size_bytes, *first, count);
}
}  // namespace vramd::api
