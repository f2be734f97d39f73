/// The picture of a state on a screen of some size: lines of cells with what they mean, which nobody has drawn yet.
///
/// A frame has exactly the lines and columns that it was asked for. Meaning is in the characters; a style only adds to it.
#pragma once
#include "cli/top_state.hpp"

namespace vramd::cli::top {
struct Size {
    std::size_t lines = 24;
    std::size_t columns = 80;
    bool operator==(const Size&) const = default;
};

enum class Style : u8 { plain, strong, heading, chosen, faint, good, warning, bad, ours, zombie, reserved, others };
inline constexpr std::size_t style_count = 12;

struct Cell {
    std::string text = " ";  ///< One glyph; empty for the second column of a wide one.
    Style style = Style::plain;
    bool operator==(const Cell&) const = default;
};

struct Frame {
    Size size;
    std::vector<std::vector<Cell>> lines;
};

/// Where what stands, in lines from the top. What has no room has no lines.
struct Layout {
    std::size_t bars = 0;    ///< How many devices have a bar; they stand from line 1.
    std::size_t legend = 0;  ///< 1: a line that says what a bar's letters mean.
    std::size_t tabs_at = 0;
    std::size_t rows_at = 0;  ///< The line below the heads; details and help begin at `tabs_at`.
    std::size_t rows = 0;
    std::size_t foot_at = 0;
    std::vector<std::string> foot;
};
[[nodiscard]] Layout layout_of(const State& state, Size size);

/// Everything, at the time that is given.
[[nodiscard]] Frame frame_of(const State& state, Size size, double now_seconds);
/// As plain text: a line each, without blanks at the end, and without the empty lines at the end.
[[nodiscard]] std::string text_of(const Frame& frame);

/// How many of `cells` cells each of the five parts has, in the order of `Parts`: they sum to `cells`, and what there is of has one at
/// least where there is room.
[[nodiscard]] std::array<std::size_t, 5> shares_of(const Parts& parts, std::size_t cells);
}  // namespace vramd::cli::top
