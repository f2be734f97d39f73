/// vramctl top on a terminal, and its one frame for scripts.
#pragma once
#include "cli/top_frame.hpp"

namespace vramd::cli::top {
/// Shows the state, live, until the user quits. Errors: the terminal's; `Exit::interrupted` after Ctrl-C. A signal to end ends the process
/// by it, with the terminal as it was.
[[nodiscard]] Told<void> show_live(Session& session, State state);
/// Asks once and writes one plain frame of the size to stdout. Errors: as of any call.
[[nodiscard]] Told<void> show_once(Session& session, State state, Size size);
}  // namespace vramd::cli::top
