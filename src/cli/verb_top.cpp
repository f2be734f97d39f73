#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "cli/top_loop.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_top {
constexpr Argument arguments[] = {
    {"tab", Takes::value, "Which rows at first; else processes", Offers::words, "devices processes models transfers events"},
    {"sort", Takes::value, "By which columns, as size,owner; -size: the other way round"},
    {"filter", Takes::value, "Only rows that have this text"},
    {"once", Takes::flag, "Write one plain frame and end; COLUMNS and LINES give its size, else 80 and 24"},
};
constexpr std::size_t side_max = 10'000;

std::size_t side(const char* variable, std::size_t otherwise) {
    const char* const text = std::getenv(variable);
    if (text == nullptr) return otherwise;
    const std::string_view word(text);
    std::size_t number = 0;
    const auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), number);
    return failed == std::errc{} && end == word.data() + word.size() && number > 0 && number <= side_max ? number : otherwise;
}

std::string where_of(const Wishes& wishes) {
    const auto places = places_of_daemon(wishes);
    if (!places || places->empty()) return {};
    for (const http::Address& place : *places) {
        if (place.door == http::Door::tcp) return "http://" + place.host + ":" + std::to_string(place.port);
        if (access(place.socket_path.c_str(), F_OK) == 0 || places->size() == 1) return "unix:" + place.socket_path;
    }
    return {};
}

Told<void> run(Session& session, const Given& given) {
    top::State state;
    state.where = where_of(session.wishes());
    state.sizes = session.wishes().sizes;
    state.tab = top::tab_named(given.text("tab")).value_or(top::Tab::processes);
    state.table().filter = given.text("filter");
    TRY_DO(top::sort_by(state, given.text("sort")));
    if (session.wishes().asks == Asks::for_curl) {
        for (const std::string_view target : {top::facts_of(top::Tab::devices).target, top::facts_of(state.tab).target})
            if (!target.empty()) (void)session.ask({.target = std::string(target)});  // It prints the call, and fails with no words.
        TRY_DO(session.ask({.target = "/api/events"}));
        return {};
    }
    const bool on_screen = session.has_screen() && isatty(STDIN_FILENO) == 1;
    if (given.has("once") || !on_screen) return top::show_once(session, std::move(state), {side("LINES", 24), side("COLUMNS", 80)});
    return top::show_live(session, std::move(state));
}
}  // namespace verb_top

constexpr Verb top_verb = {"top",
                           "Devices, memory, models and what happens, live",
                           "GET /api/memory/status, /api/memory/allocations, /api/model/status, /api/memory/transfers, /api/events",
                           verb_top::arguments,
                           verb_top::run,
                           Repeats::no,
                           "vramctl top --tab models --sort size",
                           Shows::what_it_is};
}  // namespace vramd::cli
