#include "cli/follow.hpp"
#include "cli/model_request.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_load {
constexpr Argument arguments[] = {
    {"path", Takes::required, "A model file: absolute, or relative to a model folder", Offers::model_files},
    {"name", Takes::value, "What to call it; else the file's name without its ending"},
    {"device", Takes::value, "Where; else where it is, or on the device with most room", Offers::devices},
    {"type", Takes::value, "What it does", Offers::words, "unet vae encoder llm lora controlnet other"},
    {"priority", Takes::value, "In which order loads get room", Offers::words, "low normal high critical"},
    {"pinned", Takes::flag, "Never evict it"},
    {"detach", Takes::flag, "Print the operation's id and do not wait"},
};

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
        if (session.wishes().format != Format::table) return show_record(session, reply.body, "id");
        TRY(const json::value body, parse_document(reply.body));
        session.out((body.is_object() ? text_at(body.get_object(), "id") : *location) + "\n");
        return {};
    }
    TRY_DO(follow(session, *location,
                  {"the load of " + name, "the load of " + name + " is cancelled, and its memory is being given back.",
                   name + " was loaded already. vramctl unload " + name + " takes it out."}));
    Query query;
    query.add("name", name);
    TRY(const http::ClientReply model, session.ask({.target = "/api/model/info" + query.text()}));
    return show_record(session, model.body, "name");
}
}  // namespace verb_load

constexpr Verb load_verb = {"load",
                            "Load a model, with its progress",
                            "POST /api/model/load",
                            verb_load::arguments,
                            verb_load::run,
                            Repeats::no,
                            "vramctl load ocr/ch_PP-OCRv4_det_infer.onnx --name detector"};
}  // namespace vramd::cli
