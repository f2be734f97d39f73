/// What each key of vramctl top does to its state. Keys are those of top and htop where these agree.
#pragma once
#include "cli/top_state.hpp"

namespace vramd::cli::top {
struct Key {
    enum class Name : u8 { text, up, down, left, right, page_up, page_down, home, end, enter, escape, backspace, tab, back_tab, function };
    Name name = Name::text;
    std::string text = {};  ///< Of `text` the character in UTF-8, of `function` its number.
};

/// Changes the state as the key says. `page_rows` is how many rows the screen shows. Returns what is left to be done by the caller.
[[nodiscard]] Wish press(State& state, const Key& key, std::size_t page_rows, double now_seconds);

/// The help page's lines, and the keys in one line.
[[nodiscard]] std::span<const std::string_view> help_lines();
inline constexpr std::string_view keys_line = "q quit  ? help  1-5 tab  / filter  <> sort  Enter look  u unload  K end  p pause";
}  // namespace vramd::cli::top
