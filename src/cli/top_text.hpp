/// Text as a screen has it: which characters stand together, how many columns they take, and what is left of them in fewer.
///
/// Names are anybody's and in any script. A wide character takes two columns, a combining mark none; what would move the cursor or turn the
/// direction of writing is shown as a question mark.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace vramd::cli::top {
/// A character with the marks that combine with it.
struct Glyph {
    std::string text;
    std::size_t columns = 1;  ///< 1 or 2.
};

/// `text` is UTF-8; each byte that is not becomes a question mark.
[[nodiscard]] std::vector<Glyph> glyphs_of(std::string_view text);
/// How many columns it takes.
[[nodiscard]] std::size_t columns_of(std::string_view text);
/// The text in at most so many columns. Of what is longer the first third and the end stay, for names differ at their ends: "If_0…weight".
[[nodiscard]] std::string fitted(std::string_view text, std::size_t columns_max);
/// The same, cut at its end: "Nobody answers at …".
[[nodiscard]] std::string begun(std::string_view text, std::size_t columns_max);
/// In lines of at most so many columns (> 0), broken at spaces where there are any.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view text, std::size_t columns_max);
}  // namespace vramd::cli::top
