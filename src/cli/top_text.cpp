#include "cli/top_text.hpp"

#include <wchar.h>

#include <algorithm>
#include <clocale>

namespace vramd::cli::top {
namespace {
constexpr std::string_view cut_mark = "\xe2\x80\xa6";

/// wcwidth depends on the thread's locale; widths must not depend on whose terminal it is.
int width_of_character(char32_t character) {
    static const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (unicode == nullptr) return character < 0x20 || character == 0x7f ? -1 : 1;
    const locale_t before = uselocale(unicode);
    const int width = wcwidth(static_cast<wchar_t>(character));
    uselocale(before);
    return width;
}

/// Marks that turn the direction of what follows, or break the line.
bool turns_writing(char32_t c) {
    return (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x061c || c == 0xfeff;
}

struct Character {
    char32_t code = 0;
    std::size_t bytes = 0;  ///< 0: no UTF-8.
};

Character first_character(std::string_view text) {
    const u8 first = static_cast<u8>(text[0]);
    if (first < 0x80) return {first, 1};
    const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return {};
    char32_t code = first & (0x7fU >> bytes);
    for (std::size_t i = 1; i < bytes; ++i) {
        const u8 next = static_cast<u8>(text[i]);
        if ((next & 0xc0) != 0x80) return {};
        code = code << 6 | (next & 0x3f);
    }
    return {code, bytes};
}

bool is_plain(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string joined(std::vector<Glyph>::const_iterator from, std::vector<Glyph>::const_iterator to) {
    std::string text;
    for (; from != to; ++from) text += from->text;
    return text;
}

/// How many glyphs from the begin (or, backwards, the end) fit into the columns.
template <class Iterator>
std::size_t glyphs_within(Iterator from, Iterator to, std::size_t columns) {
    std::size_t count = 0;
    for (; from != to && from->columns <= columns; ++from, ++count) columns -= from->columns;
    return count;
}
}  // namespace

std::vector<Glyph> glyphs_of(std::string_view text) {
    std::vector<Glyph> glyphs;
    while (!text.empty()) {
        const Character character = first_character(text);
        const std::size_t bytes = std::max<std::size_t>(character.bytes, 1);
        const int width = character.bytes == 0 || turns_writing(character.code) ? -1 : width_of_character(character.code);
        if (width > 0)
            glyphs.push_back({std::string(text.substr(0, bytes)), static_cast<std::size_t>(width)});
        else if (width < 0)
            glyphs.push_back({"?", 1});
        else if (!glyphs.empty())
            glyphs.back().text += text.substr(0, bytes);
        text.remove_prefix(bytes);
    }
    return glyphs;
}

std::size_t columns_of(std::string_view text) {
    if (is_plain(text)) return text.size();
    std::size_t columns = 0;
    for (const Glyph& glyph : glyphs_of(text)) columns += glyph.columns;
    return columns;
}

std::string fitted(std::string_view text, std::size_t columns_max) {
    if (columns_of(text) <= columns_max) return std::string(text);
    if (columns_max < 4) return begun(text, columns_max);
    const std::vector<Glyph> glyphs = glyphs_of(text);
    const auto front = static_cast<std::ptrdiff_t>(glyphs_within(glyphs.begin(), glyphs.end(), (columns_max - 1) / 3));
    const std::string head = joined(glyphs.begin(), glyphs.begin() + front);
    const std::size_t left = columns_max - 1 - columns_of(head);
    const auto back = static_cast<std::ptrdiff_t>(glyphs_within(glyphs.rbegin(), glyphs.rend(), left));
    return head + std::string(cut_mark) + joined(glyphs.end() - back, glyphs.end());
}

std::string begun(std::string_view text, std::size_t columns_max) {
    if (columns_of(text) <= columns_max) return std::string(text);
    if (columns_max == 0) return {};
    const std::vector<Glyph> glyphs = glyphs_of(text);
    const auto front = static_cast<std::ptrdiff_t>(glyphs_within(glyphs.begin(), glyphs.end(), columns_max - 1));
    return joined(glyphs.begin(), glyphs.begin() + front) + std::string(cut_mark);
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns_max) {
    std::vector<std::string> lines;
    std::vector<Glyph> glyphs = glyphs_of(text);
    while (!glyphs.empty()) {
        std::size_t count = std::max<std::size_t>(glyphs_within(glyphs.begin(), glyphs.end(), columns_max), 1);
        std::size_t next = count;
        if (count < glyphs.size()) {
            std::size_t space = count;
            while (space > 0 && glyphs[space].text != " ") --space;
            if (space > 0) count = space, next = space + 1;
        }
        lines.push_back(joined(glyphs.begin(), glyphs.begin() + static_cast<std::ptrdiff_t>(count)));
        glyphs.erase(glyphs.begin(), glyphs.begin() + static_cast<std::ptrdiff_t>(next));
    }
    if (lines.empty()) lines.emplace_back();
    return lines;
}
}  // namespace vramd::cli::top
