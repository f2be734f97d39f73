#include <filesystem>

#include "cli/interrupt.hpp"
#include "cli/progress.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace {
constexpr Argument arguments[] = {
    {"path", Takes::required, "A model file: absolute, or relative to a model folder", Offers::model_files},
    {"name", Takes::value, "What to call it; else the file's name without its ending"},
    {"device", Takes::value, "Where; else on the host device with most room", Offers::devices},
    {"type", Takes::value, "What it does", Offers::words, "unet vae encoder llm lora controlnet other"},
    {"priority", Takes::value, "In which order loads get room", Offers::words, "low normal high critical"},
    {"pinned", Takes::flag, "Never evict it"},
    {"detach", Takes::flag, "Print the operation's id and do not wait"},
};
constexpr u64 poll_ms = 50;

std::string name_of_file(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
    if (name.ends_with(".index.json")) name.remove_suffix(std::string_view(".index.json").size());
    const std::size_t dot = name.rfind('.');
    return std::string(dot == std::string_view::npos || dot == 0 ? name : name.substr(0, dot));
}

/// "./x" and "../x" are meant from where the user stands, not from the model folder.
std::string path_for_daemon(const std::string& path) {
    if (!path.starts_with("./") && !path.starts_with("../")) return path;
    std::error_code failed;
    const auto absolute = std::filesystem::canonical(path, failed);
    return failed ? path : absolute.string();
}

json::object request_of(const Given& given, const std::string& name) {
    json::object request;
    request["name"] = name;
    request["path"] = path_for_daemon(given.text("path"));
    request["type"] = given.has("type") ? given.text("type") : "other";
    if (given.has("device")) request["deviceId"] = given.text("device");
    if (given.has("priority")) request["priority"] = given.text("priority");
    if (given.has("pinned")) request["pinned"] = true;
    return request;
}

/// Asks the daemon to cancel, and says what is left.
Failure cancelled(Session& session, const std::string& target, const std::string& name) {
    Failure failure(Exit::interrupted, "Interrupted; the load of " + name + " is cancelled, and its memory is being given back.");
    const auto reply = session.ask({.method = "DELETE", .target = target});
    if (!reply) {
        failure.what = "Interrupted; the load of " + name + " goes on, for it could not be cancelled.";
        failure.why = reply.error().what;
        return failure;
    }
    const auto body = parse_document(reply->body);
    if (body && body->is_object() && text_at(body->get_object(), "state") == "succeeded")
        failure.what = "Interrupted, but " + name + " was loaded already. vramctl unload " + name + " takes it out.";
    return failure;
}

/// What a failed operation says: its problem, as if the call itself had failed.
Failure failure_of_operation(const json::object& operation) {
    const json::value* const problem = operation.if_contains("problem");
    if (problem != nullptr && problem->is_object()) return failure_of_reply(0, json::serialize(*problem));
    return Failure(Exit::failed, "The load ended as " + text_at(operation, "state") + ".");
}

Told<void> follow(Session& session, const std::string& target, const std::string& name) {
    const InterruptWatch interrupt;
    Progress progress;
    for (;;) {
        if (interrupt.came()) {
            progress.clear();
            return std::unexpected(cancelled(session, target, name));
        }
        TRY(const http::ClientReply reply, session.ask({.target = target}));
        TRY(const json::value body, parse_document(reply.body));
        const json::object* const operation = body.if_object();
        if (operation == nullptr) return std::unexpected(Failure(Exit::failed, "The server's answer is not an operation."));
        const std::string state = text_at(*operation, "state");
        Step step{text_at(*operation, "stage"), number_at(*operation, "doneBytes").value_or(0),
                  number_at(*operation, "totalBytes").value_or(0), number_at(*operation, "bytesPerSecond"), real_at(*operation, "etaMs")};
        if (state == "succeeded") step.stage = "done";
        progress.show(step);
        if (state == "succeeded") return {};
        if (state != "running") {
            progress.clear();
            return std::unexpected(failure_of_operation(*operation));
        }
        interrupt.wait(poll_ms);
    }
}

Told<void> run(Session& session, const Given& given) {
    const std::string name = given.has("name") ? given.text("name") : name_of_file(given.text("path"));
    json::object request = request_of(given, name);
    // A script reads one answer, as the API gives it; a person watches it coming.
    const bool waits_there = (session.wants_json() || session.wishes().asks == Asks::for_curl) && !given.has("detach");
    request["waitForCompletion"] = waits_there;
    TRY(const http::ClientReply reply,
        session.ask({.method = "POST", .target = "/api/model/load", .body = json::serialize(request), .wait_ms_max = 3'600'000}));
    const std::string* const location = reply.headers.find("Location");
    if (reply.status != 202 || location == nullptr) return show_record(session, reply.body, "name");
    if (given.has("detach")) {
        if (session.wants_json()) return show_record(session, reply.body, "id");
        TRY(const json::value body, parse_document(reply.body));
        session.out((body.is_object() ? text_at(body.get_object(), "id") : *location) + "\n");
        return {};
    }
    TRY_DO(follow(session, *location, name));
    Query query;
    query.add("name", name);
    TRY(const http::ClientReply model, session.ask({.target = "/api/model/info" + query.text()}));
    return show_record(session, model.body, "name");
}
}  // namespace

constexpr Verb load_verb = {"load",
                            "Load a model, with its progress",
                            "POST /api/model/load",
                            arguments,
                            run,
                            Repeats::no,
                            "vramctl load ocr/ch_PP-OCRv4_det_infer.onnx --name detector"};
}  // namespace vramd::cli
