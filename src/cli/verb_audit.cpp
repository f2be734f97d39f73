#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_audit {
Told<void> run(Session& session, const Given&) {
    TRY(const http::ClientReply reply, session.ask({.target = "/api/audit"}));
    TRY_DO(show_record(session, reply.body, "stateHash"));
    TRY(const json::value body, parse_document(reply.body));
    if (body.is_object() && text_at(body.get_object(), "ok") == "yes") return {};
    return std::unexpected(Failure(Exit::failed, "The books do not agree; the findings above say where."));
}
}  // namespace verb_audit

constexpr Verb audit_verb = {"audit", "Do all books agree? Ends with 1 if not", "GET /api/audit", {}, verb_audit::run, Repeats::yes};
}  // namespace vramd::cli
