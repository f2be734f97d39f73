#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_copy {
constexpr Argument arguments[] = {
    {"source", Takes::required, "The allocation to copy from", Offers::allocations},
    {"target", Takes::required, "The allocation to copy to, on the same device", Offers::allocations},
    {"source-offset", Takes::value, "Where in the source to begin"},
    {"target-offset", Takes::value, "Where in the target to begin"},
    {"size", Takes::value, "How much; else to the source's end"},
};

Told<void> run(Session& session, const Given& given) {
    json::object request;
    request["sourceAllocationId"] = given.text("source");
    request["targetAllocationId"] = given.text("target");
    if (given.has("source-offset")) {
        TRY(request["sourceOffsetBytes"], given.size("source-offset"));
    }
    if (given.has("target-offset")) {
        TRY(request["targetOffsetBytes"], given.size("target-offset"));
    }
    if (given.has("size")) {
        TRY(request["sizeBytes"], given.size("size"));
    }
    TRY(const http::ClientReply reply,
        session.ask({.method = "POST", .target = "/api/memory/operations/copy", .body = json::serialize(request)}));
    return show_done(session, reply.body, given.text("target"));
}
}  // namespace verb_copy

constexpr Verb copy_verb = {"copy",
                            "Copy bytes within a device",
                            "POST /api/memory/operations/copy",
                            verb_copy::arguments,
                            verb_copy::run,
                            Repeats::no,
                            "vramctl copy alc_0q3xw8c5k2mznd1 alc_7t1vb9e4h6pqrs2 --size 1MiB"};
}  // namespace vramd::cli
