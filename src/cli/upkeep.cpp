#include "cli/upkeep.hpp"

#include "cli/follow.hpp"
#include "cli/show.hpp"

namespace vramd::cli {
json::array words_of(std::string_view text) {
    json::array words;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find_first_of(", "), text.size());
        if (end > 0) words.emplace_back(json::string(text.data(), end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

Told<void> run_upkeep(Session& session, const Given& given, const UpkeepCall& call, json::object request) {
    if (given.has("time-limit")) {
        TRY(request["timeLimitMs"], given.number("time-limit"));
    }
    const bool dry_run = given.has("dry-run");
    if (dry_run) request["dryRun"] = true;
    // A script reads one answer, as the API gives it; a person watches it coming.
    const bool waits_there = (session.wants_json() || session.wishes().asks == Asks::for_curl) && !given.has("detach");
    if (!dry_run) request["waitForCompletion"] = waits_there;
    std::string target(call.path);
    if (given.has("device")) target += "/" + given.text("device");
    TRY(const http::ClientReply reply,
        session.ask({.method = "POST", .target = target, .body = json::serialize(request), .wait_ms_max = 3'600'000}));
    const std::string* const location = reply.headers.find("Location");
    if (reply.status != 202 || location == nullptr) return show_record(session, reply.body, "devices.deviceId");
    if (given.has("detach")) {
        if (session.wishes().format != Format::table) return show_record(session, reply.body, "id");
        TRY(const json::value body, parse_document(reply.body));
        session.out((body.is_object() ? text_at(body.get_object(), "id") : *location) + "\n");
        return {};
    }
    const std::string what(call.what);
    TRY(const json::object operation,
        follow(session, *location, {what, what + " is cancelled; what was moved stays where it is.", what + " was done already."}));
    const json::value* const result = operation.if_contains(call.result);
    return show_record(session, exact_text(result != nullptr ? *result : json::value(operation)), "devices.deviceId");
}
}  // namespace vramd::cli
