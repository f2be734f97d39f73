#include "cli/show.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_devices {
constexpr Argument arguments[] = {{"device", Takes::optional, "One device in full", Offers::devices}};
constexpr Column columns[] = {
    {"DEVICE", "deviceId"},
    {"KIND", "kind"},
    {"NAME", "name"},
    {"TOTAL", "totalBytes", As::size},
    {"HEALTH", "health"},
    {"DRIVER", "driver"},
    {"PHYSICAL", "physicalBytes", As::size, Shown::wide},
    {"PINNED", "pinnedBytes", As::size, Shown::wide},
    {"GRANULARITY", "granularityBytes", As::size, Shown::wide},
    {"CAPABILITIES", "capabilities", As::text, Shown::wide},
};

Told<void> run(Session& session, const Given& given) {
    const std::string device = given.text("device");
    if (device.empty()) return show_list(session, "/api/devices", {}, {columns, "deviceId", "items", "There are no devices."});
    TRY(const http::ClientReply reply, session.ask({.target = "/api/devices/" + http::percent_encoded(device)}));
    return show_record(session, reply.body, "deviceId");
}
}  // namespace verb_devices

constexpr Verb devices_verb = {
    "devices",   "Which devices there are, and what they can do", "GET /api/devices[/{device}]", verb_devices::arguments, verb_devices::run,
    Repeats::yes};
}  // namespace vramd::cli
