/// The metrics, as one table: name, kind, help and what each reads. A new metric is one row.
///
/// Names begin with `vramd_`, units are base units and stand at the end (`_bytes`, `_seconds`, `_ratio`), counters end with `_total`.
/// Labels are bounded: devices as configured, owners the `owners_max` with most memory and `other` for the rest, states and event types as
/// the code lists them, quotas as admins set them. Names are frozen: dashboards and alerts are made of them (metrics_test.cpp holds the
/// list).
#pragma once
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/report/limits.hpp"
#include "core/report/told.hpp"
#include "terms/pressure.hpp"

namespace vramd::report {
inline constexpr std::size_t owners_max = 20;

/// How a device can be.
inline constexpr std::array<std::string_view, 3> health_names = {"good", "degraded", "lost"};

/// What the copies of one tier take of a device.
struct TierUse {
    u64 copies = 0;
    u64 bytes = 0;
};
/// What may come, and has come, from one device to another.
struct LinkSeen {
    std::string from;
    std::string to;
    u64 limit_bytes_per_second = 0;  ///< As measured; 0: not yet, or it is one device.
    u64 transferred_bytes = 0;
};

/// One device, with what was read beside its books.
struct DeviceSeen {
    DeviceBooks books;
    u64 other_processes_bytes = 0;
    u64 physical_bytes = 0;
    u64 model_bytes = 0;
    bool healthy = true;
    std::string_view health = {};  ///< One of `health_names`.
    std::array<TierUse, EnumNames<ModelTier>::names.size()> tiers{};
    u64 evicted_copies = 0;  ///< Of models, since the core's start; as are their bytes.
    u64 evicted_bytes = 0;
    u64 available_bytes = 0;      ///< What can be had now without evicting.
    u64 pressure_hundredths = 0;  ///< The level.
    std::string_view pressure_cause = {};
    u64 limit_bytes = 0;  ///< The most that may be used, the reserve included.
    std::vector<OwnerQuotaTold> quotas;
};

/// All that the metrics are made of, seen at one scrape.
struct MetricsSeen {
    std::string version;
    u64 core_starts = 0;
    u64 started_wall_ns = 0;
    u64 core_started_wall_ns = 0;
    u64 recovery_ns = 0;
    u64 replayed_events = 0;
    bool read_only = false;
    u64 ledger_sequence = 0;
    u64 ledger_room_bytes = 0;
    u64 ledger_file_bytes = 0;
    u64 ledger_disk_free_bytes = 0;
    u64 audits = 0;
    u64 audits_failed = 0;
    u64 audit_findings = 0;
    u64 workers = 0;
    u64 event_readers = 0;
    std::vector<DeviceSeen> devices;
    std::vector<OwnerUsage> owners;
    std::vector<std::pair<std::string_view, u64>> models;           ///< By state.
    std::vector<std::pair<std::string_view, u64>> operations;       ///< Kept ones, by state.
    std::vector<std::pair<std::string_view, u64>> events;           ///< Recorded by this core, by type.
    std::vector<std::pair<std::string_view, u64>> transfers;        ///< Open ones, by state.
    std::vector<std::pair<std::string_view, u64>> transfers_ended;  ///< Under this core, by how they ended.
    u64 transferred_bytes = 0;
    std::vector<LinkSeen> links;  ///< Every pair of devices, either way.
    u64 waiting_allocations = 0;
    u64 waiting_loads = 0;
    u64 asked = 0;  ///< Clients, to let go of models, under this core; as are the next four.
    u64 asked_bytes = 0;
    u64 given = 0;
    u64 given_bytes = 0;
    u64 kept = 0;
    u64 http_connections = 0;
    u64 http_requests = 0;
    u64 http_refused = 0;
    u64 http_dropped_readers = 0;
    std::vector<std::pair<std::string_view, u64>> http_replies;  ///< By the class of their status.
};

struct MetricValue {
    std::string label;  ///< The value of the row's label; empty where it has none.
    double value = 0;
    std::string second = {};  ///< The value of the row's second label.
};

enum class MetricKind : u8 { gauge, counter };

struct Metric {
    std::string_view name;
    MetricKind kind = MetricKind::gauge;
    std::string_view help;
    std::string_view label;  ///< Its name; empty: none.
    std::vector<MetricValue> (*read)(const MetricsSeen& seen) = nullptr;
    std::string_view second_label = {};  ///< Its name, for rows that tell of two things at once.
};

/// All rows, by name.
[[nodiscard]] std::span<const Metric> metrics();
}  // namespace vramd::report
