#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "api/event_streams.hpp"
#include "api/handlers.hpp"
#include "api/tell.hpp"
#include "core/report/metrics.hpp"

namespace vramd::api {
namespace {
/// How many of `items` there are in each state, every state told.
template <class State, class Item>
std::vector<std::pair<std::string_view, u64>> count_states(const std::vector<Item>& items) {
    std::vector<std::pair<std::string_view, u64>> counts;
    for (const std::string_view name : EnumNames<State>::names) counts.emplace_back(name, 0);
    for (const Item& item : items) ++counts[static_cast<std::size_t>(item.state)].second;
    return counts;
}

void look_at_work(report::MetricsSeen& seen, const engine::WorkTold& work) {
    seen.transfers = {{name_of(TransferState::queued), work.transfers_queued}, {name_of(TransferState::running), work.transfers_running}};
    for (const TransferState state : {TransferState::succeeded, TransferState::failed, TransferState::cancelled})
        seen.transfers_ended.emplace_back(name_of(state), work.transfers_ended[static_cast<std::size_t>(state)]);
    seen.transferred_bytes = work.transferred_bytes;
    seen.waiting_allocations = work.waiting_allocations;
    seen.waiting_loads = work.waiting_loads;
    seen.asked = work.asked;
    seen.asked_bytes = work.asked_bytes;
    seen.given = work.given;
    seen.given_bytes = work.given_bytes;
    seen.kept = work.kept;
    seen.audits = work.audits;
    seen.audits_failed = work.audits_failed;
    seen.audit_findings = work.audit_findings;
}

/// Every pair of devices, either way: what was transferred, beside what the link can do.
void look_at_links(report::MetricsSeen& seen, const std::vector<engine::DeviceTold>& devices, const engine::WorkTold& work) {
    for (const engine::DeviceTold& from : devices)
        for (const engine::DeviceTold& to : devices) {
            report::LinkSeen link{from.books.device_id, to.books.device_id};
            for (const engine::LinkTold& known : from.links)
                if (known.to_device_id == link.to) link.limit_bytes_per_second = known.bytes_per_second;
            if (const auto found = work.link_bytes.find({link.from, link.to}); found != work.link_bytes.end())
                link.transferred_bytes = found->second;
            seen.links.push_back(std::move(link));
        }
}

/// What models take of the device, and what of them had to go.
void look_at_models(report::DeviceSeen& device, const std::vector<report::ModelTold>& models, const engine::WorkTold& work) {
    for (const report::ModelTold& model : models)
        for (const report::ModelPlaceTold& place : model.places) {
            if (place.device_id != device.books.device_id) continue;
            device.model_bytes += place.size_bytes;
            if (place.state == ModelState::loading) continue;
            report::TierUse& tier = device.tiers[static_cast<std::size_t>(place.tier)];
            tier.copies += 1;
            tier.bytes += place.size_bytes;
        }
    if (const auto evicted = work.evicted.find(device.books.device_id); evicted != work.evicted.end()) {
        device.evicted_copies = evicted->second.copies;
        device.evicted_bytes = evicted->second.bytes;
    }
}

/// Of the daemon as a whole.
void look_at_system(report::MetricsSeen& seen, const engine::SystemTold& system) {
    seen.version = system.version;
    seen.core_starts = system.generation;
    seen.started_wall_ns = system.started_wall_ns;
    seen.core_started_wall_ns = system.core_started_wall_ns;
    seen.recovery_ns = system.recovery.total_ns;
    seen.replayed_events = system.recovery.replayed_events;
    seen.read_only = system.read_only;
    seen.ledger_sequence = system.ledger_sequence;
    seen.ledger_room_bytes = system.ledger_room_bytes;
    seen.ledger_file_bytes = system.ledger_file_bytes;
    seen.ledger_disk_free_bytes = system.ledger_disk_free_bytes;
    seen.workers = system.workers.size();
}

void look_at_server(report::MetricsSeen& seen, const http::ServerCounts& http) {
    static constexpr std::array<std::string_view, http::reply_classes> classes = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    seen.http_connections = http.connections;
    seen.http_requests = http.requests;
    seen.http_refused = http.refused;
    seen.http_dropped_readers = http.dropped_readers;
    for (std::size_t i = 0; i < classes.size(); ++i) seen.http_replies.emplace_back(classes[i], http.replies[i]);
}

report::MetricsSeen look(const Call& call) {
    engine::Engine& engine = call.engine();
    report::MetricsSeen seen;
    look_at_system(seen, engine.system());
    seen.event_readers = call.surface->event_streams->readers();
    const std::vector<report::ModelTold> models = engine.models();
    const std::vector<engine::PressureTold> pressures = engine.pressures(Caller{{}, Role::user});  // Their advice is not looked at.
    const engine::WorkTold work = engine.work();
    look_at_work(seen, work);
    std::vector<engine::DeviceTold> devices = engine.devices();
    look_at_links(seen, devices, work);
    for (engine::DeviceTold& told : devices) {
        const u64 available = available_bytes(told);
        report::DeviceSeen device;
        device.books = std::move(told.books);
        device.other_processes_bytes = told.reading.other_processes_bytes.value_or(0);
        device.physical_bytes = told.reading.physical_bytes.value_or(0);
        device.healthy = told.reading.health == device::Health::good;
        device.health = report::health_names[static_cast<std::size_t>(told.reading.health)];
        look_at_models(device, models, work);
        device.available_bytes = available;
        for (const engine::PressureTold& pressure : pressures)
            if (pressure.device_id == device.books.device_id) {
                device.pressure_hundredths = pressure.pressure.level;
                device.pressure_cause = name_of(pressure.pressure.cause);
            }
        if (auto limits = engine.limits(device.books.device_id)) {
            device.limit_bytes = limits->max_bytes;
            device.quotas = std::move(limits->quotas);
        }
        seen.devices.push_back(std::move(device));
    }
    constexpr u64 operations_max = 10'000;
    const Caller everybody{{}, Role::admin};
    seen.owners = engine.usage(everybody, {}).by_owner;
    seen.models = count_states<ModelState>(models);
    seen.operations = count_states<OperationState>(engine.operations(everybody, operations_max));
    const std::vector<u64> counts = engine.events().counts();
    for (std::size_t tag = 0; tag < counts.size(); ++tag) seen.events.emplace_back(event_names()[tag], counts[tag]);
    const Lock lock(call.surface->counts_lock);
    if (call.surface->counts) look_at_server(seen, call.surface->counts());
    return seen;
}

std::string text_of(const report::MetricsSeen& seen) {
    std::vector<prometheus::MetricFamily> families;
    for (const report::Metric& metric : report::metrics()) {
        prometheus::MetricFamily family;
        family.name = metric.name;
        family.help = metric.help;
        const bool counts = metric.kind == report::MetricKind::counter;
        family.type = counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
        for (const report::MetricValue& sample : metric.read(seen)) {
            prometheus::ClientMetric one;
            if (!metric.label.empty()) one.label.push_back({std::string(metric.label), sample.label});
            if (!metric.second_label.empty()) one.label.push_back({std::string(metric.second_label), sample.second});
            (counts ? one.counter.value : one.gauge.value) = sample.value;
            family.metric.push_back(std::move(one));
        }
        families.push_back(std::move(family));
    }
    return prometheus::TextSerializer().Serialize(families);
}
}  // namespace

http::Routing read_metrics(Call call) {
    if (const auto query = parse_query<Nothing>(call.head.query); !query) return problem_reply(query.error(), call.head.path);
    return http::Reply{200, "text/plain; version=0.0.4; charset=utf-8", {}, text_of(look(call)), {}};
}
}  // namespace vramd::api
