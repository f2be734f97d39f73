#include "core/report/report.hpp"

namespace vramd::report {
TransferTold transfer(const core::State& state, const memory::Transfer& transfer) {
    TransferTold told;
    told.plan = transfer.plan;
    told.source_device_id = state.books.devices()[transfer.plan.source_device].id;
    told.target_device_id = state.books.devices()[transfer.plan.target_device].id;
    told.state = transfer.state;
    told.cancelling = transfer.ending.has_value();
    if (transfer.state == TransferState::failed || transfer.state == TransferState::cancelled) told.error = transfer.error;
    told.result = transfer.result;
    told.begun_wall_ns = transfer.begun_wall_ns;
    told.ended_wall_ns = transfer.ended_wall_ns;
    return told;
}

TransferPage transfers(const core::State& state, const Caller& caller, const TransferFilter& filter) {
    TransferPage page;
    const auto& rows = state.transfers.transfers();
    for (auto at = rows.lower_bound(filter.before_serial); at != rows.begin();) {
        --at;
        const memory::Transfer& row = at->second;
        if (caller.role != Role::admin && row.plan.owner != caller.owner) continue;
        if (!filter.owner.empty() && row.plan.owner != filter.owner) continue;
        if (filter.state && row.state != *filter.state) continue;
        if (filter.mode && row.plan.mode != *filter.mode) continue;
        const std::string& from = state.books.devices()[row.plan.source_device].id;
        const std::string& to = state.books.devices()[row.plan.target_device].id;
        if (!filter.device_id.empty() && from != filter.device_id && to != filter.device_id) continue;
        if (page.items.size() == filter.limit) {
            page.next_before_serial = page.items.back().plan.id.serial;
            break;
        }
        page.items.push_back(transfer(state, row));
    }
    return page;
}
}  // namespace vramd::report
