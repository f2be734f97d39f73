#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_status {
constexpr Argument arguments[] = {
    {"device", Takes::optional, "One device in full", Offers::devices},
    {"allocations", Takes::flag, "With its allocations"},
    {"usage", Takes::flag, "With who uses it"},
    {"fragmentation", Takes::flag, "With how its free memory lies"},
};
constexpr Column columns[] = {
    {"DEVICE", "deviceId"},
    {"HEALTH", "health"},
    {"TOTAL", "totalBytes", As::size},
    {"USED", "usedBytes", As::size},
    {"AVAILABLE", "availableBytes", As::size},
    {"RESERVED", "reservedBytes", As::size},
    {"ZOMBIE", "zombieBytes", As::size},
    {"OTHERS", "otherProcessesBytes", As::size},
    {"USE", "usagePercentage", As::percentage},
    {"", "usagePercentage", As::usage_bar},
    {"TYPE", "memoryType", As::text, Shown::wide},
    {"SCORE", "healthScore", As::number, Shown::wide},
    {"RECLAIMABLE", "reclaimableBytes", As::size, Shown::wide},
    {"PHYSICAL", "physicalBytes", As::size, Shown::wide},
    {"ALLOCATIONS", "allocationCount", As::number, Shown::wide},
    {"BLOCKS", "blockCount", As::number, Shown::wide},
};

Told<void> run(Session& session, const Given& given) {
    const std::string device = given.text("device");
    Query query;
    if (given.has("allocations")) query.add("includeAllocations", "true");
    if (given.has("usage")) query.add("includeUsageStats", "true");
    if (given.has("fragmentation")) query.add("includeFragmentation", "true");
    const std::string target = "/api/memory/status" + (device.empty() ? "" : "/" + http::percent_encoded(device)) + query.text();
    TRY(const http::ClientReply reply, session.ask({.target = target}));
    if (!device.empty()) return show_record(session, reply.body, "deviceId");
    return show_items(session, reply.body, {columns, "deviceId", "devices", "There are no devices."});
}
}  // namespace verb_status

constexpr Verb status_verb = {
    "status",     "How full the devices are, and how well", "GET /api/memory/status[/{device}]", verb_status::arguments, verb_status::run,
    Repeats::yes, "vramctl status host0 --fragmentation"};
}  // namespace vramd::cli
