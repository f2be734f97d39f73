#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_explain {
constexpr Argument arguments[] = {
    {"what", Takes::required, "An error's code; or the id of an allocation or operation, a device, a model's name", Offers::codes}};

/// Where each kind of thing is told.
struct Kind {
    std::string_view prefix;
    std::string_view path;
    std::string_view name;
};
constexpr Kind kinds[] = {{"alc_", "/api/memory/allocation/", "id"}, {"op_", "/api/operations/", "id"}};

Told<void> explain_code(Session& session, const CodeFacts& facts) {
    if (session.wishes().format != Format::table && session.wishes().format != Format::wide) {
        json::object told;
        told["code"] = json::string_view(facts.name.data(), facts.name.size());
        told["status"] = facts.status;
        told["title"] = json::string_view(facts.title.data(), facts.title.size());
        told["remedy"] = json::string_view(facts.remedy.data(), facts.remedy.size());
        told["retryAfterSeconds"] = facts.retry_after_seconds;
        told["exitCode"] = static_cast<int>(exit_of(facts.code));
        return show_record(session, json::serialize(told), "code");
    }
    std::string text = std::string(facts.name) + ": " + std::string(facts.title) + ".\n  Do: " + std::string(facts.remedy) + "\n  HTTP " +
                       std::to_string(facts.status) + ", vramctl exits with " + std::to_string(static_cast<int>(exit_of(facts.code))) + ".";
    if (facts.retry_after_seconds > 0) text += " Trying again after " + std::to_string(facts.retry_after_seconds) + " s may help.";
    session.out(text + "\n");
    return {};
}

Told<void> run(Session& session, const Given& given) {
    const std::string what = given.text("what");
    if (const auto code = code_named(what)) return explain_code(session, facts_of(*code));
    for (const Kind& kind : kinds) {
        if (!what.starts_with(kind.prefix)) continue;
        TRY(const http::ClientReply reply, session.ask({.target = std::string(kind.path) + http::percent_encoded(what)}));
        return show_record(session, reply.body, kind.name);
    }
    const auto device =
        session.ask({.target = "/api/memory/status/" + http::percent_encoded(what) + "?includeUsageStats=true&includeFragmentation=true"});
    if (device) return show_record(session, device->body, "deviceId");
    if (device.error().exit != Exit::not_found) return std::unexpected(device.error());
    Query query;
    query.add("name", what);
    const auto model = session.ask({.target = "/api/model/info" + query.text()});
    if (model) return show_record(session, model->body, "name");
    if (model.error().exit != Exit::not_found) return std::unexpected(model.error());
    Failure failure(Exit::not_found, "'" + what + "' is no error code, device or model, and no id of an allocation or operation.");
    failure.remedy = "vramctl ps, vramctl models, vramctl devices";
    return std::unexpected(failure);
}
}  // namespace verb_explain

constexpr Verb explain_verb = {"explain",
                               "What a code means, or all there is to say of one thing",
                               "GET of the thing; none for a code",
                               verb_explain::arguments,
                               verb_explain::run,
                               Repeats::no,
                               "vramctl explain insufficient-memory"};
}  // namespace vramd::cli
