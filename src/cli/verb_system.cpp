#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_system {
Told<void> run(Session& session, const Given&) {
    TRY(const http::ClientReply reply, session.ask({.target = "/api/system"}));
    return show_record(session, reply.body, "bootId");
}
}  // namespace verb_system

constexpr Verb system_verb = {"system", "The daemon and its processes", "GET /api/system", {}, verb_system::run, Repeats::yes};
}  // namespace vramd::cli
