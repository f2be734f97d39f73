/// What each route does. One function a row of the table in routes.cpp; their contracts are the rows' texts.
#pragma once
#include "api/asked.hpp"
#include "api/resources_analytics.hpp"
#include "api/resources_events.hpp"
#include "api/resources_limits.hpp"
#include "api/resources_model.hpp"
#include "api/resources_requests.hpp"
#include "api/resources_status.hpp"
#include "api/resources_system.hpp"
#include "api/resources_transfer.hpp"
#include "api/resources_upkeep.hpp"

namespace vramd::api {
using Plain = Asked<Nothing, Nothing>;

// System.
[[nodiscard]] Result<System> read_system(const Plain& asked);
[[nodiscard]] Result<Health> read_health(const Plain& asked);
[[nodiscard]] Result<Health> read_readiness(const Plain& asked);
[[nodiscard]] Result<Audit> read_audit(const Plain& asked);
[[nodiscard]] http::Routing read_openapi(Call call);
[[nodiscard]] http::Routing read_problems(Call call);
[[nodiscard]] http::Routing read_problem(Call call);

// What was made before under the same Idempotency-Key (handlers_again.cpp).
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<AllocationMade> answer);
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Freed> answer);
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Model> answer);
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Transfer> answer);
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Defragmentation> answer);
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<Optimization> answer);
template <>
void answer_again(const Call& call, const engine::KeyTold& used, Answer<ChangedLimits> answer);

// Events.
[[nodiscard]] http::Routing stream_events(Call call);
[[nodiscard]] http::Routing read_metrics(Call call);

// Devices.
[[nodiscard]] Result<DeviceList> list_devices(const Asked<PageQuery, Nothing>& asked);
[[nodiscard]] Result<Device> read_device(const Plain& asked);
[[nodiscard]] Result<MemoryStatus> read_statuses(const Asked<StatusQuery, Nothing>& asked);
[[nodiscard]] Result<DeviceStatus> read_status(const Asked<StatusQuery, Nothing>& asked);
[[nodiscard]] Result<UsageReport> read_usage(const Asked<WindowQuery, Nothing>& asked);
[[nodiscard]] Result<UsageReport> read_device_usage(const Asked<WindowQuery, Nothing>& asked);
[[nodiscard]] Result<MemoryPressure> read_pressures(const Plain& asked);
[[nodiscard]] Result<DevicePressure> read_pressure(const Plain& asked);
[[nodiscard]] Result<Analytics> read_analytics(const Asked<AnalyticsQuery, Nothing>& asked);
void read_optimization(Plain asked, Answer<Recommendations> answer);
[[nodiscard]] Result<ModelsMemory> read_model_memory(const Plain& asked);
void optimize_models(Asked<Nothing, OptimizeModelsRequest> asked, Answer<OptimizedModels> answer);

// Limits.
void read_limits(Plain asked, Answer<Limits> answer);
void set_limits(Asked<Nothing, LimitsRequest> asked, Answer<ChangedLimits> answer);

// Allocations.
/// The id in a text. One that is none names nothing: it answers as a missing one (`not_found`, naming `field`).
[[nodiscard]] Result<AllocationId> allocation_from(std::string_view text, std::string_view field);
[[nodiscard]] Result<AllocationList> list_allocations(const Asked<AllocationsQuery, Nothing>& asked);
[[nodiscard]] Result<AllocationList> list_device_allocations(const Asked<DeviceAllocationsQuery, Nothing>& asked);
void read_allocation(Asked<AllocationQuery, Nothing> asked, Answer<Allocation> answer);
void allocate(Asked<Nothing, AllocateRequest> asked, Answer<AllocationMade> answer);
void allocate_here(Asked<Nothing, AllocateHereRequest> asked, Answer<AllocationMade> answer);
void free_allocation(Asked<FreeQuery, Nothing> asked, Answer<Freed> answer);
[[nodiscard]] Result<Allocation> renew_lease(const Asked<Nothing, LeaseRequest>& asked);
void clear(Asked<Nothing, ClearRequest> asked, Answer<Cleared> answer);
void clear_device(Asked<Nothing, ClearDeviceRequest> asked, Answer<Cleared> answer);
void copy(Asked<Nothing, CopyRequest> asked, Answer<Moved> answer);
void defragment(Asked<Nothing, DefragmentRequest> asked, Answer<Defragmentation> answer);
void optimize(Asked<Nothing, OptimizeRequest> asked, Answer<Optimization> answer);
[[nodiscard]] http::Routing read_content(Call call);
[[nodiscard]] http::Routing write_content(Call call);

// Transfers.
void transfer(Asked<Nothing, TransferRequest> asked, Answer<Transfer> answer);
[[nodiscard]] Result<TransferList> list_transfers(const Asked<TransfersQuery, Nothing>& asked);
[[nodiscard]] Result<Transfer> read_transfer(const Plain& asked);
[[nodiscard]] Result<Transfer> cancel_transfer(const Plain& asked);

// Models and operations.
[[nodiscard]] Result<ModelStatus> read_model_status(const Plain& asked);
[[nodiscard]] Result<ModelStatus> read_device_model_status(const Plain& asked);
void load_model(Asked<Nothing, ModelLoadRequest> asked, Answer<Model> answer);
void load_model_here(Asked<Nothing, ModelLoadHereRequest> asked, Answer<Model> answer);
void unload_model(Asked<UnloadQuery, Nothing> asked, Answer<Freed> answer);
void unload_model_here(Asked<UnloadQuery, Nothing> asked, Answer<Freed> answer);
[[nodiscard]] Result<Model> read_model(const Asked<ModelNameQuery, Nothing>& asked);
void list_available_models(Asked<PageQuery, Nothing> asked, Answer<AvailableModelList> answer);
[[nodiscard]] Result<TensorList> list_tensors(const Asked<TensorsQuery, Nothing>& asked);
[[nodiscard]] Result<ModelCache> list_cache(const Asked<PageQuery, Nothing>& asked);
void cache_model(Asked<Nothing, ModelCacheRequest> asked, Answer<Model> answer);
void cache_known_model(Plain asked, Answer<Model> answer);
[[nodiscard]] Result<Model> read_cached_model(const Plain& asked);
void empty_cache(Plain asked, Answer<Freed> answer);
void uncache_model(Plain asked, Answer<Freed> answer);
[[nodiscard]] Result<OperationList> list_operations(const Asked<PageQuery, Nothing>& asked);
[[nodiscard]] Result<Operation> read_operation(const Plain& asked);
[[nodiscard]] Result<Operation> cancel_operation(const Plain& asked);
}  // namespace vramd::api
