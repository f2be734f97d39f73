/// How vramctl fails: an exit code and at most three lines for a person: what, why with figures, what to do.
///
/// Exit codes (listed by --help): 0 done · 1 failed · 2 usage · 3 not found · 4 refused for memory or limit · 5 daemon unreachable ·
/// 6 timed out · 7 conflict (leased, pinned) · 130 interrupted.
#pragma once
#include <expected>
#include <string>

#include "base/result.hpp"

namespace vramd::cli {
enum class Exit : int {
    done = 0,
    failed = 1,
    usage = 2,
    not_found = 3,
    refused = 4,
    unreachable = 5,
    timed_out = 6,
    conflict = 7,
    interrupted = 130
};

/// The exit code that a problem's code leads to.
[[nodiscard]] Exit exit_of(Code code);

struct Failure {
    Exit exit = Exit::failed;
    std::string what;
    std::string why;     ///< May be empty.
    std::string remedy;  ///< After "Try: "; may be empty.
    std::string body;    ///< The server's problem document, for JSON output; may be empty.

    Failure() = default;
    /// Implicit, so that TRY passes a room's error on.
    Failure(const Error& error);
    Failure(Exit given_exit, std::string given_what) : exit(given_exit), what(std::move(given_what)) {}
};

template <class T>
using Told = std::expected<T, Failure>;

/// A server's answer that is no success, in its own words. `body` need not be a problem document.
[[nodiscard]] Failure failure_of_reply(u16 status, const std::string& body);

/// The lines, each with its end.
[[nodiscard]] std::string lines_of(const Failure& failure);
}  // namespace vramd::cli
