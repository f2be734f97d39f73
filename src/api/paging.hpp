/// Pages of lists: cursors, and pages of lists that are made whole.
#pragma once
#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "api/json.hpp"
#include "base/result.hpp"

namespace vramd::api {
/// The number in a cursor ("p250"); `absent` where there is none. Errors: `invalid_field`.
[[nodiscard]] inline Result<u64> cursor_number(const std::optional<std::string>& cursor, u64 absent) {
    if (!cursor) return absent;
    const char* const end = cursor->data() + cursor->size();
    u64 number = 0;
    const bool letter = cursor->starts_with('p');
    if (letter)
        if (const auto read = std::from_chars(cursor->data() + 1, end, number); read.ec == std::errc() && read.ptr == end) return number;
    return refuse(Code::invalid_field, "?cursor", "?cursor must be the nextCursor of the page before, got " + quoted_text(*cursor) + ".");
}

/// Leaves the part of `items`, newest first, that the query asks for. The cursor is the last item's serial, not its place: what is made or
/// goes between two pages moves nothing from one to the other. `serial_of` an item falls from one to the next.
template <class Item, class Query, class Serial>
[[nodiscard]] Result<void> keep_page_below(std::vector<Item>& items, const Query& query, std::optional<std::string>& next_cursor,
                                           Serial&& serial_of) {
    TRY(const u64 below, cursor_number(query.cursor, ~u64{0}));
    const auto begin = std::find_if(items.begin(), items.end(), [&](const Item& item) { return serial_of(item) < below; });
    items.erase(items.begin(), begin);
    if (items.size() <= query.limit) return {};
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(query.limit), items.end());
    next_cursor = "p" + std::to_string(serial_of(items.back()));
    return {};
}

/// Leaves the part of `items`, whose order does not change, that the query asks for, and sets where to go on.
template <class Item, class Query>
[[nodiscard]] Result<void> keep_page(std::vector<Item>& items, const Query& query, std::optional<std::string>& next_cursor) {
    TRY(const u64 from, cursor_number(query.cursor, 0));
    const u64 begin = std::min<u64>(from, items.size());
    const u64 end = std::min<u64>(begin + query.limit, items.size());
    if (end < items.size()) next_cursor = "p" + std::to_string(end);
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(end), items.end());
    items.erase(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(begin));
    return {};
}
}  // namespace vramd::api
