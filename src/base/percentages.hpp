/// Percentages in settings and flags, such as `80,70`.
#pragma once
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace vramd {
/// So many percentages with commas between, each from 0 to 100 and with two decimals at most, as hundredths; nothing where the text is
/// anything else.
[[nodiscard]] inline std::optional<std::vector<u64>> parse_percentages(std::string_view text, std::size_t count) {
    std::vector<u64> list;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (list.size() < count) {
        if (!list.empty() && (at == end || *at++ != ',')) return std::nullopt;
        u64 whole = 0;
        auto [next, failed] = std::from_chars(at, end, whole);
        if (failed != std::errc{} || whole > 100) return std::nullopt;
        u64 hundredths = whole * 100;
        if (next != end && *next == '.') {
            const char* const decimals = ++next;
            for (u64 worth = 10; next != end && *next >= '0' && *next <= '9'; worth /= 10, ++next)
                hundredths += worth * static_cast<u64>(*next - '0');
            if (next == decimals || next > decimals + 2) return std::nullopt;
        }
        if (hundredths > 100'00) return std::nullopt;
        list.push_back(hundredths);
        at = next;
    }
    return at == end ? std::optional(std::move(list)) : std::nullopt;
}
}  // namespace vramd
