#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_pressure {
constexpr Argument arguments[] = {{"device", Takes::optional, "One device in full, with what helps", Offers::devices}};
constexpr Column columns[] = {
    {"DEVICE", "deviceId"},
    {"LEVEL", "level", As::percentage},
    {"", "level", As::usage_bar},
    {"BAND", "band"},
    {"CAUSE", "cause"},
    {"TREND", "trend.direction"},
    {"RATE", "trend.bytesPerSecond", As::rate},
    {"CRITICAL IN S", "timeToCriticalSeconds", As::number},
    {"AVAILABLE", "availableBytes", As::size},
    {"RECLAIMABLE", "reclaimableBytes", As::size, Shown::wide},
    {"DECISIVE", "decisivePart", As::text, Shown::wide},
    {"RECORDED", "recordedBand", As::text, Shown::wide},
    {"SINCE", "recordedSince", As::time, Shown::wide},
};

Told<void> run(Session& session, const Given& given) {
    const std::string device = given.text("device");
    TRY(const http::ClientReply reply,
        session.ask({.target = "/api/memory/pressure" + (device.empty() ? "" : "/" + http::percent_encoded(device))}));
    if (!device.empty()) return show_record(session, reply.body, "deviceId");
    return show_items(session, reply.body, {columns, "deviceId", "devices", "There are no devices."});
}
}  // namespace verb_pressure

constexpr Verb pressure_verb = {"pressure",
                                "How tight memory is, why, and what helps",
                                "GET /api/memory/pressure[/{device}]",
                                verb_pressure::arguments,
                                verb_pressure::run,
                                Repeats::yes,
                                "vramctl pressure host0"};
}  // namespace vramd::cli
