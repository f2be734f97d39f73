#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_clear {
constexpr Argument arguments[] = {
    {"what", Takes::required, "An allocation; or a device, whose free memory is meant", Offers::allocations},
    {"fill", Takes::value, "With which byte, 0 to 255 (0)"},
    {"offset", Takes::value, "Where in the allocation to begin"},
    {"size", Takes::value, "How much; else to its end"},
};

Told<void> run(Session& session, const Given& given) {
    json::object request;
    const std::string what = given.text("what");
    request[what.starts_with("alc_") ? "allocationId" : "deviceId"] = what;
    if (given.has("fill")) {
        TRY(request["fillValue"], given.number("fill"));
    }
    if (given.has("offset")) {
        TRY(request["offsetBytes"], given.size("offset"));
    }
    if (given.has("size")) {
        TRY(request["sizeBytes"], given.size("size"));
    }
    TRY(const http::ClientReply reply,
        session.ask({.method = "POST", .target = "/api/memory/operations/clear", .body = json::serialize(request)}));
    return show_done(session, reply.body, what);
}
}  // namespace verb_clear

constexpr Verb clear_verb = {
    "clear",     "Fill memory with a byte", "POST /api/memory/operations/clear", verb_clear::arguments, verb_clear::run,
    Repeats::no, "vramctl clear host0"};
}  // namespace vramd::cli
