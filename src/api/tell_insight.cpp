#include <algorithm>

#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
namespace {
Rate per_second(u64 count, u64 covered_ns) {
    if (covered_ns == 0) return {};
    return {static_cast<u64>(std::min<u128>(u128{count} * 100 * ns_per_second / covered_ns, number_max))};
}
u64 bytes_per_second(u64 bytes, u64 covered_ns) {
    return covered_ns == 0 ? 0 : static_cast<u64>(std::min<u128>(u128{bytes} * ns_per_second / covered_ns, number_max));
}
Rate seconds_of_ns(u64 covered_ns) { return {covered_ns / (ns_per_second / 100)}; }

Trend trend_of(i64 bytes_per_second) {
    if (bytes_per_second == 0) return {};
    const bool rising = bytes_per_second > 0;
    return {rising ? Direction::rising : Direction::falling, static_cast<u64>(rising ? bytes_per_second : -bytes_per_second)};
}

template <class Past>
void tell_flow(Past& past, const report::Bucket& all) {
    past.peak_bytes = all.level_max;
    past.average_bytes = all.level_mean();
    past.allocated_count = all.arrived_count;
    past.allocated_bytes = all.arrived_bytes;
    past.freed_count = all.left_count;
    past.freed_bytes = all.left_bytes;
}
template <class Told>
void tell_rates(Told& told, const report::Bucket& all) {
    told.allocations_per_second = per_second(all.arrived_count, all.covered_ns);
    told.deallocations_per_second = per_second(all.left_count, all.covered_ns);
}

WorkThroughput tell_work(const report::Worked& worked, u64 limit_bytes_per_second) {
    WorkThroughput told{worked.count, worked.bytes, {}, {}, limit_bytes_per_second};
    if (worked.duration_ns > 0) told.bytes_per_second = bytes_per_second(worked.bytes, worked.duration_ns);
    if (told.bytes_per_second && limit_bytes_per_second > 0)
        told.efficiency_percentage = percentage_of(*told.bytes_per_second, limit_bytes_per_second);
    return told;
}

NamedPast tell_named(const report::History::Named& named) {
    NamedPast past;
    past.name = named.name;
    tell_flow(past, named.span.all);
    return past;
}

std::optional<CallBody> body_of(const report::AdvisedCall& call) {
    CallBody body;
    body.device_id = call.device_id;
    body.strategy = call.strategy;
    if (!call.operations.empty()) body.operations = call.operations;
    if (call.target_level) body.target_pressure_percentage = Percentage{*call.target_level};
    body.source_allocation_id = call.source_allocation_id;
    body.target_device_id = call.target_device_id;
    body.mode = call.mode;
    body.max_bytes = call.limits.max_bytes;
    if (call.limits.max_hundredths) body.max_percentage = Percentage{*call.limits.max_hundredths};
    body.reserve_bytes = call.limits.reserve_bytes;
    body.owner_quotas = call.limits.owner_quotas;
    if (call.enforce == Enforce::immediately) body.enforce_immediately = true;
    const bool any = body.device_id || body.strategy || body.operations || body.target_pressure_percentage || body.source_allocation_id ||
                     body.max_bytes || body.max_percentage || body.reserve_bytes || body.owner_quotas || body.enforce_immediately;
    return any ? std::optional(body) : std::nullopt;
}

u64 width_ns(report::Window window) { return report::ns_of(report::grain_of(window)); }
/// Samples are kept by minutes and hours only.
u64 sample_width_ns(report::Window window) { return std::max(width_ns(window), report::ns_of(report::Grain::minute)); }
}  // namespace

UsagePast tell_past(const engine::PastTold& told, const Caller& caller) {
    const report::Bucket& all = told.span.all;
    UsagePast past;
    past.device_id = told.device_id;
    past.window = told.window;
    past.from = time_of_ns(told.span.from_wall_ns);
    past.to = time_of_ns(told.span.to_wall_ns);
    past.covered_seconds = seconds_of_ns(all.covered_ns);
    past.lowest_bytes = all.level_min;
    tell_flow(past, all);
    tell_rates(past, all);
    past.mean_allocation_bytes = all.arrived_count == 0 ? 0 : all.arrived_bytes / all.arrived_count;
    const bool admin = caller.role == Role::admin;
    for (const auto& owner : told.owners)
        if (admin || owner.name == caller.owner || owner.name == core::model_owner) past.by_owner.push_back(tell_named(owner));
    if (admin)
        for (const auto& purpose : told.purposes) past.by_purpose.push_back(tell_named(purpose));
    for (const auto& model : told.models) past.by_model.push_back(tell_named(model));
    return past;
}

OutlookTold tell_outlook(const report::Outlook& outlook) {
    return {outlook.used_bytes, outlook.uncommitted_bytes, outlook.largest_free_bytes, {outlook.fragmentation}, {outlook.level}};
}

Action tell_advice(const report::Advice& advice) {
    return {advice.kind,
            advice.device_id,
            advice.reason,
            advice.freed_bytes,
            tell_outlook(advice.before),
            tell_outlook(advice.after),
            {advice.call.method, advice.call.path, body_of(advice.call)}};
}

