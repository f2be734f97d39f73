/// The known word that a mistyped one most likely stands for.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace vramd {
/// Of `known` the word that the fewest changes lead to (a letter more, fewer or another, two neighbours swapped); of equals the first.
/// Empty when nothing is known. O(sum of the products of lengths): for words of people, of which both sides are short.
[[nodiscard]] std::string nearest_word(std::string_view word, const std::vector<std::string>& known);
}  // namespace vramd
