#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_analytics {
constexpr Argument arguments[] = {
    {"device", Takes::optional, "Only this device", Offers::devices},
    {"window", Takes::value, "How far back (1h)", Offers::words, "1m 5m 1h 24h 7d"},
};
constexpr Column columns[] = {
    {"DEVICE", "deviceId"},
    {"MEAN USE", "efficiency.averageUsagePercentage", As::percentage},
    {"PEAK USE", "efficiency.peakUsagePercentage", As::percentage},
    {"ALLOC/S", "throughput.allocationsPerSecond", As::number},
    {"FREE/S", "throughput.deallocationsPerSecond", As::number},
    {"TREND", "trends.usage.direction"},
    {"RATE", "trends.usage.bytesPerSecond", As::rate},
    {"FRAGMENTATION", "fragmentation.percentage", As::percentage},
    {"PEAK PRESSURE", "trends.pressurePeakPercentage", As::percentage},
    {"TRANSFERRED", "throughput.transfers.bytes", As::size, Shown::wide},
    {"TRANSFER RATE", "throughput.transfers.bytesPerSecond", As::rate, Shown::wide},
    {"OF LIMIT", "throughput.transfers.efficiencyPercentage", As::percentage, Shown::wide},
    {"COPIED", "throughput.copies.bytes", As::size, Shown::wide},
    {"COPY RATE", "throughput.copies.bytesPerSecond", As::rate, Shown::wide},
    {"CLEARED", "throughput.clears.bytes", As::size, Shown::wide},
    {"CLEAR RATE", "throughput.clears.bytesPerSecond", As::rate, Shown::wide},
    {"ARENA USE", "efficiency.arenaUsagePercentage", As::percentage, Shown::wide},
    {"ROUNDING LOSS", "efficiency.roundingLossPercentage", As::percentage, Shown::wide},
    {"KNOWN S", "coveredSeconds", As::number, Shown::wide},
};

Told<void> run(Session& session, const Given& given) {
    Query query;
    query.add_if("deviceId", given.text("device")).add_if("window", given.text("window"));
    TRY(const http::ClientReply reply, session.ask({.target = "/api/memory/analytics" + query.text()}));
    return show_items(session, reply.body, {columns, "deviceId", "devices", "There are no devices."});
}
}  // namespace verb_analytics

constexpr Verb analytics_verb = {
    "analytics",  "What memory did over a window", "GET /api/memory/analytics", verb_analytics::arguments, verb_analytics::run,
    Repeats::yes, "vramctl analytics --window 24h"};
}  // namespace vramd::cli
