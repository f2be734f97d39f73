#include "cli/model_columns.hpp"
#include "cli/model_request.hpp"
#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_cache {
constexpr Argument arguments[] = {
    {"add", Takes::value, "Bring this model file in, on no device", Offers::model_files},
    {"name", Takes::value, "What to call it; else the file's name without its ending"},
    {"drop", Takes::value, "Give up this model's copy", Offers::models},
    {"empty", Takes::flag, "Give up every copy that nobody uses or has loaded"},
};

Told<void> add(Session& session, const Given& given) {
    const std::string path = given.text("add");
    json::object request;
    request["name"] = given.has("name") ? given.text("name") : name_of_file(path);
    request["path"] = path_for_daemon(path);
    request["type"] = "other";
    TRY(const http::ClientReply reply,
        session.ask({.method = "POST", .target = "/api/model/cache", .body = json::serialize(request), .wait_ms_max = 3'600'000}));
    return show_record(session, reply.body, "name");
}

Told<void> run(Session& session, const Given& given) {
    const int changes = (given.has("add") ? 1 : 0) + (given.has("drop") ? 1 : 0) + (given.has("empty") ? 1 : 0);
    if (changes > 0 && session.wishes().watch_seconds)
        return std::unexpected(Failure(Exit::usage, "cache with --add, --drop or --empty changes things: --watch does not apply."));
    if (changes > 1) return std::unexpected(Failure(Exit::usage, "Of --add, --drop and --empty one at a time can be given."));
    if (given.has("add")) return add(session, given);
    if (changes == 0) return show_list(session, "/api/model/cache", {}, {model_columns, "name", "items", "The RAM cache is empty."});
    const std::string target = "/api/model/cache" + (given.has("drop") ? "/" + http::percent_encoded(given.text("drop")) : "");
    TRY(const http::ClientReply reply, session.ask({.method = "DELETE", .target = target}));
    if (given.has("drop")) return show_done(session, reply.body, given.text("drop"));
    return show_record(session, reply.body, "deviceAfter.deviceId");
}
}  // namespace verb_cache

constexpr Verb cache_verb = {"cache",
                             "What the RAM cache holds; add to it, or take from it",
                             "GET, POST, DELETE /api/model/cache[/{name}]",
                             verb_cache::arguments,
                             verb_cache::run,
                             Repeats::yes,
                             "vramctl cache --add silero_vad.onnx --name vad"};
}  // namespace vramd::cli
