#include "api/etag.hpp"
#include "api/handlers.hpp"
#include "api/openapi.hpp"
#include "api/paging.hpp"
#include "api/tell.hpp"

namespace vramd::api {
namespace {
/// A reply with a text of ours; refused where a query came.
http::Routing text_reply(const Call& call, std::string_view type, Result<std::string> text) {
    if (const auto query = parse_query<Nothing>(call.head.query); !query) return problem_reply(query.error(), call.head.path);
    if (!text) return problem_reply(text.error(), call.head.path);
    return http::Reply{200, std::string(type), {}, *std::move(text), {}};
}

/// What is wrong with the devices; empty: nothing.
std::string device_troubles(engine::Engine& engine) {
    std::string troubles;
    for (const engine::DeviceTold& told : engine.devices())
        if (told.reading.health != device::Health::good)
            troubles.append(troubles.empty() ? "" : " ")
                .append("Device " + told.books.device_id + (told.reading.health == device::Health::lost ? " is lost." : " is degraded."));
    return troubles;
}
}  // namespace

Result<System> read_system(const Plain& asked) { return tell_system(asked.call.engine().system(), asked.call.caller); }

Result<Health> read_health(const Plain&) { return Health{"ok", std::nullopt}; }

Result<Health> read_readiness(const Plain& asked) {
    engine::Engine& engine = asked.call.engine();
    const engine::SystemTold system = engine.system();
    if (system.read_only) return refuse(Code::read_only, {}, system.read_only_reason);
    const std::string troubles = device_troubles(engine);
    if (troubles.empty()) return Health{"ok", std::nullopt};
    return Health{"degraded", troubles};
}

Result<Audit> read_audit(const Plain& asked) { return tell_audit(asked.call.engine().audit(), asked.call.caller); }

http::Routing read_openapi(Call call) {
    const std::string tag = etag_of_body(call.surface->openapi);
    if (!matches_none(call.head, tag)) return http::Reply{304, {}, {{"ETag", tag}}, {}, {}};
    http::Routing routing = text_reply(call, "application/json", call.surface->openapi);
    std::get<http::Reply>(routing).headers.emplace_back("ETag", tag);
    return routing;
}
http::Routing read_problems(Call call) { return text_reply(call, "text/html; charset=utf-8", problems_page()); }
http::Routing read_problem(Call call) { return text_reply(call, "text/html; charset=utf-8", problem_page(call.params[0])); }

Result<DeviceList> list_devices(const Asked<PageQuery, Nothing>& asked) {
    DeviceList list;
    for (const engine::DeviceTold& told : asked.call.engine().devices()) list.items.push_back(tell_device(told));
    TRY_DO(keep_page(list.items, asked.query, list.next_cursor));
    return list;
}

Result<Device> read_device(const Plain& asked) {
    TRY(const engine::DeviceTold told, asked.call.engine().device(asked.call.params[0]));
    return tell_device(told);
}
}  // namespace vramd::api
