#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_ps {
constexpr Argument arguments[] = {
    {"id", Takes::optional, "One allocation in full", Offers::allocations},
    {"device", Takes::value, "Only of this device", Offers::devices},
    {"owner", Takes::value, "Only of this owner"},
    {"type", Takes::value, "Only of this type", Offers::words, "default pinned mapped texture buffer unified"},
    {"status", Takes::value, "Only in this state", Offers::words, "pending live zombie"},
    {"history", Takes::flag, "Of one allocation: the events of its life too"},
    {"content", Takes::flag, "Of one allocation: what its bytes are too; all of them are read"},
};
constexpr Column columns[] = {
    {"ID", "id"},
    {"DEVICE", "deviceId"},
    {"SIZE", "sizeBytes", As::size},
    {"STATUS", "status"},
    {"TYPE", "allocationType"},
    {"OWNER", "owner"},
    {"MODEL", "model"},
    {"PURPOSE", "purpose"},
    {"AGE", "createdAt", As::time},
    {"GRANTED", "grantedBytes", As::size, Shown::wide},
    {"BLOCK", "blockId", As::text, Shown::wide},
    {"OFFSET", "offsetBytes", As::number, Shown::wide},
    {"PERSISTENT", "persistent", As::text, Shown::wide},
    {"LEASE ENDS", "leaseExpiresAt", As::time, Shown::wide},
    {"ACCESSED", "lastAccessed", As::time, Shown::wide},
    {"ACCESSES", "accessCount", As::number, Shown::wide},
};

Told<void> run(Session& session, const Given& given) {
    if (given.has("id")) {
        Query more;
        if (given.has("history")) more.add("includeHistory", "true");
        if (given.has("content")) more.add("includeContentStats", "true");
        TRY(const http::ClientReply reply,
            session.ask({.target = "/api/memory/allocation/" + http::percent_encoded(given.text("id")) + more.text()}));
        return show_record(session, reply.body, "id");
    }
    for (const std::string_view flag : {"history", "content"})
        if (given.has(flag))
            return std::unexpected(Failure(Exit::usage, "--" + std::string(flag) + " tells of one allocation: name its id."));
    Query query;
    query.add_if("deviceId", given.text("device"));
    query.add_if("owner", given.text("owner"));
    query.add_if("type", given.text("type"));
    query.add_if("status", given.text("status"));
    return show_list(session, "/api/memory/allocations", query, {columns, "id", "items", "Nobody holds memory."});
}
}  // namespace verb_ps

constexpr Verb ps_verb = {"ps",         "Who holds what", "GET /api/memory/allocations",      verb_ps::arguments,
                          verb_ps::run, Repeats::yes,     "vramctl ps --device host0 -o wide"};
}  // namespace vramd::cli
