/// JSON text as a tree that forgets nothing a strict reader needs: numbers stay the very characters that were sent.
///
/// A JSON library turns `1e3` into 1000.0, 99999999999999999999 into 1e20 and keeps the last of two equal keys. A service that must
/// say "sizeBytes must be an integer, got 1e3" needs the token itself, and must refuse the second key. So Boost.JSON's streaming
/// parser does the grammar, and this file only records what it sees. Limits (reliability.md): 1 MiB, 32 levels, 65,536 values,
/// 256 members an object (the search for equal keys is quadratic in them), valid UTF-8.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace vramd::api {
inline constexpr u64 json_bytes_max = mib;
inline constexpr u32 json_levels_max = 32;
inline constexpr u64 json_values_max = 65'536;
inline constexpr u64 json_members_max = 256;

/// One JSON value. A plain value, owned by whoever holds it.
struct Node {
    enum class Kind : u8 { null, boolean, number, text, list, object };
    Kind kind = Kind::null;
    bool truth = false;              ///< The value of a boolean.
    std::string text;                ///< A string's characters, or a number's token exactly as sent.
    std::vector<std::string> names;  ///< An object's member names, in order; as many as `items`.
    std::vector<Node> items;         ///< A list's values, or an object's.

    /// The member of an object with this name, or null. Linear: objects are small.
    [[nodiscard]] const Node* member(std::string_view name) const;
};

/// Reads one JSON value that takes up all of `text`.
/// Errors: `malformed_request` with the byte and the reason; `invalid_field` with the pointer of a key that comes twice;
/// `too_large` beyond the limits above.
[[nodiscard]] Result<Node> read_json(std::string_view text);

/// The value as an error message shows it: numbers as sent, text in quotes, both cut after 60 bytes; "a list", "an object".
[[nodiscard]] std::string told(const Node& node);
/// The same of a text: in quotes, and cut where it is long.
[[nodiscard]] std::string quoted_text(std::string_view text);

/// `parent` + "/" + `name`, escaped as RFC 6901 says.
[[nodiscard]] std::string pointer_to(std::string_view parent, std::string_view name);
}  // namespace vramd::api
