/// Limits, and reclaim by order.
#include <algorithm>

#include "core/decide.hpp"

namespace vramd::core {
Result<Decision> decide_one(const State& state, const SetLimitsCommand& command, Moment now) {
    const auto device = state.books.device_named(command.device_id);
    if (!device || state.books.devices()[*device].capacity_bytes == 0) return no_device(state.books, command.device_id);
    if (command.caller.role != Role::admin) return refuse(Code::forbidden, "limits", "Only an admin may set a device's limits.");
    const memory::DeviceRow& row = state.books.devices()[*device];
    if (command.if_revision && *command.if_revision != row.limits_revision)
        return refuse(Code::precondition_failed, "If-Match",
                      "The limits were changed since: their revision is " + std::to_string(row.limits_revision) + ", not " +
                          std::to_string(*command.if_revision) + ".");
    TRY(DeviceLimits limits, memory::changed(row.limits, command.change, row.capacity_bytes));
    Decision decision;
    decision.device = device;
    const u64 usable = memory::usable_bytes(limits, row.capacity_bytes);
    if (!(limits == row.limits)) decision.events.push_back(LimitsSet{*device, std::move(limits), now.wall_ns});
    if (command.enforce == Enforce::immediately) {
        const ReclaimScope scope{*device, ReclaimReach::models, {}, command.frozen, command.in_use, {}, now.wall_ns};
        reclaim(state, decision, plan_reclaim(state, scope, excess_bytes(state, *device, usable)));
    }
    return decision;
}

Result<Decision> decide_one(const State& state, const ReclaimCommand& command, Moment now) {
    if (command.device >= state.books.devices().size() || command.wanted_bytes.has_value() == command.down_to_bytes.has_value())
        return refuse(Code::invalid_field, "reclaim", "A reclaim needs a device, and either bytes wanted or bytes to come down to.");
    Decision decision;
    decision.device = command.device;
    const ReclaimScope scope{command.device, command.reach,  command.preserve, command.frozen,
                             command.in_use, command.copies, now.wall_ns,      command.idle_min_ns};
    const u64 wanted = command.wanted_bytes ? *command.wanted_bytes : excess_bytes(state, command.device, *command.down_to_bytes);
    reclaim(state, decision, plan_reclaim(state, scope, wanted));
    return decision;
}
}  // namespace vramd::core
