/// The one place where the HTTP room decides what valid UTF-8 is: RFC 3629, without overlong forms and surrogates.
#pragma once
#include <string_view>

#include "base/types.hpp"

namespace vramd::http {
/// The length (1–4) of the well-formed sequence that `text` begins with, 0 if it begins with none. `text` is not empty.
[[nodiscard]] constexpr std::size_t utf8_length(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<u8>(text[i]); };
    const auto tail = [&](std::size_t i, u8 low, u8 high) { return i < text.size() && at(i) >= low && at(i) <= high; };
    const u8 first = at(0);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return tail(1, 0x80, 0xbf) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const u8 low = first == 0xe0 ? 0xa0 : 0x80;
        const u8 high = first == 0xed ? 0x9f : 0xbf;
        return tail(1, low, high) && tail(2, 0x80, 0xbf) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const u8 low = first == 0xf0 ? 0x90 : 0x80;
        const u8 high = first == 0xf4 ? 0x8f : 0xbf;
        return tail(1, low, high) && tail(2, 0x80, 0xbf) && tail(3, 0x80, 0xbf) ? 4 : 0;
    }
    return 0;
}

[[nodiscard]] constexpr bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}
}  // namespace vramd::http
