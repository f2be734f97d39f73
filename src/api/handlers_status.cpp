#include "api/handlers.hpp"
#include "api/tell.hpp"

namespace vramd::api {
namespace {
constexpr u64 status_allocations_max = 100;

Usage device_usage(const Call& call, const engine::DeviceTold& told) {
    Usage usage = tell_usage(call.engine().usage(call.caller, told.books.device_id), {told}, call.caller);
    usage.device_id = told.books.device_id;
    return usage;
}

DeviceStatus status_of(const Call& call, const StatusQuery& query, const engine::DeviceTold& told) {
    DeviceStatus status = tell_status(told);
    if (query.include_fragmentation) status.fragmentation = tell_fragmentation(told.books);
    if (query.include_usage_stats) status.usage = device_usage(call, told);
    if (query.include_allocations) {
        report::AllocationFilter filter;
        filter.device_id = told.books.device_id;
        filter.limit = status_allocations_max;
        status.allocations = tell_allocations(call.engine().allocations(call.caller, filter));
    }
    return status;
}
}  // namespace

Result<MemoryStatus> read_statuses(const Asked<StatusQuery, Nothing>& asked) {
    std::vector<DeviceStatus> devices;
    for (const engine::DeviceTold& told : asked.call.engine().devices()) {
        if (!asked.query.include_fragmentation) {
            devices.push_back(status_of(asked.call, asked.query, told));
            continue;
        }
        TRY(const engine::DeviceTold whole, asked.call.engine().device(told.books.device_id));
        devices.push_back(status_of(asked.call, asked.query, whole));
    }
    return tell_statuses(std::move(devices));
}

Result<DeviceStatus> read_status(const Asked<StatusQuery, Nothing>& asked) {
    TRY(const engine::DeviceTold told, asked.call.engine().device(asked.call.params[0]));
    return status_of(asked.call, asked.query, told);
}

Result<UsageReport> read_usage(const Asked<WindowQuery, Nothing>& asked) {
    engine::Engine& engine = asked.call.engine();
    UsageReport report{tell_usage(engine.usage(asked.call.caller, {}), engine.devices(), asked.call.caller), {}};
    for (const engine::PastTold& past : engine.past({}, asked.query.window)) report.past.push_back(tell_past(past, asked.call.caller));
    return report;
}

Result<UsageReport> read_device_usage(const Asked<WindowQuery, Nothing>& asked) {
    engine::Engine& engine = asked.call.engine();
    TRY(const engine::DeviceTold told, engine.device(asked.call.params[0]));
    UsageReport report{device_usage(asked.call, told), {}};
    for (const engine::PastTold& past : engine.past(asked.call.params[0], asked.query.window))
        report.past.push_back(tell_past(past, asked.call.caller));
    return report;
}
}  // namespace vramd::api
