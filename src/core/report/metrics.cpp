#include "core/report/metrics.hpp"

#include <algorithm>
#include <array>

#include "base/clock.hpp"

namespace vramd::report {
namespace {
using Samples = std::vector<MetricValue>;

double seconds(u64 ns) { return static_cast<double>(ns) / static_cast<double>(ns_per_second); }
Samples one(double value) { return {{{}, value}}; }
Samples one(u64 value) { return one(static_cast<double>(value)); }

/// One figure of each device.
template <class Figure>
Samples each_device(const MetricsSeen& seen, Figure&& figure) {
    Samples samples;
    for (const DeviceSeen& device : seen.devices) samples.push_back({device.books.device_id, static_cast<double>(figure(device))});
    return samples;
}

Samples each(const std::vector<std::pair<std::string_view, u64>>& counts) {
    Samples samples;
    for (const auto& [name, count] : counts) samples.push_back({std::string(name), static_cast<double>(count)});
    return samples;
}

/// One figure of each quota.
template <class Figure>
Samples each_quota(const MetricsSeen& seen, Figure&& figure) {
    Samples samples;
    for (const DeviceSeen& device : seen.devices)
        for (const OwnerQuotaTold& quota : device.quotas)
            samples.push_back({device.books.device_id, static_cast<double>(figure(quota)), quota.owner});
    return samples;
}

/// 1 for the cause that holds, 0 for the others.
Samples each_cause(const MetricsSeen& seen) {
    Samples samples;
    for (const DeviceSeen& device : seen.devices)
        for (const std::string_view cause : EnumNames<PressureCause>::names)
            samples.push_back({device.books.device_id, device.pressure_cause == cause ? 1.0 : 0.0, std::string(cause)});
    return samples;
}

/// 1 for how a device is, 0 for what it could be else.
Samples each_health(const MetricsSeen& seen) {
    Samples samples;
    for (const DeviceSeen& device : seen.devices)
        for (const std::string_view state : health_names)
            samples.push_back({device.books.device_id, device.health == state ? 1.0 : 0.0, std::string(state)});
    return samples;
}

/// One figure of each tier of each device.
Samples each_tier(const MetricsSeen& seen, u64 TierUse::*figure) {
    Samples samples;
    for (const DeviceSeen& device : seen.devices)
        for (std::size_t tier = 0; tier < device.tiers.size(); ++tier)
            samples.push_back(
                {device.books.device_id, static_cast<double>(device.tiers[tier].*figure), std::string(EnumNames<ModelTier>::names[tier])});
    return samples;
}

/// Of the pairs whose limit is known.
Samples each_limit(const MetricsSeen& seen) {
    Samples samples;
    for (const LinkSeen& link : seen.links)
        if (link.limit_bytes_per_second > 0) samples.push_back({link.from, static_cast<double>(link.limit_bytes_per_second), link.to});
    return samples;
}
Samples each_transferred(const MetricsSeen& seen) {
    Samples samples;
    for (const LinkSeen& link : seen.links) samples.push_back({link.from, static_cast<double>(link.transferred_bytes), link.to});
    return samples;
}

/// The owners with most memory by name, the rest together.
template <class Figure>
Samples each_owner(const MetricsSeen& seen, Figure&& figure) {
    std::vector<OwnerUsage> owners = seen.owners;
    std::ranges::sort(owners, [](const OwnerUsage& a, const OwnerUsage& b) {
        return a.live_bytes != b.live_bytes ? a.live_bytes > b.live_bytes : a.owner < b.owner;
    });
    Samples samples;
    u64 rest = 0;
    for (std::size_t i = 0; i < owners.size(); ++i) {
        if (i < owners_max && owners[i].owner != "other")
            samples.push_back({owners[i].owner, static_cast<double>(figure(owners[i]))});
        else
            rest += figure(owners[i]);
    }
    samples.push_back({"other", static_cast<double>(rest)});
    return samples;
}

constexpr std::array table = {
    Metric{"vramd_audit_findings",
           MetricKind::gauge,
           "What the last audit of the books found wrong; one is made each hour, and whenever it is asked for.",
           {},
           [](const MetricsSeen& s) { return one(s.audit_findings); }},
    Metric{"vramd_audits_failed_total",
           MetricKind::counter,
           "Audits that found something wrong, since the core's start.",
           {},
           [](const MetricsSeen& s) { return one(s.audits_failed); }},
    Metric{"vramd_audits_total",
           MetricKind::counter,
           "Audits of the books since the core's start.",
           {},
           [](const MetricsSeen& s) { return one(s.audits); }},
    Metric{"vramd_build_info", MetricKind::gauge, "Always 1; the label tells the version.", "version",
           [](const MetricsSeen& s) {
               return Samples{{s.version, 1.0}};
           }},
    Metric{"vramd_core_recovery_seconds",
           MetricKind::gauge,
           "What the last start of the core took until it served.",
           {},
           [](const MetricsSeen& s) { return one(seconds(s.recovery_ns)); }},
    Metric{"vramd_core_replayed_events",
           MetricKind::gauge,
           "Events that the last start of the core replayed.",
           {},
           [](const MetricsSeen& s) { return one(s.replayed_events); }},
    Metric{"vramd_core_start_time_seconds",
           MetricKind::gauge,
           "When the core started, in seconds since 1970.",
           {},
           [](const MetricsSeen& s) { return one(seconds(s.core_started_wall_ns)); }},
    Metric{"vramd_core_starts_total",
           MetricKind::counter,
           "Starts of the core since the keeper's.",
           {},
           [](const MetricsSeen& s) { return one(s.core_starts); }},
    Metric{"vramd_device_allocations", MetricKind::gauge, "Allocations on the device.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.allocations; }); }},
    Metric{"vramd_device_available_bytes", MetricKind::gauge, "Bytes that can be had now without evicting.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.available_bytes; }); }},
    Metric{"vramd_device_blocks", MetricKind::gauge, "Blocks of physical memory that the device holds.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.blocks; }); }},
    Metric{"vramd_device_capacity_bytes", MetricKind::gauge, "The device's capacity as configured.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.total_bytes; }); }},
    Metric{"vramd_device_fragmentation_ratio", MetricKind::gauge, "1 - largest free run / free bytes, from 0 to 1.", "device",
           [](const MetricsSeen& s) {
               return each_device(s, [](const DeviceSeen& d) { return d.books.fragmentation_percentage() / 100.0; });
           }},
    Metric{"vramd_device_free_bytes", MetricKind::gauge, "Bytes that no allocation holds.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.free_bytes; }); }},
    Metric{"vramd_device_free_runs", MetricKind::gauge, "Free runs: the fewer, the less fragmented.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.holes; }); }},
    Metric{"vramd_device_health", MetricKind::gauge, "1 for how the device is, 0 for the other states.", "device", each_health, "state"},
    Metric{"vramd_device_healthy", MetricKind::gauge, "1 while the device works, 0 when it is degraded or lost.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.healthy ? 1 : 0; }); }},
    Metric{"vramd_device_largest_free_bytes", MetricKind::gauge, "The largest free run.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.largest_free_bytes; }); }},
    Metric{"vramd_device_limit_bytes", MetricKind::gauge, "The most that may be used of the device, the reserve included.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.limit_bytes; }); }},
    Metric{"vramd_device_live_bytes", MetricKind::gauge, "Bytes granted to allocations.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.live_bytes; }); }},
    Metric{"vramd_device_model_bytes", MetricKind::gauge, "Bytes that models take.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.model_bytes; }); }},
    Metric{"vramd_device_other_processes_bytes", MetricKind::gauge, "Bytes that other processes use of the device.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.other_processes_bytes; }); }},
    Metric{"vramd_device_physical_bytes", MetricKind::gauge, "The hardware's memory.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.physical_bytes; }); }},
    Metric{"vramd_device_pressure_cause", MetricKind::gauge, "1 for who makes the device tight, 0 for the others.", "device", each_cause,
           "cause"},
    Metric{"vramd_device_pressure_ratio", MetricKind::gauge, "How tight the device's memory is, from 0 to 1.", "device",
           [](const MetricsSeen& s) {
               return each_device(s, [](const DeviceSeen& d) { return static_cast<double>(d.pressure_hundredths) / 100'00; });
           }},
    Metric{"vramd_device_reclaimable_bytes", MetricKind::gauge, "Bytes of models that nobody holds or pinned.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.reclaimable_bytes; }); }},
    Metric{"vramd_device_reserved_bytes", MetricKind::gauge, "Bytes that the device's limits keep back.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.reserved_bytes; }); }},
    Metric{"vramd_device_zombie_bytes", MetricKind::gauge, "Bytes given up that somebody still holds.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.books.zombie_bytes; }); }},
    Metric{"vramd_event_readers",
           MetricKind::gauge,
           "Readers of the event stream.",
           {},
           [](const MetricsSeen& s) { return one(s.event_readers); }},
    Metric{"vramd_events_total", MetricKind::counter, "Events recorded since the core's start, by type.", "type",
           [](const MetricsSeen& s) { return each(s.events); }},
    Metric{"vramd_evicted_bytes_total", MetricKind::counter,
           "Bytes of models that went without their owner's word, since the core's start.", "device",
           [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.evicted_bytes; }); }},
    Metric{"vramd_evictions_total", MetricKind::counter, "Models' copies that went without their owner's word, since the core's start.",
           "device", [](const MetricsSeen& s) { return each_device(s, [](const DeviceSeen& d) { return d.evicted_copies; }); }},
    Metric{
        "vramd_http_connections", MetricKind::gauge, "Open connections.", {}, [](const MetricsSeen& s) { return one(s.http_connections); }},
    Metric{"vramd_http_dropped_readers_total",
           MetricKind::counter,
           "Streams ended because their reader was too slow.",
           {},
           [](const MetricsSeen& s) { return one(s.http_dropped_readers); }},
    Metric{"vramd_http_refused_total",
           MetricKind::counter,
           "Requests refused for what they are, before any route.",
           {},
           [](const MetricsSeen& s) { return one(s.http_refused); }},
    Metric{"vramd_http_replies_total", MetricKind::counter, "Replies since the core's start, by the class of their status.", "class",
           [](const MetricsSeen& s) { return each(s.http_replies); }},
    Metric{"vramd_http_requests_total",
           MetricKind::counter,
           "Requests that were let in.",
           {},
           [](const MetricsSeen& s) { return one(s.http_requests); }},
    Metric{"vramd_ledger_disk_free_bytes",
           MetricKind::gauge,
           "Bytes free on the disk of the state directory.",
           {},
           [](const MetricsSeen& s) { return one(s.ledger_disk_free_bytes); }},
    Metric{"vramd_ledger_events_total",
           MetricKind::counter,
           "The number of the ledger's last event.",
           {},
           [](const MetricsSeen& s) { return one(s.ledger_sequence); }},
    Metric{"vramd_ledger_file_bytes",
           MetricKind::gauge,
           "The size of one file of the ledger.",
           {},
           [](const MetricsSeen& s) { return one(s.ledger_file_bytes); }},
    Metric{"vramd_ledger_room_bytes",
           MetricKind::gauge,
           "Bytes left for events in the ledger's files; below half of a file the next one is made.",
           {},
           [](const MetricsSeen& s) { return one(s.ledger_room_bytes); }},
    Metric{"vramd_link_limit_bytes_per_second", MetricKind::gauge, "What can be copied from a device to another, as measured.", "from",
           each_limit, "to"},
    Metric{"vramd_link_transferred_bytes_total", MetricKind::counter,
           "Bytes of transfers from a device to another that succeeded, since the core's start.", "from", each_transferred, "to"},
    Metric{"vramd_model_copies", MetricKind::gauge, "Copies of models on the device, by tier.", "device",
           [](const MetricsSeen& s) { return each_tier(s, &TierUse::copies); }, "tier"},
    Metric{"vramd_model_copy_bytes", MetricKind::gauge, "Bytes of the copies of models on the device, by tier.", "device",
           [](const MetricsSeen& s) { return each_tier(s, &TierUse::bytes); }, "tier"},
    Metric{"vramd_models", MetricKind::gauge, "Models, by state.", "state", [](const MetricsSeen& s) { return each(s.models); }},
    Metric{"vramd_operations", MetricKind::gauge, "Operations that can be asked for, by state.", "state",
           [](const MetricsSeen& s) { return each(s.operations); }},
    Metric{"vramd_owner_allocations", MetricKind::gauge, "Allocations of an owner.", "owner",
           [](const MetricsSeen& s) { return each_owner(s, [](const OwnerUsage& o) { return o.allocations; }); }},
    Metric{"vramd_owner_live_bytes", MetricKind::gauge, "Bytes granted to an owner's allocations.", "owner",
           [](const MetricsSeen& s) { return each_owner(s, [](const OwnerUsage& o) { return o.live_bytes; }); }},
    Metric{"vramd_owner_quota_bytes", MetricKind::gauge, "The quota of an owner on a device.", "device",
           [](const MetricsSeen& s) { return each_quota(s, [](const OwnerQuotaTold& q) { return q.quota_bytes; }); }, "owner"},
    Metric{"vramd_owner_quota_used_bytes", MetricKind::gauge, "What an owner with a quota holds of it.", "device",
           [](const MetricsSeen& s) { return each_quota(s, [](const OwnerQuotaTold& q) { return q.held_bytes; }); }, "owner"},
    Metric{"vramd_read_only",
           MetricKind::gauge,
           "1 while changes cannot be recorded.",
           {},
           [](const MetricsSeen& s) { return one(s.read_only ? 1.0 : 0.0); }},
    Metric{"vramd_reclaim_asked_bytes_total",
           MetricKind::counter,
           "Bytes that clients were asked to let go of, since the core's start.",
           {},
           [](const MetricsSeen& s) { return one(s.asked_bytes); }},
    Metric{"vramd_reclaim_asked_total",
           MetricKind::counter,
           "How often a client was asked to let go of a model, since the core's start.",
           {},
           [](const MetricsSeen& s) { return one(s.asked); }},
    Metric{"vramd_reclaim_given_bytes_total",
           MetricKind::counter,
           "Bytes that clients let go of in time, having been asked to, since the core's start.",
           {},
           [](const MetricsSeen& s) { return one(s.given_bytes); }},
    Metric{"vramd_reclaim_given_total",
           MetricKind::counter,
           "How often a client let go of a model in time, having been asked to, since the core's start.",
           {},
           [](const MetricsSeen& s) { return one(s.given); }},
    Metric{"vramd_reclaim_kept_total",
           MetricKind::counter,
           "How often a client answered that it keeps what it was asked to let go of, since the core's start.",
           {},
           [](const MetricsSeen& s) { return one(s.kept); }},
    Metric{"vramd_start_time_seconds",
           MetricKind::gauge,
           "When the keeper started, in seconds since 1970.",
           {},
           [](const MetricsSeen& s) { return one(seconds(s.started_wall_ns)); }},
    Metric{"vramd_transfer_bytes_total",
           MetricKind::counter,
           "Bytes of transfers that succeeded since the core's start.",
           {},
           [](const MetricsSeen& s) { return one(s.transferred_bytes); }},
    Metric{"vramd_transfers", MetricKind::gauge, "Transfers that wait or run, by state.", "state",
           [](const MetricsSeen& s) { return each(s.transfers); }},
    Metric{"vramd_transfers_ended_total", MetricKind::counter, "Transfers that ended since the core's start, by how.", "state",
           [](const MetricsSeen& s) { return each(s.transfers_ended); }},
    Metric{"vramd_waiting_allocations",
           MetricKind::gauge,
           "Requests that wait for room or for their owner's own quota.",
           {},
           [](const MetricsSeen& s) { return one(s.waiting_allocations); }},
    Metric{"vramd_waiting_loads",
           MetricKind::gauge,
           "Loads that wait for room: for clients that were asked, or for another load.",
           {},
           [](const MetricsSeen& s) { return one(s.waiting_loads); }},
    Metric{"vramd_workers", MetricKind::gauge, "Loading processes that run.", {}, [](const MetricsSeen& s) { return one(s.workers); }},
};
}  // namespace

std::span<const Metric> metrics() { return table; }
}  // namespace vramd::report
