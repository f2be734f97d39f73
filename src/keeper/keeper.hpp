/// The keeper: the process that `vramd serve` starts as, and whose life is the memory's life.
///
/// It holds the listening sockets and one descriptor per block, starts the core, restarts it when it dies and gives everything back. It
/// is kept so small that it has nothing to die of: no driver, no parser, no JSON, one thread, one poll loop, fixed-size messages.
///
/// Invariants
/// 1. A descriptor is acknowledged only when it is in the table, and leaves it only by `drop` or with the keeper.
/// 2. At most one core runs: the next is started after the last has been reaped.
/// 3. Whatever the core sends, the keeper lives: a message that is not exactly right ends the core, not the keeper.
/// 4. An upgrade (SIGUSR2) carries every descriptor through exec, or does not happen.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/result.hpp"
#include "keeper/places.hpp"

namespace vramd::keeper {
/// Exit codes of `vramd serve`.
inline constexpr int exit_done = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_refused = 2;  ///< The command line, or another daemon on the same directory or sockets; also a core's own.

/// A keeper asks the binary that it is about to become `PROGRAM --takes-keeper-state-1`; one that can go on exits with `takeover_answer`.
inline constexpr std::string_view takeover_question = "--takes-keeper-state-1";
inline constexpr int takeover_answer = 77;

struct Settings {
    Places places;
    std::string core_program;          ///< Absolute path of `vramd-core`.
    std::string own_program;           ///< Absolute path of the keeper's own binary, as found at start: what an upgrade executes.
    std::span<char* const> arguments;  ///< The whole command line, argv[0] first: passed on to the core and to an upgrade.
    /// What the core gets to end by itself: running transfers have 5 s (contract), and it needs a moment to put them away.
    u64 stop_ns_max = 7 * ns_per_second;
};

/// A descriptor that the service manager kept of a keeper before this one (supervisor.hpp).
struct Stored {
    std::string name;
    Fd descriptor;
};
/// Those that it gave this process, by sd_listen_fds(3)'s convention: close-on-exec from now on, their variables unset. Call once, before
/// anything is executed or opened.
[[nodiscard]] std::vector<Stored> take_given(const Environment& environment);

/// Goes on with the life of `stored`, where that is of the same state directory. Runs until SIGTERM or SIGINT, or until the core ends for
/// good; the answer is the process's exit code. Writes its log to stderr and the ready line to stdout with write(2). Takes over the
/// process's signals. Call once, from a process with one thread.
[[nodiscard]] int run(const Settings& settings, std::vector<Stored> stored = {});
}  // namespace vramd::keeper
