#include "cli/top_text.hpp"

#include <doctest/doctest.h>

namespace vramd::cli::top {
TEST_CASE("a name in any script takes the columns that a terminal gives it") {
    CHECK(columns_of("silero_vad") == 10);
    CHECK(columns_of("模型") == 4);
    CHECK(columns_of("модель") == 6);
    CHECK(columns_of("e\xcc\x81t\xc3\xa9") == 3);  // é as letter and mark, and as one.
    CHECK(columns_of("모델😀") == 6);
    CHECK(columns_of("") == 0);
    CHECK(glyphs_of("e\xcc\x81x").size() == 2);
}

TEST_CASE("what would move the cursor or turn the writing is a question mark") {
    CHECK(fitted("a\x1b[2Jb", 80) == "a\x1b[2Jb");  // Cut it is not; its glyphs are what is drawn.
    std::string drawn;
    for (const Glyph& glyph : glyphs_of("a\x1b[\xc2\x9b\xe2\x80\xae\xff\xe4\xb8z")) drawn += glyph.text;
    CHECK(drawn == "a?[?????z");
}

TEST_CASE("a text that is too long keeps its begin and its end within the columns") {
    CHECK(fitted("abcdefghij", 10) == "abcdefghij");
    CHECK(fitted("abcdefghij", 7) == "ab\xe2\x80\xa6ghij");
    CHECK(fitted("模型模型模型", 7) == "模\xe2\x80\xa6模型");
    CHECK(fitted("模型", 3) == "模\xe2\x80\xa6");
    CHECK(fitted("模型", 1) == "\xe2\x80\xa6");
    CHECK(begun("abcdef", 4) == "abc\xe2\x80\xa6");
    CHECK(begun("abcdef", 0).empty());
    for (std::size_t columns = 0; columns < 14; ++columns) CHECK(columns_of(fitted("a模b型c模d型", columns)) <= columns);
}

TEST_CASE("a question is broken at its spaces, and a word that is too long anywhere") {
    CHECK(wrapped("Free it now?", 8) == std::vector<std::string>{"Free it", "now?"});
    CHECK(wrapped("abcdefgh", 3) == std::vector<std::string>{"abc", "def", "gh"});
    CHECK(wrapped("模型模型", 3) == std::vector<std::string>{"模", "型", "模", "型"});
    CHECK(wrapped("", 3) == std::vector<std::string>{""});
    CHECK(wrapped("ab cd", 5) == std::vector<std::string>{"ab cd"});
}
}  // namespace vramd::cli::top
