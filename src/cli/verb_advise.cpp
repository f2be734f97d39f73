#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_advise {
constexpr Column columns[] = {
    {"ACTION", "action"},
    {"DEVICE", "deviceId"},
    {"FREES", "freedBytes", As::size},
    {"PRESSURE", "before.pressurePercentage", As::percentage},
    {"THEN", "after.pressurePercentage", As::percentage},
    {"CALL", "call.method"},
    {"", "call.path"},
    {"REASON", "reason"},
    {"LARGEST FREE", "before.largestFreeBytes", As::size, Shown::wide},
    {"THEN", "after.largestFreeBytes", As::size, Shown::wide},
};

Told<void> run(Session& session, const Given&) {
    TRY(const http::ClientReply reply, session.ask({.target = "/api/memory/optimization"}));
    return show_items(session, reply.body, {columns, "action", "recommendations", "Nothing would help: there is nothing to gain."});
}
}  // namespace verb_advise

constexpr Verb advise_verb = {
    "advise", "What would help, most first, each tried on a copy", "GET /api/memory/optimization", {}, verb_advise::run, Repeats::yes};
}  // namespace vramd::cli
