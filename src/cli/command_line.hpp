/// The command line, made from the verbs' descriptions.
#pragma once
#include <variant>

#include "cli/session.hpp"
#include "cli/verb.hpp"

namespace vramd::cli {
/// What the user wants done.
struct Command {
    const Verb* verb = nullptr;
    Given given;
    Wishes wishes;
};
/// Nothing to do but to end: help was printed, or a usage error told.
struct Ended {
    Exit exit = Exit::done;
};

/// Reads argv. Prints help on stdout, usage errors on stderr.
[[nodiscard]] std::variant<Command, Ended> read_command_line(int argc, const char* const* argv);
/// The command line itself, as JSON: every option and every verb as --help tells them. The manual is made from it.
[[nodiscard]] std::string describe_command_line();
}  // namespace vramd::cli
