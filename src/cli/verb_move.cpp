#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_move {
constexpr Argument arguments[] = {
    {"source", Takes::required, "The allocation to move", Offers::allocations},
    {"device", Takes::required, "The device to move it to", Offers::devices},
    {"copy", Takes::flag, "Leave the source and make a copy there"},
    {"priority", Takes::value, "In which order transfers get their turn", Offers::words, "low normal high critical"},
    {"timeout", Takes::value, "Seconds after which to give up"},
    {"verify", Takes::flag, "Sum both sides and compare"},
    {"detach", Takes::flag, "Print the transfer's record and do not wait"},
};

Told<void> run(Session& session, const Given& given) {
    json::object request;
    request["sourceAllocationId"] = given.text("source");
    request["targetDeviceId"] = given.text("device");
    request["mode"] = given.has("copy") ? "copy" : "move";
    if (given.has("priority")) request["priority"] = given.text("priority");
    if (given.has("timeout")) {
        TRY(request["timeoutSeconds"], given.number("timeout"));
    }
    if (given.has("verify")) request["verify"] = true;
    if (given.has("detach")) request["waitForCompletion"] = false;
    TRY(const http::ClientReply reply, session.ask({.method = "POST", .target = "/api/memory/transfer", .body = json::serialize(request)}));
    return show_record(session, reply.body, "id");
}
}  // namespace verb_move

constexpr Verb move_verb = {
    "move",      "Move an allocation to another device; its id stays", "POST /api/memory/transfer", verb_move::arguments, verb_move::run,
    Repeats::no, "vramctl move alc_0q3xw8c5k2mznd1 host1 --verify"};
}  // namespace vramd::cli
