#include "cli/follow.hpp"

#include "cli/interrupt.hpp"
#include "cli/progress.hpp"

namespace vramd::cli {
namespace {
constexpr u64 poll_ms = 50;

/// Asks the daemon to cancel, and says what is left.
Failure cancelled(Session& session, const std::string& target, const Followed& followed) {
    Failure failure(Exit::interrupted, "Interrupted; " + followed.cancelled);
    const auto reply = session.ask({.method = "DELETE", .target = target});
    if (!reply) {
        failure.what = "Interrupted; " + followed.what + " goes on, for it could not be cancelled.";
        failure.why = reply.error().what;
        return failure;
    }
    const auto body = parse_document(reply->body);
    if (body && body->is_object() && text_at(body->get_object(), "state") == "succeeded")
        failure.what = "Interrupted, but " + followed.finished;
    return failure;
}

/// What a failed operation says: its problem, as if the call itself had failed.
Failure failure_of_operation(const json::object& operation, const Followed& followed) {
    const json::value* const problem = operation.if_contains("problem");
    if (problem != nullptr && problem->is_object()) return failure_of_reply(0, json::serialize(*problem));
    return Failure(Exit::failed, "It ended as " + text_at(operation, "state") + ": " + followed.what + ".");
}
}  // namespace

Told<json::object> follow(Session& session, const std::string& target, const Followed& followed) {
    const InterruptWatch interrupt;
    Progress progress;
    for (;;) {
        if (interrupt.came()) {
            progress.clear();
            return std::unexpected(cancelled(session, target, followed));
        }
        TRY(const http::ClientReply reply, session.ask({.target = target}));
        TRY(json::value body, parse_document(reply.body));
        json::object* const operation = body.if_object();
        if (operation == nullptr) return std::unexpected(Failure(Exit::failed, "The server's answer is not an operation."));
        const std::string state = text_at(*operation, "state");
        Step step{text_at(*operation, "stage"), number_at(*operation, "doneBytes").value_or(0),
                  number_at(*operation, "totalBytes").value_or(0), number_at(*operation, "bytesPerSecond"), real_at(*operation, "etaMs")};
        if (state == "succeeded") step.stage = "done";
        progress.show(step);
        if (state == "succeeded") return std::move(*operation);
        if (state != "running") {
            progress.clear();
            return std::unexpected(failure_of_operation(*operation, followed));
        }
        interrupt.wait(poll_ms);
    }
}
}  // namespace vramd::cli
