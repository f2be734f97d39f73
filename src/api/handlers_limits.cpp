#include <algorithm>
#include <iterator>

#include "api/etag.hpp"
#include "api/handlers.hpp"

namespace vramd::api {
namespace {
OwnerQuota tell_quota(const report::OwnerQuotaTold& told) { return {told.owner, told.quota_bytes, told.held_bytes}; }

void tell_limits(Limits& limits, const report::LimitsTold& told, const Caller& caller) {
    limits.device_id = told.device_id;
    limits.revision = told.revision;
    limits.total_bytes = told.capacity_bytes;
    limits.max_bytes = told.max_bytes;
    // As it was given: the bytes of 90 % are rounded down, and would be told as 89.99 %.
    limits.max_percentage = told.limits.form == LimitForm::percentage ? Percentage{told.limits.max_hundredths}
                                                                      : percentage_of(told.max_bytes, told.capacity_bytes);
    limits.max_given_as = told.limits.form;
    limits.reserve_bytes = told.limits.reserve_bytes;
    limits.emergency_threshold_percentage = {told.limits.emergency_hundredths};
    limits.emergency_threshold_bytes = told.emergency_bytes;
    limits.usable_bytes = told.usable_bytes;
    limits.used_bytes = told.used_bytes;
    limits.held_bytes = told.held_bytes;
    limits.available_bytes = told.available_bytes;
    for (const report::OwnerQuotaTold& quota : told.quotas)
        if (caller.role == Role::admin || quota.owner == caller.owner || quota.owner == core::model_owner)
            limits.owner_quotas.push_back(tell_quota(quota));
}

LimitsImpact tell_impact(const report::LimitsImpact& told) {
    LimitsImpact impact;
    impact.over_bytes = told.over_bytes;
    impact.reclaimable_bytes = told.reclaimable_bytes;
    impact.reclaimable_blocks = told.reclaimable_blocks;
    impact.models = told.models;
    impact.remains_over_bytes = told.remains_over_bytes;
    impact.available_bytes_before = told.available_bytes_before;
    impact.available_bytes_after = told.available_bytes_after;
    std::ranges::transform(told.over_quota, std::back_inserter(impact.owners_over_quota), tell_quota);
    return impact;
}

ChangedLimits tell_changed(const engine::LimitsChanged& changed, const Caller& caller) {
    ChangedLimits told;
    tell_limits(told, changed.limits, caller);
    told.impact = tell_impact(changed.impact);
    told.reclaimed = {changed.reclaimed.bytes, changed.reclaimed.blocks, changed.reclaimed.models};
    return told;
}

Result<SetLimitsCommand> command_of(const Call& call, const LimitsRequest& body) {
    SetLimitsCommand command;
    command.caller = call.caller;
    command.device_id = call.params[0];
    command.change.max_bytes = body.max_bytes;
    if (body.max_percentage) command.change.max_hundredths = body.max_percentage->units;
    command.change.reserve_bytes = body.reserve_bytes;
    if (body.emergency_threshold_percentage) command.change.emergency_hundredths = body.emergency_threshold_percentage->units;
    command.change.owner_quotas = body.owner_quotas;
    command.enforce = body.enforce_immediately ? Enforce::immediately : Enforce::later;
    TRY(command.if_revision, if_match_revision(call.head));
    return command;
}
}  // namespace

void read_limits(Plain asked, Answer<Limits> answer) {
    const auto told = asked.call.engine().limits(asked.call.params[0]);
    if (!told) return std::move(answer)(std::unexpected(told.error()));
    const std::string tag = etag_of(told->revision);
    if (!matches_none(asked.call.head, tag)) return std::move(answer).unmodified(tag);
    Limits limits;
    tell_limits(limits, *told, asked.call.caller);
    std::move(answer).tagged(limits, tag);
}

void set_limits(Asked<Nothing, LimitsRequest> asked, Answer<ChangedLimits> answer) {
    auto command = command_of(asked.call, asked.body);
    if (!command) return std::move(answer)(std::unexpected(command.error()));
    const auto trial = asked.body.dry_run ? engine::Trial::dry_run : engine::Trial::real;
    const auto changed = asked.call.engine().set_limits(*std::move(command), trial);
    if (!changed) return std::move(answer)(std::unexpected(changed.error()));
    ChangedLimits told = tell_changed(*changed, asked.call.caller);
    told.dry_run = asked.body.dry_run;
    std::move(answer).tagged(told, etag_of(changed->limits.revision));
}

/// What is set, and what it leads to now: a change of nothing, tried. What the first answer said was taken back is gone.
template <>
void answer_again(const Call& call, const engine::KeyTold&, Answer<ChangedLimits> answer) {
    SetLimitsCommand nothing;
    nothing.caller = call.caller;
    nothing.device_id = call.params[0];
    const auto as_set = call.engine().set_limits(std::move(nothing), engine::Trial::dry_run);
    if (!as_set) return std::move(answer)(std::unexpected(as_set.error()));
    std::move(answer).tagged(tell_changed(*as_set, call.caller), etag_of(as_set->limits.revision));
}
}  // namespace vramd::api
