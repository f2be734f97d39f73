#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_unload {
constexpr Argument arguments[] = {
    {"model", Takes::required, "A loaded model's name", Offers::models},
    {"device", Takes::value, "From this device only", Offers::devices},
    {"drop-cached", Takes::flag, "Give its bytes back where the RAM cache would keep them"},
};

Told<void> run(Session& session, const Given& given) {
    Query query;
    query.add("name", given.text("model"));
    if (given.has("drop-cached")) query.add("keepCached", "false");
    const std::string device = given.text("device");
    const std::string target = "/api/model/unload" + (device.empty() ? "" : "/" + http::percent_encoded(device)) + query.text();
    TRY(const http::ClientReply reply, session.ask({.method = "DELETE", .target = target}));
    return show_done(session, reply.body, given.text("model"));
}
}  // namespace verb_unload

constexpr Verb unload_verb = {"unload",
                              "Take a model off its devices; the RAM cache may keep it",
                              "DELETE /api/model/unload[/{device}]",
                              verb_unload::arguments,
                              verb_unload::run,
                              Repeats::no,
                              "vramctl unload detector"};
}  // namespace vramd::cli
