/// What is told, as folds over the state. Each is O(what it tells) or as said; the caller holds the engine's lock.
#pragma once
#include "core/report/told.hpp"
#include "core/state.hpp"

namespace vramd::report {
enum class Detail : u8 {
    sums,       ///< All but the histogram. O(blocks of the device).
    histogram,  ///< All. O(blocks + holes of the device).
};
[[nodiscard]] DeviceBooks device_books(const core::State& state, u16 device, Detail detail);
[[nodiscard]] AllocationTold allocation(const core::State& state, const memory::Allocation& allocation);
/// Newest first; walks only what lies between `before_serial` and the page's end.
[[nodiscard]] AllocationPage allocations(const core::State& state, const Caller& caller, const AllocationFilter& filter);
[[nodiscard]] ModelTold model(const core::State& state, const model::Model& model);
[[nodiscard]] std::vector<ModelTold> models(const core::State& state);
/// `done_bytes` and `stage` of a running operation are the engine's to fill in.
[[nodiscard]] OperationTold operation(const core::State& state, const model::Operation& operation);
/// Rates and the progress of a running one are the engine's to fill in.
[[nodiscard]] TransferTold transfer(const core::State& state, const memory::Transfer& transfer);
/// Newest first; a user sees those that they asked for.
[[nodiscard]] TransferPage transfers(const core::State& state, const Caller& caller, const TransferFilter& filter);
/// `request` as it stands in the operation's row, or as it would. `before`: one per device of it.
[[nodiscard]] UpkeepProgress upkeep(const core::State& state, const UpkeepRequest& request, std::vector<FreeFigures> before, UpkeepResult result);
/// Of one device, or of all without one; by purpose only what the caller may see. O(uses and models), whatever number of
/// allocations there is.
[[nodiscard]] UsageTold usage(const core::State& state, const Caller& caller, std::optional<u16> device);
}  // namespace vramd::report
