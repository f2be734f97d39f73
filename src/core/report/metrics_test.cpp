#include "core/report/metrics.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace vramd;
using namespace vramd::report;

namespace {
/// What dashboards, alerts and scrapers outside rely on: a name is added here when it is new, and never taken out or changed.
constexpr std::string_view frozen[] = {"vramd_audit_findings",
                                       "vramd_audits_failed_total",
                                       "vramd_audits_total",
                                       "vramd_build_info",
                                       "vramd_core_recovery_seconds",
                                       "vramd_core_replayed_events",
                                       "vramd_core_start_time_seconds",
                                       "vramd_core_starts_total",
                                       "vramd_device_allocations",
                                       "vramd_device_available_bytes",
                                       "vramd_device_blocks",
                                       "vramd_device_capacity_bytes",
                                       "vramd_device_fragmentation_ratio",
                                       "vramd_device_free_bytes",
                                       "vramd_device_free_runs",
                                       "vramd_device_health",
                                       "vramd_device_healthy",
                                       "vramd_device_largest_free_bytes",
                                       "vramd_device_limit_bytes",
                                       "vramd_device_live_bytes",
                                       "vramd_device_model_bytes",
                                       "vramd_device_other_processes_bytes",
                                       "vramd_device_physical_bytes",
                                       "vramd_device_pressure_cause",
                                       "vramd_device_pressure_ratio",
                                       "vramd_device_reclaimable_bytes",
                                       "vramd_device_reserved_bytes",
                                       "vramd_device_zombie_bytes",
                                       "vramd_event_readers",
                                       "vramd_events_total",
                                       "vramd_evicted_bytes_total",
                                       "vramd_evictions_total",
                                       "vramd_http_connections",
                                       "vramd_http_dropped_readers_total",
                                       "vramd_http_refused_total",
                                       "vramd_http_replies_total",
                                       "vramd_http_requests_total",
                                       "vramd_ledger_disk_free_bytes",
                                       "vramd_ledger_events_total",
                                       "vramd_ledger_file_bytes",
                                       "vramd_ledger_room_bytes",
                                       "vramd_link_limit_bytes_per_second",
                                       "vramd_link_transferred_bytes_total",
                                       "vramd_model_copies",
                                       "vramd_model_copy_bytes",
                                       "vramd_models",
                                       "vramd_operations",
                                       "vramd_owner_allocations",
                                       "vramd_owner_live_bytes",
                                       "vramd_owner_quota_bytes",
                                       "vramd_owner_quota_used_bytes",
                                       "vramd_read_only",
                                       "vramd_reclaim_asked_bytes_total",
                                       "vramd_reclaim_asked_total",
                                       "vramd_reclaim_given_bytes_total",
                                       "vramd_reclaim_given_total",
                                       "vramd_reclaim_kept_total",
                                       "vramd_start_time_seconds",
                                       "vramd_transfer_bytes_total",
                                       "vramd_transfers",
                                       "vramd_transfers_ended_total",
                                       "vramd_waiting_allocations",
                                       "vramd_waiting_loads",
                                       "vramd_workers"};
}  // namespace

TEST_CASE("the metrics are those that scrapers know, each once, in order, with help, a prefix and a counter's ending") {
    std::vector<std::string_view> names;
    for (const Metric& metric : metrics()) {
        CAPTURE(metric.name);
        names.push_back(metric.name);
        CHECK(metric.help.ends_with('.'));
        CHECK(metric.help.find('\\') == std::string_view::npos);
        CHECK(metric.name.ends_with("_total") == (metric.kind == MetricKind::counter));
    }
    CHECK(std::ranges::equal(names, frozen));
    CHECK(std::ranges::is_sorted(names));
    CHECK(std::ranges::adjacent_find(names) == names.end());
}

TEST_CASE("however many owners there are, a scrape names the largest and adds up the rest") {
    MetricsSeen seen;
    u64 sum = 0;
    for (u64 i = 0; i < 500; ++i) {
        seen.owners.push_back({"owner" + std::to_string(i), i * 100, 1});
        sum += i * 100;
    }
    for (const Metric& metric : metrics()) {
        if (metric.name != "vramd_owner_live_bytes") continue;
        const std::vector<MetricValue> samples = metric.read(seen);
        CHECK(samples.size() == owners_max + 1);
        CHECK(samples.front().label == "owner499");
        double told = 0;
        std::map<std::string, int> labels;
        for (const MetricValue& sample : samples) {
            told += sample.value;
            CHECK(++labels[sample.label] == 1);
        }
        CHECK(told == static_cast<double>(sum));
    }
    seen.owners = {{"other", 7, 1}, {"me", 5, 1}};  // An owner of that very name is no second sample.
    for (const Metric& metric : metrics())
        if (metric.name == "vramd_owner_live_bytes") CHECK(metric.read(seen).size() == 2);
}
