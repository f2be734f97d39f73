#include <signal.h>

#include <cerrno>

#include "base/clock.hpp"
#include "cli/interrupt.hpp"
#include "cli/keeper_process.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_upgrade {
constexpr u64 seconds_max = 3600;
constexpr u64 seconds_usual =
    30;  ///< The keeper asks the new binary for 2 s and gives the core 7 s to end; the rest is for what a replay takes.
constexpr u64 look_again_ms = 50;
constexpr u64 answer_ms_max = 1000;

constexpr Argument arguments[] = {
    {"timeout", Takes::value, "Seconds to wait for the next core; 30 unless told"},
};

/// What the daemon says of itself. It has `generation`, or the failure says that this is no vramd.
Told<json::object> system_now(Session& session, std::string& body, u64 wait_ms_max) {
    TRY(http::ClientReply reply, session.ask({.target = "/api/system", .wait_ms_max = wait_ms_max}));
    TRY(const json::value told, parse_document(reply.body));
    if (!told.is_object() || !told.get_object().contains("generation"))
        return std::unexpected(Failure(Exit::failed, "What answers there does not say its generation; it is no vramd."));
    body = std::move(reply.body);
    return told.get_object();
}

Told<u64> seconds_of(const Given& given) {
    if (!given.has("timeout")) return seconds_usual;
    TRY(const u64 seconds, given.number("timeout"));
    if (seconds > 0 && seconds <= seconds_max) return seconds;
    return std::unexpected(Failure(Exit::usage, "timeout: from 1 to " + std::to_string(seconds_max) + " seconds."));
}

Told<void> signal_keeper(pid_t keeper) {
    if (kill(keeper, SIGUSR2) == 0) return {};
    Failure failure(Exit::failed,
                    "The keeper (pid " + std::to_string(keeper) + ") cannot be signalled: " + describe(system_error("kill", errno)) + ".");
    failure.remedy = "as root, or as the user that vramd runs as";
    return std::unexpected(failure);
}

/// The next core's own words. While the old one ends its connections break, and while none runs nobody answers: both mean "not yet".
/// A core that comes while the keeper still runs a file that was replaced is no upgrade: the old one died, or read its configuration anew.
Told<json::object> next_core(Session& session, const std::string& before, pid_t keeper, u64 seconds, std::string& body) {
    const InterruptWatch interrupt;
    const u64 until_ns = monotonic_ns() + seconds * ns_per_second;
    while (!interrupt.came()) {
        const auto now = system_now(session, body, answer_ms_max);
        const bool is_other = now && text_at(*now, "generation") != before;
        if (is_other && what_runs(keeper) != Runs::another_file) return *now;
        if (monotonic_ns() >= until_ns) {
            Failure failure(Exit::timed_out, is_other ? "The keeper still runs the file of before, not the one on disk."
                                                      : "No other core has come within " + std::to_string(seconds) + " s.");
            if (is_other)
                failure.why = "Another core has come, of version " + text_at(*now, "version") + ", but not by an upgrade.";
            else
                failure.why = now ? "The one of before still serves: the keeper did not take the binary on disk, and all is as it was."
                                  : "Nobody answers yet; the memory is the keeper's and stays.";
            failure.remedy = "the daemon's log, which says why (journalctl -u vramd), or a longer --timeout";
            return std::unexpected(failure);
        }
        interrupt.wait(look_again_ms);
    }
    return std::unexpected(Failure(Exit::interrupted, "Interrupted; the keeper goes on with what it was asked."));
}

Told<void> run(Session& session, const Given& given) {
    TRY(const u64 seconds, seconds_of(given));
    std::string body;
    TRY(const json::object before, system_now(session, body, answer_ms_max * seconds));  // With --curl it ends here: the rest is a signal.
    TRY(const std::optional<pid_t> found, keeper_process(session.wishes()));
    if (!found) {
        Failure failure(Exit::usage, "An upgrade is asked of the keeper by a signal, and who that is, only its Unix socket tells.");
        failure.remedy = "on the daemon's own machine, with --socket and its socket";
        return std::unexpected(failure);
    }
    const pid_t keeper = *found;
    const Runs ran = what_runs(keeper);
    TRY_DO(signal_keeper(keeper));
    TRY(const json::object after, next_core(session, text_at(before, "generation"), keeper, seconds, body));
    if (session.wishes().format != Format::table && session.wishes().format != Format::wide) return show_record(session, body, "bootId");
    session.out("The keeper (pid " + std::to_string(keeper) + ") went on with the binary on disk" +
                (ran == Runs::file_on_disk ? ", which it ran before too" : "") + ": vramd " + text_at(before, "version") + " before, " +
                text_at(after, "version") + " now, core " + text_at(after, "generation") + ", all memory kept.\n");
    return {};
}
}  // namespace verb_upgrade

constexpr Verb upgrade_verb = {
    "upgrade",         "Has the keeper go on with the binary now on disk, all memory kept, and waits for its core",
    "GET /api/system", verb_upgrade::arguments,
    verb_upgrade::run, Repeats::no,
    "vramctl upgrade"};
}  // namespace vramd::cli
