#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_free {
constexpr Argument arguments[] = {
    {"id", Takes::many, "Allocations to give back", Offers::allocations},
    {"force", Takes::flag, "Wait for whoever reads or writes it, and leave it to who has it attached, instead of being refused"},
};

Told<void> run(Session& session, const Given& given) {
    Query query;
    if (given.has("force")) query.add("force", "true");
    for (const std::string& id : given.all("id")) {
        const auto reply =
            session.ask({.method = "DELETE", .target = "/api/memory/allocations/" + http::percent_encoded(id) + query.text()});
        if (!reply && reply.error().exit == Exit::done) continue;  // --curl: one command for each.
        if (!reply) return std::unexpected(reply.error());
        if (session.wishes().format != Format::table) {
            TRY_DO(show_done(session, reply->body, id));
            continue;
        }
        TRY(const json::value body, parse_document(reply->body));
        const json::object* const freed = body.if_object();
        if (freed == nullptr) return std::unexpected(Failure(Exit::failed, "The server's answer is not an object."));
        session.out(id + "  " + text_at(*freed, "status") + "  " + session.size(number_at(*freed, "freedBytes").value_or(0)) + "\n");
    }
    return {};
}
}  // namespace verb_free

constexpr Verb free_verb = {"free",         "Give memory back", "DELETE /api/memory/allocations/{id}", verb_free::arguments,
                            verb_free::run, Repeats::no,        "vramctl free alc_0q3xw8c5k2mznd1"};
}  // namespace vramd::cli
