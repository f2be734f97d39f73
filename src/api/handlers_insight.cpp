#include <algorithm>

#include "api/handlers.hpp"
#include "api/route.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
namespace {
/// Advice whose call this daemon does not offer is not told.
bool is_offered(const report::Advice& advice) {
    http::Method method{};
    for (const http::Method known : {http::Method::get, http::Method::put, http::Method::post, http::Method::delete_})
        if (http::name_of(known) == advice.call.method) method = known;
    std::vector<std::string> segments;
    for (const std::string_view segment : segments_of(advice.call.path)) segments.emplace_back(segment);
    return match(routes(), method, segments).route != nullptr;
}

DevicePressure offered(engine::PressureTold told) {
    std::erase_if(told.actions, [](const report::Advice& advice) { return !is_offered(advice); });
    return tell_pressure(told);
}
}  // namespace

Result<MemoryPressure> read_pressures(const Plain& asked) {
    MemoryPressure all;
    for (engine::PressureTold& told : asked.call.engine().pressures(asked.call.caller)) {
        DevicePressure device = offered(std::move(told));
        if (all.devices.empty() || device.level > all.level) {
            all.level = device.level;
            all.band = device.band;
            all.cause = device.cause;
        }
        all.devices.push_back(std::move(device));
    }
    return all;
}

Result<DevicePressure> read_pressure(const Plain& asked) {
    TRY(engine::PressureTold told, asked.call.engine().pressure(asked.call.caller, asked.call.params[0]));
    return offered(std::move(told));
}

Result<Analytics> read_analytics(const Asked<AnalyticsQuery, Nothing>& asked) {
    engine::Engine& engine = asked.call.engine();
    const std::string device_id = asked.query.device_id.value_or(std::string());
    if (!device_id.empty()) TRY_DO(engine.device(device_id));
    Analytics analytics;
    analytics.window = asked.query.window;
    analytics.to = time_of_ns(read_clocks().wall_ns);
    analytics.from = analytics.to;
    for (const engine::AnalysisTold& told : engine.analysis(device_id, asked.query.window)) {
        analytics.from = std::min(analytics.from, time_of_ns(told.past.span.from_wall_ns));
        analytics.devices.push_back(tell_analysis(told));
    }
    return analytics;
}

void read_optimization(Plain asked, Answer<Recommendations> answer) {
    asked.call.engine().advice(asked.call.caller, [answer = std::move(answer)](const Result<std::vector<report::Advice>>& advice) mutable {
        if (!advice) return std::move(answer)(std::unexpected(advice.error()));
        Recommendations told;
        told.measured_at = time_of_ns(read_clocks().wall_ns);
        for (const report::Advice& one : *advice)
            if (is_offered(one)) told.recommendations.push_back(tell_advice(one));
        std::move(answer)(told);
    });
}

Result<ModelsMemory> read_model_memory(const Plain& asked) {
    ModelsMemory all;
    for (const engine::ModelsOfDevice& told : asked.call.engine().model_memory()) all.devices.push_back(tell_models_of(told));
    all.agrees = std::ranges::all_of(all.devices, &DeviceModels::agrees);
    return all;
}

void optimize_models(Asked<Nothing, OptimizeModelsRequest> asked, Answer<OptimizedModels> answer) {
    engine::OptimizeModelsRequest request;
    request.caller = asked.call.caller;
    request.device_id = asked.body.device_id.value_or(std::string());
    request.policy = asked.body.strategy;
    if (asked.body.target_pressure_percentage) request.target_level = asked.body.target_pressure_percentage->units;
    request.exclude = asked.body.exclude_models;
    request.bounds = {asked.body.max_models.value_or(UINT64_MAX), asked.body.max_bytes.value_or(UINT64_MAX)};
    request.run = asked.body.dry_run ? engine::Run::dry : engine::Run::really;
    asked.call.engine().optimize_models(std::move(request),
                                        [answer = std::move(answer), run = request.run](Result<engine::OptimizedModels> result) mutable {
                                            if (!result) return std::move(answer)(std::unexpected(result.error()));
                                            OptimizedModels told = tell_optimized(*result);
                                            told.dry_run = run == engine::Run::dry;
                                            std::move(answer)(std::move(told));
                                        });
}
}  // namespace vramd::api
