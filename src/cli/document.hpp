/// Reading the daemon's JSON answers: lookups that answer nothing where there is nothing, instead of throwing.
#pragma once
#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vramd::cli {
namespace json = boost::json;

/// Errors: `malformed_request` when the text is not JSON.
[[nodiscard]] Result<json::value> parse_document(std::string_view text);

/// What lies at a dotted path ("places.0.deviceId"), or nullptr.
[[nodiscard]] const json::value* find_path(const json::object& object, std::string_view path);

/// A value as a person reads it: strings bare, numbers exact, true and false as yes and no, lists with commas, null and absent as "".
[[nodiscard]] std::string plain_text(const json::value* value);

/// With a question mark for each control character: what others named must not move the cursor.
[[nodiscard]] std::string printable(std::string text);
/// As JSON in one line, numbers exact and without exponents.
[[nodiscard]] std::string exact_text(const json::value& value);

[[nodiscard]] std::string text_at(const json::object& object, std::string_view path);
/// A whole number ≥ 0, if there is one.
[[nodiscard]] std::optional<u64> number_at(const json::object& object, std::string_view path);
/// Any number.
[[nodiscard]] std::optional<double> real_at(const json::object& object, std::string_view path);
/// The items of a list answer ("items", or the field named); empty when there are none.
[[nodiscard]] const json::array& items_of(const json::value& body, std::string_view field = "items");
}  // namespace vramd::cli
