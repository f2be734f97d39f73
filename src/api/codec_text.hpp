/// The text forms of numbers and times that the codec's parser, writer and schema share. Inside the codec only.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "api/shape.hpp"

namespace vramd::api {
/// `units` of 10^-decimals with all its decimals: (1250, 2) is "12.50".
[[nodiscard]] std::string number_text(u64 units, u32 decimals);
/// "2026-01-31T08:15:30.250Z"; `unix_ms` beyond the year 9999 shows that year's end.
[[nodiscard]] std::string time_text(u64 unix_ms);
/// What `time_text` made, or the same without or with one to three decimals of the second; nothing else.
[[nodiscard]] std::optional<u64> time_from(std::string_view text);
/// "it must be an integer from 1 to 64 bytes": what a missing field should have been.
[[nodiscard]] std::string must_be(const Shape& shape, const Field& field);
}  // namespace vramd::api
