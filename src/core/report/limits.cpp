#include "core/report/limits.hpp"

#include <algorithm>

namespace vramd::report {
namespace {
u64 less(u64 from, u64 taken) { return from > taken ? from - taken : 0; }

std::vector<OwnerQuotaTold> quotas_of(const core::State& state, u16 device, const DeviceLimits& limits) {
    std::vector<OwnerQuotaTold> quotas;
    for (const auto& [owner, quota] : limits.owner_quotas) quotas.push_back({owner, quota, state.books.held_by(device, owner)});
    return quotas;
}
}  // namespace

LimitsTold limits(const core::State& state, u16 device, const DeviceLimits& limits) {
    const memory::DeviceRow& row = state.books.devices()[device];
    const memory::DeviceSums& sums = state.books.sums(device);
    LimitsTold told;
    told.device_id = row.id;
    told.limits = limits;
    told.revision = row.limits_revision;
    told.capacity_bytes = row.capacity_bytes;
    told.max_bytes = memory::max_bytes(limits, row.capacity_bytes);
    told.usable_bytes = memory::usable_bytes(limits, row.capacity_bytes);
    told.emergency_bytes = memory::emergency_bytes(limits, row.capacity_bytes);
    told.used_bytes = sums.live + sums.zombie;
    told.held_bytes = sums.committed;
    told.available_bytes = less(told.usable_bytes, told.used_bytes);
    told.quotas = quotas_of(state, device, limits);
    return told;
}

LimitsImpact impact(const core::State& state, const core::ReclaimScope& scope, const DeviceLimits& limits, Enforce enforce) {
    const memory::DeviceSums& sums = state.books.sums(scope.device);
    const u64 usable = memory::usable_bytes(limits, state.books.devices()[scope.device].capacity_bytes);
    LimitsImpact told;
    told.over_bytes = core::excess_bytes(state, scope.device, usable);
    const core::ReclaimPlan plan = core::plan_reclaim(state, scope, told.over_bytes);
    told.reclaimable_bytes = plan.bytes;
    told.reclaimable_blocks = plan.blocks.size();
    u64 given_up = 0;
    for (const u64 serial : plan.copies) {
        told.models.push_back(state.catalogue.model(state.catalogue.copy(serial)->model)->names.front());
        given_up += state.books.allocation_by_serial(serial)->row.granted_bytes;
    }
    told.remains_over_bytes = less(told.over_bytes, plan.bytes);
    told.available_bytes_before = state.books.free_bytes(scope.device);
    told.available_bytes_after = less(usable, sums.live + sums.zombie - (enforce == Enforce::immediately ? given_up : 0));
    told.over_quota = quotas_of(state, scope.device, limits);
    std::erase_if(told.over_quota, [](const OwnerQuotaTold& row) { return row.held_bytes <= row.quota_bytes; });
    return told;
}
}  // namespace vramd::report
