#include "base/nearest.hpp"

#include <doctest/doctest.h>

using vramd::nearest_word;

TEST_CASE("a mistyped word leads to the known one that the fewest changes make of it") {
    const std::vector<std::string> known = {"serve", "status", "stop", "transfers", "config"};
    CHECK(nearest_word("statsu", known) == "status");
    CHECK(nearest_word("sttaus", known) == "status");
    CHECK(nearest_word("sreve", known) == "serve");
    CHECK(nearest_word("transfer", known) == "transfers");
    CHECK(nearest_word("confiig", known) == "config");
    CHECK(nearest_word("STOP", {"stop"}) == "stop");
}

TEST_CASE("of words that are equally near the first is named, and of none none") {
    CHECK(nearest_word("b", {"a", "c"}) == "a");
    CHECK(nearest_word("", {"abc", "ab"}) == "ab");
    CHECK(nearest_word("abc", {""}) == "");
    CHECK(nearest_word("x", {}).empty());
}

TEST_CASE("two neighbours swapped are one change, not two") {
    // "ab" -> "ba" by one swap; "ab" -> "cb" by one letter: the first of equals wins, so the swap must count as one.
    CHECK(nearest_word("ab", {"ba", "cb"}) == "ba");
    CHECK(nearest_word("ab", {"cd", "ba"}) == "ba");
}
