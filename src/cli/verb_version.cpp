#include "cli/show.hpp"
#include "cli/verbs.hpp"
#include "cli/version.hpp"

namespace vramd::cli {
namespace verb_version {
Told<void> run(Session& session, const Given&) {
    const auto reply = session.ask({.target = "/api/system"});
    if (!reply && reply.error().exit == Exit::done) return std::unexpected(reply.error());
    std::string daemon;
    if (reply) {
        TRY(const json::value body, parse_document(reply->body));
        if (body.is_object()) daemon = text_at(body.get_object(), "version");
    }
    if (session.wishes().format != Format::table && session.wishes().format != Format::wide) {
        json::object told;
        told["vramctl"] = std::string(own_version());
        if (daemon.empty())
            told["daemon"] = nullptr;
        else
            told["daemon"] = daemon;
        return show_record(session, json::serialize(told), "vramctl");
    }
    session.out("vramctl " + std::string(own_version()) + "\n");
    session.out(daemon.empty() ? "daemon  not reached\n" : "daemon  " + daemon + "\n");
    return {};
}
}  // namespace verb_version

constexpr Verb version_verb = {"version", "The versions of vramctl and of the daemon", "GET /api/system", {}, verb_version::run};
}  // namespace vramd::cli