DevicePressure tell_pressure(const engine::PressureTold& told) {
    DevicePressure pressure;
    pressure.device_id = told.device_id;
    pressure.level = {told.pressure.level};
    pressure.band = told.pressure.band;
    pressure.cause = told.pressure.cause;
    pressure.decisive_part = told.pressure.decisive;
    for (std::size_t i = 0; i < told.pressure.parts.size(); ++i)
        if (const auto& part = told.pressure.parts[i])
            pressure.parts.push_back(
                {static_cast<memory::PressurePart>(i), {part->level}, part->used_bytes, part->whole_bytes, part->cause});
    if (told.bytes_per_second) pressure.trend = trend_of(*told.bytes_per_second);
    pressure.time_to_critical_seconds = told.seconds_to_critical;
    pressure.recorded_band = told.recorded;
    if (told.since_wall_ns > 0) pressure.recorded_since = time_of_ns(told.since_wall_ns);
    const u64 gone = told.input.used_bytes + told.pressure.taken_bytes;
    pressure.available_bytes = told.input.usable_bytes - std::min(told.input.usable_bytes, gone);
    pressure.reclaimable_bytes = told.reclaimable_bytes;
    pressure.measured_at = time_of_ns(told.measured_wall_ns);
    for (const report::Advice& advice : told.actions) pressure.recommended_actions.push_back(tell_advice(advice));
    return pressure;
}

DeviceAnalytics tell_analysis(const engine::AnalysisTold& told) {
    const report::Bucket& all = told.past.span.all;
    DeviceAnalytics analytics;
    analytics.device_id = told.past.device_id;
    analytics.covered_seconds = seconds_of_ns(all.covered_ns);
    Throughput& throughput = analytics.throughput;
    tell_rates(throughput, all);
    throughput.allocated_bytes_per_second = bytes_per_second(all.arrived_bytes, all.covered_ns);
    throughput.freed_bytes_per_second = bytes_per_second(all.left_bytes, all.covered_ns);
    throughput.transfers = tell_work({all.moved_count, all.moved_bytes, all.moved_ns}, told.copy_limit_bytes_per_second);
    throughput.copies = tell_work(told.copies, told.copy_limit_bytes_per_second);
    throughput.clears = tell_work(told.clears, told.fill_limit_bytes_per_second);
    Efficiency& efficiency = analytics.efficiency;
    efficiency.average_usage_percentage = percentage_of(all.level_mean(), told.books.total_bytes);
    efficiency.peak_usage_percentage = percentage_of(all.level_max, told.books.total_bytes);
    efficiency.requested_bytes = told.requested_bytes;
    efficiency.granted_bytes = told.granted_bytes;
    efficiency.rounding_loss_percentage =
        percentage_of(told.granted_bytes - std::min(told.granted_bytes, told.requested_bytes), told.granted_bytes);
    efficiency.arena_bytes = told.arena_bytes;
    efficiency.arena_used_bytes = told.arena_used_bytes;
    efficiency.arena_usage_percentage = percentage_of(told.arena_used_bytes, told.arena_bytes);
    analytics.fragmentation = tell_fragmentation(told.books);
    for (const report::SampleBucket& bucket : told.samples) {
        analytics.fragmentation_points.push_back({time_of_ns(bucket.index * sample_width_ns(told.past.window)),
                                                  {bucket.fragmentation_max},
                                                  bucket.largest_free_min,
                                                  bucket.holes_max,
                                                  {bucket.level_max}});
        analytics.trends.pressure_peak_percentage = std::max(analytics.trends.pressure_peak_percentage, Percentage{bucket.level_max});
    }
    if (told.samples.size() >= 2) {
        const u64 first = told.samples.front().fragmentation_last;
        const u64 last = told.samples.back().fragmentation_last;
        analytics.trends.fragmentation = first == last ? Direction::steady : first < last ? Direction::rising : Direction::falling;
    }
    const u64 width = width_ns(told.past.window);
    std::vector<memory::UsePoint> uses;
    for (const report::Bucket& bucket : told.past.span.points) {
        analytics.points.push_back(
            {time_of_ns(bucket.index * width), bucket.level_max, bucket.level_mean(), bucket.arrived_count, bucket.left_count});
        uses.push_back({bucket.index * width, bucket.level_mean()});
    }
    if (const auto slope = memory::slope_of(uses)) analytics.trends.usage = trend_of(*slope);
    return analytics;
}

DeviceModels tell_models_of(const engine::ModelsOfDevice& told) {
    DeviceModels device;
    device.device_id = told.device_id;
    device.model_count = told.models.size();
    device.model_bytes = told.catalogue_bytes;
    device.device_bytes = told.books_bytes;
    device.agrees = told.catalogue_bytes == told.books_bytes;
    for (const engine::ModelMemoryTold& one : told.models) {
        ModelMemory model;
        model.name = one.model.names.front();
        model.device_id = told.device_id;
        model.tier = one.place.tier;
        model.state = one.place.state;
        model.allocation_id = to_text(one.place.allocation);
        model.predicted_bytes = one.place.predicted_bytes;
        model.size_bytes = one.place.size_bytes;
        model.tensor_bytes = one.model.tensor_bytes;
        model.block_bytes = one.block_bytes;
        model.on_device = one.on_device;
        model.agrees = one.differences.empty();
        model.is_pinned = one.place.pinned;
        model.differences = one.differences;
        device.agrees = device.agrees && model.agrees;
        device.models.push_back(std::move(model));
    }
    return device;
}

OptimizedModels tell_optimized(const engine::OptimizedModels& told) {
    OptimizedModels answer;
    answer.duration_ms = milliseconds_of_ns(told.duration_ns);
    for (const engine::DeviceOutcome& device : told.devices) {
        answer.freed_bytes += device.freed_bytes;
        answer.devices.push_back({device.device_id,
                                  {device.target_level},
                                  device.after.level < device.target_level,
                                  device.freed_bytes,
                                  tell_outlook(device.before),
                                  tell_outlook(device.after)});
    }
    for (const engine::ModelOutcome& model : told.models) {
        ModelOutcome outcome{model.name, model.device_id, model.bytes, model.stays, std::nullopt};
        if (!model.detail.empty()) outcome.detail = model.detail;
        (model.stays ? answer.left : answer.unloaded).push_back(std::move(outcome));
    }
    return answer;
}
}  // namespace vramd::api
