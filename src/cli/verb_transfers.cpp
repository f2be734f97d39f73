#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_transfers {
constexpr Argument arguments[] = {
    {"id", Takes::optional, "One transfer in full"},
    {"cancel", Takes::flag, "Cancel it"},
    {"device", Takes::value, "Only from or to this device", Offers::devices},
    {"owner", Takes::value, "Only of this owner"},
    {"status", Takes::value, "Only in this state", Offers::words, "queued running succeeded failed cancelled"},
};
constexpr Column columns[] = {
    {"ID", "id"},
    {"STATUS", "status"},
    {"MODE", "mode"},
    {"SIZE", "sizeBytes", As::size},
    {"FROM", "sourceDeviceId"},
    {"TO", "targetDeviceId"},
    {"DONE %", "progressPercentage"},
    {"AGE", "createdAt", As::time},
    {"PRIORITY", "priority", As::text, Shown::wide},
    {"OWNER", "owner", As::text, Shown::wide},
    {"SOURCE", "sourceAllocationId", As::text, Shown::wide},
    {"TARGET", "targetAllocationId", As::text, Shown::wide},
};

Told<void> run(Session& session, const Given& given) {
    if (given.has("cancel") && session.wishes().watch_seconds)
        return std::unexpected(Failure(Exit::usage, "transfers --cancel changes things: --watch does not apply."));
    if (given.has("id")) {
        const std::string_view method = given.has("cancel") ? "DELETE" : "GET";
        TRY(const http::ClientReply reply,
            session.ask({.method = std::string(method), .target = "/api/memory/transfer/" + http::percent_encoded(given.text("id"))}));
        return show_record(session, reply.body, "id");
    }
    if (given.has("cancel")) return std::unexpected(Failure(Exit::usage, "cancel: name the transfer to cancel."));
    Query query;
    query.add_if("deviceId", given.text("device"));
    query.add_if("owner", given.text("owner"));
    query.add_if("status", given.text("status"));
    return show_list(session, "/api/memory/transfers", query, {columns, "id", "items", "There are no transfers."});
}
}  // namespace verb_transfers

constexpr Verb transfers_verb = {
    "transfers",  "List transfers, or show or cancel one", "GET /api/memory/transfers", verb_transfers::arguments, verb_transfers::run,
    Repeats::yes, "vramctl transfers --status running"};
}  // namespace vramd::cli
