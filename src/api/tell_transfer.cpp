#include "api/tell.hpp"
#include "base/clock.hpp"

namespace vramd::api {
Transfer tell_transfer(const report::TransferTold& told) {
    Transfer transfer;
    const TransferPlan& plan = told.plan;
    transfer.id = to_text(plan.id);
    transfer.status = told.state;
    transfer.mode = plan.mode;
    transfer.priority = plan.priority;
    transfer.owner = plan.owner;
    transfer.source_allocation_id = to_text(plan.source);
    transfer.source_device_id = told.source_device_id;
    transfer.target_allocation_id = to_text(plan.target);
    transfer.target_device_id = told.target_device_id;
    transfer.source_offset_bytes = plan.source_offset_bytes;
    transfer.target_offset_bytes = plan.target_offset_bytes;
    transfer.size_bytes = plan.size_bytes;
    transfer.transferred_bytes = told.result.bytes;
    transfer.progress_percentage = percentage_of(told.result.bytes, plan.size_bytes);
    const u64 average =
        told.result.duration_ns == 0 ? 0 : static_cast<u64>(u128{told.result.bytes} * ns_per_second / told.result.duration_ns);
    TransferThroughput& rate = transfer.throughput;
    if (told.state == TransferState::running) rate.current_bytes_per_second = told.current_bytes_per_second;
    if (average > 0) rate.average_bytes_per_second = average;
    if (told.peak_bytes_per_second > 0) rate.peak_bytes_per_second = told.peak_bytes_per_second;
    if (told.limit_bytes_per_second > 0) {
        rate.link_limit_bytes_per_second = told.limit_bytes_per_second;
        rate.link_limit_measured_at = time_of_ns(told.limit_measured_wall_ns);
        if (average > 0) rate.efficiency_percentage = percentage_of(average, told.limit_bytes_per_second);
    }
    if (told.state == TransferState::running && average > 0)
        transfer.eta_ms = milliseconds_of_ns((plan.size_bytes - told.result.bytes) * ns_per_second / average);
    transfer.stages.push_back({"queued", milliseconds_of_ns(told.result.wait_ns)});
    if (told.begun_wall_ns > 0) transfer.stages.push_back({"copying", milliseconds_of_ns(told.result.duration_ns)});
    transfer.verify = plan.verify;
    if (plan.verify && told.state == TransferState::succeeded) transfer.checksum = hex_text(told.result.checksum);
    transfer.cancelling = told.cancelling;
    transfer.created_at = time_of_ns(plan.wall_ns);
    if (told.begun_wall_ns > 0) transfer.started_at = time_of_ns(told.begun_wall_ns);
    if (told.ended_wall_ns > 0) transfer.ended_at = time_of_ns(told.ended_wall_ns);
    if (told.error) transfer.problem = problem_of(*told.error, {});
    return transfer;
}
}  // namespace vramd::api
