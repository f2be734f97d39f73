/// The terminal: frames are drawn on it and keys are read from it, by ncurses, whose only user this is.
///
/// Only what changed since the last frame is written. However this ends, the terminal is left as it was found; one thread.
#pragma once
#include <memory>
#include <optional>

#include "cli/top_frame.hpp"
#include "cli/top_keys.hpp"

namespace vramd::cli::top {
enum class Colors : u8 { none, some };

class Screen {
public:
    /// Takes the terminal behind stdin and stdout over. Errors: `unsupported`, where its TERM is not known here.
    [[nodiscard]] static Result<Screen> open(Colors colors);
    Screen(Screen&&) noexcept = default;
    Screen& operator=(Screen&&) = delete;

    /// As it is now, after a resize too.
    [[nodiscard]] Size size();
    void draw(const Frame& frame);
    /// The next key that was pressed; none where all are read.
    [[nodiscard]] std::optional<Key> key();

private:
    struct Terminal;  ///< Gives the terminal back.
    struct GiveBack {
        void operator()(Terminal* terminal) const;
    };
    Screen() = default;
    std::unique_ptr<Terminal, GiveBack> terminal_;
};
}  // namespace vramd::cli::top
