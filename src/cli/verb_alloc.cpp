#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_alloc {
constexpr Argument arguments[] = {
    {"size", Takes::required, "How much: 512MiB, 2G, 4096"},
    {"device", Takes::value, "Where; else on the device with most room", Offers::devices},
    {"type", Takes::value, "What for", Offers::words, "default pinned mapped texture buffer unified"},
    {"alignment", Takes::value, "The place is a multiple of this size"},
    {"purpose", Takes::value, "A word for people"},
    {"owner", Takes::value, "Whose it is to be; for an admin"},
    {"priority", Takes::value, "In which order waiting requests get room", Offers::words, "low normal high critical"},
    {"timeout", Takes::value, "Seconds to wait for room; 0: none"},
    {"lease", Takes::value, "Seconds after which it ends unless it is used; else it lives until it is freed"},
    {"shareable", Takes::flag, "In a block of its own, which other owners may attach"},
};

Told<json::object> request_of(const Given& given) {
    json::object request;
    TRY(request["sizeBytes"], given.size("size"));
    const auto add_text = [&](std::string_view argument, const char* field) {
        if (given.has(argument)) request[field] = given.text(argument);
    };
    add_text("device", "deviceId");
    add_text("type", "allocationType");
    add_text("purpose", "purpose");
    add_text("owner", "owner");
    add_text("priority", "priority");
    if (given.has("alignment")) {
        TRY(request["alignment"], given.size("alignment"));
    }
    if (given.has("timeout")) {
        TRY(request["timeoutSeconds"], given.number("timeout"));
    }
    if (given.has("lease")) {
        request["persistent"] = false;
        TRY(request["leaseSeconds"], given.number("lease"));
    }
    if (given.has("shareable")) request["shareable"] = true;
    return request;
}

Told<void> run(Session& session, const Given& given) {
    TRY(const json::object request, request_of(given));
    u64 wait_ms = 120'000;
    if (given.has("timeout")) {
        TRY(const u64 seconds, given.number("timeout"));
        wait_ms += std::min<u64>(seconds, 86'400) * 1000;
    }
    TRY(const http::ClientReply reply,
        session.ask(
            {.method = "POST", .target = "/api/memory/allocations/allocate", .body = json::serialize(request), .wait_ms_max = wait_ms}));
    return show_record(session, reply.body, "id");
}
}  // namespace verb_alloc

constexpr Verb alloc_verb = {"alloc",
                             "Get memory",
                             "POST /api/memory/allocations/allocate",
                             verb_alloc::arguments,
                             verb_alloc::run,
                             Repeats::no,
                             "vramctl alloc 64MiB --device host0 --purpose scratch"};
}  // namespace vramd::cli
