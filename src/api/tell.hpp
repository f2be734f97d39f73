/// From what the engine tells to the resources that answers show.
#pragma once
#include "api/resources_analytics.hpp"
#include "api/resources_events.hpp"
#include "api/resources_model.hpp"
#include "api/resources_status.hpp"
#include "api/resources_system.hpp"
#include "api/resources_transfer.hpp"
#include "engine/engine.hpp"

namespace vramd::api {
/// A checksum as answers show it: 16 digits.
[[nodiscard]] std::string hex_text(u64 number);
[[nodiscard]] ContentStats tell_content(const engine::ContentStats& told);
[[nodiscard]] Allocation tell_allocation(const report::AllocationTold& told);
[[nodiscard]] AllocationList tell_allocations(const report::AllocationPage& page);
[[nodiscard]] Performance tell_total(u64 total_ns);
[[nodiscard]] AllocationMade tell_made(const engine::Allocated& allocated);
[[nodiscard]] DeviceAfter tell_after(const report::DeviceBooks& books);
[[nodiscard]] Freed tell_freed(const engine::Freed& freed);
[[nodiscard]] Moved tell_moved(u64 bytes, u64 duration_ns, u64 limit_bytes_per_second);

[[nodiscard]] Transfer tell_transfer(const report::TransferTold& told);

[[nodiscard]] LedgerEvent tell_event(const engine::EventTold& event);
[[nodiscard]] Fragmentation tell_fragmentation(const report::DeviceBooks& books);
[[nodiscard]] DeviceStatus tell_status(const engine::DeviceTold& told);
/// The totals of the devices' statuses, which it keeps.
[[nodiscard]] MemoryStatus tell_statuses(std::vector<DeviceStatus> devices);
/// `told` narrowed to what the caller may see.
[[nodiscard]] Usage tell_usage(const report::UsageTold& told, const std::vector<engine::DeviceTold>& devices, const Caller& caller);
/// Narrowed to what the caller may see.
[[nodiscard]] UsagePast tell_past(const engine::PastTold& told, const Caller& caller);
[[nodiscard]] DevicePressure tell_pressure(const engine::PressureTold& told);
[[nodiscard]] Action tell_advice(const report::Advice& advice);
[[nodiscard]] OutlookTold tell_outlook(const report::Outlook& outlook);
[[nodiscard]] DeviceAnalytics tell_analysis(const engine::AnalysisTold& told);
[[nodiscard]] DeviceModels tell_models_of(const engine::ModelsOfDevice& told);
[[nodiscard]] OptimizedModels tell_optimized(const engine::OptimizedModels& told);
[[nodiscard]] Device tell_device(const engine::DeviceTold& told);
[[nodiscard]] System tell_system(const engine::SystemTold& told, const Caller& caller);
[[nodiscard]] Audit tell_audit(const engine::AuditTold& told, const Caller& caller);
/// Of free memory by the books, what can really be had: less what others took of what no block covers yet.
[[nodiscard]] u64 available_bytes(const engine::DeviceTold& told);

[[nodiscard]] Model tell_model(const report::ModelTold& told);
/// `dry_run` is the caller's to set.
[[nodiscard]] Defragmentation tell_defragmentation(const report::UpkeepProgress& told);
[[nodiscard]] Optimization tell_optimization(const report::UpkeepProgress& told);
[[nodiscard]] Operation tell_operation(const report::OperationTold& told, u64 now_wall_ns);
[[nodiscard]] AvailableModel tell_available(const engine::AvailableModel& told);
}  // namespace vramd::api
