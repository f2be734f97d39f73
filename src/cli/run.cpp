#include "cli/run.hpp"

#include <cstdio>

#include "cli/command_line.hpp"
#include "cli/completion.hpp"
#include "cli/interrupt.hpp"

namespace vramd::cli {
namespace {
/// Tells a failure on stderr; in JSON modes as the server told it.
int ended(const Session& session, const Failure& failure) {
    const bool unchanged = session.wants_json() && !failure.body.empty();
    const std::string lines = unchanged ? failure.body + (failure.body.ends_with('\n') ? "" : "\n") : lines_of(failure);
    std::fflush(stdout);
    std::fputs(lines.c_str(), stderr);
    return static_cast<int>(failure.exit);
}

int repeat(Session& session, const Command& command) {
    const InterruptWatch interrupt;
    const auto pause_ms = static_cast<u64>(*command.wishes.watch_seconds * 1000);
    while (!interrupt.came()) {
        if (session.has_screen() && !session.wants_json()) session.out("\x1b[H\x1b[2J");  // Only a terminal has a screen to clear.
        const auto told = command.verb->run(session, command.given);
        std::fflush(stdout);
        if (!told) return ended(session, told.error());
        interrupt.wait(pause_ms);
    }
    return static_cast<int>(Exit::interrupted);
}
}  // namespace

int run(int argc, const char* const* argv) {
    if (argc >= 2 && std::string_view(argv[1]) == "__complete") {
        complete({argv + 2, argv + argc});
        return 0;
    }
    if (argc == 2 && std::string_view(argv[1]) == "__describe") {
        std::puts(describe_command_line().c_str());
        return 0;
    }
    auto read = read_command_line(argc, argv);
    if (const Ended* end = std::get_if<Ended>(&read)) return static_cast<int>(end->exit);
    Command& command = std::get<Command>(read);
    // Watched JSON is a stream: one body a line.
    if (command.wishes.watch_seconds && command.wishes.format == Format::json) command.wishes.format = Format::jsonl;
    Session session(command.wishes);
    if (command.wishes.watch_seconds) return repeat(session, command);
    const auto told = command.verb->run(session, command.given);
    if (!told) return ended(session, told.error());
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        std::fputs("vramctl: not all output could be written.\n", stderr);
        return static_cast<int>(Exit::failed);
    }
    return static_cast<int>(Exit::done);
}
}  // namespace vramd::cli
