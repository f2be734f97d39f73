#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include "cli/top_screen.hpp"

#include <langinfo.h>
#include <ncurses.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <string>

namespace vramd::cli::top {
namespace {
constexpr int escape_wait_ms = 25;  ///< A key's sequence comes at once; a person's Escape comes alone.

/// ncurses writes wide characters by the locale's encoding. Where that is none, the names are told in UTF-8 all the same, as all other
/// verbs do.
void take_locale() {
    std::setlocale(LC_CTYPE, "");
    if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

short pair_of(Style style) { return static_cast<short>(static_cast<int>(style) + 1); }

void take_colors() {
    start_color();
    use_default_colors();
    const auto give = [](Style style, short color) { init_pair(pair_of(style), color, -1); };
    for (std::size_t i = 0; i < style_count; ++i) give(static_cast<Style>(i), -1);
    give(Style::good, COLOR_GREEN);
    give(Style::warning, COLOR_YELLOW);
    give(Style::bad, COLOR_RED);
    give(Style::ours, COLOR_GREEN);
    give(Style::zombie, COLOR_RED);
    give(Style::reserved, COLOR_BLUE);
    give(Style::others, COLOR_YELLOW);
}

attr_t attributes_of(Style style) {
    switch (style) {
        case Style::chosen:
            return A_REVERSE;
        case Style::strong:
        case Style::heading:
        case Style::bad:
            return A_BOLD;
        case Style::faint:
            return A_DIM;
        default:
            return A_NORMAL;
    }
}

std::string utf8_of(wint_t character) {
    char bytes[MB_LEN_MAX];
    std::mbstate_t shift{};
    const std::size_t size = std::wcrtomb(bytes, static_cast<wchar_t>(character), &shift);
    return size == static_cast<std::size_t>(-1) ? std::string() : std::string(bytes, size);
}

std::optional<Key> function_key(wint_t code) {
    switch (code) {
        case KEY_UP:
            return Key{Key::Name::up};
        case KEY_DOWN:
            return Key{Key::Name::down};
        case KEY_LEFT:
            return Key{Key::Name::left};
        case KEY_RIGHT:
            return Key{Key::Name::right};
        case KEY_PPAGE:
            return Key{Key::Name::page_up};
        case KEY_NPAGE:
            return Key{Key::Name::page_down};
        case KEY_HOME:
            return Key{Key::Name::home};
        case KEY_END:
            return Key{Key::Name::end};
        case KEY_ENTER:
            return Key{Key::Name::enter};
        case KEY_BACKSPACE:
            return Key{Key::Name::backspace};
        case KEY_BTAB:
            return Key{Key::Name::back_tab};
        default:
            break;
    }
    if (code > KEY_F(0) && code <= KEY_F(12)) return Key{Key::Name::function, std::to_string(code - KEY_F(0))};
    return std::nullopt;
}

std::optional<Key> letter_key(wint_t character) {
    switch (character) {
        case L'\r':
        case L'\n':
            return Key{Key::Name::enter};
        case L'\t':
            return Key{Key::Name::tab};
        case 0x1b:
            return Key{Key::Name::escape};
        case 0x7f:
        case L'\b':
            return Key{Key::Name::backspace};
        default:
            if (character < 0x20) return std::nullopt;
            return Key{Key::Name::text, utf8_of(character)};
    }
}
}  // namespace

struct Screen::Terminal {
    SCREEN* screen = nullptr;
    bool colored = false;
};

void Screen::GiveBack::operator()(Terminal* terminal) const {
    endwin();
    delscreen(terminal->screen);
    std::unique_ptr<Terminal> ended(terminal);
}

Result<Screen> Screen::open(Colors colors) {
    take_locale();
    const char* const name = std::getenv("TERM");
    SCREEN* const screen = name == nullptr || *name == '\0' ? nullptr : newterm(nullptr, stdout, stdin);
    if (screen == nullptr)
        return refuse(
            Code::unsupported, "TERM",
            "The terminal '" + std::string(name == nullptr ? "" : name) + "' (TERM) is not known here; vramctl top --once needs none.");
    Screen opened;
    opened.terminal_.reset(std::make_unique<Terminal>(Terminal{screen, false}).release());
    set_escdelay(escape_wait_ms);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, true);
    nodelay(stdscr, true);
    curs_set(0);
    if (colors == Colors::some && has_colors()) {
        take_colors();
        opened.terminal_->colored = true;
    }
    (void)opened.size();
    return opened;
}

Size Screen::size() {
    winsize now{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) == 0 && now.ws_row > 0 && now.ws_col > 0 && (now.ws_row != LINES || now.ws_col != COLS)) {
        resizeterm(now.ws_row, now.ws_col);
        clearok(curscr, true);  // Terminals wrap and cut what they had: nothing of it is relied on.
    }
    return {static_cast<std::size_t>(LINES), static_cast<std::size_t>(COLS)};
}

void Screen::draw(const Frame& frame) {
    werase(stdscr);
    for (std::size_t line = 0; line < frame.lines.size(); ++line) {
        const std::vector<Cell>& cells = frame.lines[line];
        for (std::size_t from = 0; from < cells.size();) {
            const Style style = cells[from].style;
            std::string text;
            std::size_t to = from;
            for (; to < cells.size() && cells[to].style == style; ++to) text += cells[to].text;
            wattr_set(stdscr, attributes_of(style), terminal_->colored ? pair_of(style) : short{0}, nullptr);
            mvwaddstr(stdscr, static_cast<int>(line), static_cast<int>(from), text.c_str());
            from = to;
        }
    }
    wattr_set(stdscr, A_NORMAL, 0, nullptr);
    wmove(stdscr, static_cast<int>(frame.size.lines) - 1, 0);
    wrefresh(stdscr);
}

std::optional<Key> Screen::key() {
    wint_t character = 0;
    for (;;) {
        const int got = wget_wch(stdscr, &character);
        if (got == ERR) return std::nullopt;
        if (got == OK && character == 0x0c) {  // Ctrl-L.
            clearok(curscr, true);
            continue;
        }
        const std::optional<Key> key = got == KEY_CODE_YES ? function_key(character) : letter_key(character);
        if (key) return key;
    }
}
}  // namespace vramd::cli::top
