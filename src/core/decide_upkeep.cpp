/// Defragmentations and optimizes: accepted, told, ended. What they do in between are moves, releases and unloads like anybody's, each
/// decided by the state as it is then.
#include <algorithm>

#include "core/decide.hpp"
#include "core/upkeep.hpp"

namespace vramd::core {
namespace {
constexpr std::size_t preserve_max = 1000;
constexpr u64 hundredths_max = 10'000;
/// Models go when more than this is used, down to this, where no target is named (the analysis' first-in, first-out policy).
constexpr u64 usage_high_hundredths = 8'000;
constexpr u64 usage_low_hundredths = 7'000;

Result<std::vector<u16>> devices_of(const memory::Books& books, const std::string& device_id) {
    std::vector<u16> devices;
    for (u16 i = 0; i < books.devices().size(); ++i)
        if (books.devices()[i].capacity_bytes > 0 && (device_id.empty() || books.devices()[i].id == device_id)) devices.push_back(i);
    if (devices.empty()) return no_device(books, device_id);
    return devices;
}

Result<std::vector<u64>> serials_of(const State& state, const Caller& caller, const std::vector<AllocationId>& ids) {
    std::vector<u64> serials;
    for (const AllocationId id : ids) {
        const memory::Allocation* allocation = state.books.allocation(id);
        if (allocation == nullptr || !may_see(state, caller, *allocation)) return not_found("allocation", to_text(id));
        serials.push_back(id.serial);
    }
    std::ranges::sort(serials);
    return serials;
}

u64 used_bytes(const State& state, u16 device) { return state.books.sums(device).live + state.books.sums(device).zombie; }
}  // namespace

Result<UpkeepRequest> checked_upkeep(const State& state, const UpkeepCommand& command, Moment now) {
    UpkeepRequest request = command.request;
    if (request.actions.empty()) return refuse(Code::invalid_field, "/operations", "/operations must name at least one.");
    if (command.preserve.size() > preserve_max || request.preserve_models.size() > preserve_max)
        return refuse(Code::invalid_field, "/preserveAllocationIds", std::max(command.preserve.size(), request.preserve_models.size()),
                      preserve_max);
    if (request.target_fragmentation_hundredths > hundredths_max)
        return refuse(Code::invalid_field, "/targetFragmentationPercentage",
                      "/targetFragmentationPercentage must be from 0 to 100, got " +
                          std::to_string(request.target_fragmentation_hundredths / 100) + ".");
    if (request.target_usage_hundredths > hundredths_max && request.target_usage_hundredths != usage_of_policy)
        return refuse(Code::invalid_field, "/targetUsagePercentage",
                      "/targetUsagePercentage must be from 0 to 100, got " + std::to_string(request.target_usage_hundredths / 100) + ".");
    TRY(request.devices, devices_of(state.books, command.device_id));
    TRY(request.preserve, serials_of(state, command.caller, command.preserve));
    for (const std::string& name : request.preserve_models)
        if (state.catalogue.model_named(name) == nullptr)
            return refuse(Code::not_found, "/preserveModels", "There is no model " + name + ".");
    std::ranges::sort(request.preserve_models);
    request.own_only = command.caller.role != Role::admin;
    request.deadline_monotonic_ns = request.time_limit_ns == 0 ? 0 : now.monotonic_ns + request.time_limit_ns;
    if (state.catalogue.running() >= model::running_max)
        return refuse(Code::busy, "operations",
                      "As many operations are running as may run at once (" + std::to_string(model::running_max) + ").");
    for (const u16 device : request.devices)
        if (const auto others = state.catalogue.upkeeps_of(device); !others.empty())
            return refuse(Code::conflict, "/deviceId",
                          "The operation " + to_text(others.front()) + " works on " + state.books.devices()[device].id +
                              " already; wait for its end or cancel it.");
    return request;
}

Result<Decision> decide_one(const State& state, const UpkeepCommand& command, Moment now) {
    TRY(UpkeepRequest request, checked_upkeep(state, command, now));
    UpkeepStarted started;
    started.id = {state.catalogue.next_operation(), command.operation_secret};
    started.owner = command.caller.owner;
    for (const u16 device : request.devices) started.before.push_back(memory::figures_of(state.books, device));
    started.request = std::move(request);
    started.monotonic_ns = now.monotonic_ns;
    started.wall_ns = now.wall_ns;
    Decision decision;
    decision.operation = started.id;
    decision.events.push_back(std::move(started));
    decision.effects.push_back(UpkeepEffect{decision.operation});
    return decision;
}

Result<Decision> decide_one(const State& state, const UpkeepToldCommand& command, Moment now) {
    const model::Operation* operation = state.catalogue.operation(command.operation);
    Decision decision;
    if (operation == nullptr || operation->state != OperationState::running || !operation->is_upkeep()) return decision;
    decision.operation = command.operation;
    UpkeepTold told{command.operation, command.result};
    told.result.duration_ns = now.monotonic_ns - operation->upkeep.started_monotonic_ns;
    told.result.after.clear();
    if (command.ended)
        for (const u16 device : operation->upkeep.request.devices) told.result.after.push_back(memory::figures_of(state.books, device));
    decision.events.push_back(std::move(told));
    if (!command.ended) return decision;
    Error error = command.error;
    if (*command.ended != OperationState::succeeded) error.detail = describe(error);
    decision.events.push_back(OperationEnded{command.operation, *command.ended, std::move(error), now.wall_ns});
    return decision;
}

Result<Decision> decide_one(const State& state, const ReleaseEmptyCommand& command, Moment) {
    Decision decision;
    for (const BlockKey key : state.books.empty_blocks(command.device)) {
        const memory::BlockRow& row = state.books.block(key)->row;
        if (!command.owner.empty() && state.books.name(row.owner) != command.owner) continue;
        if (std::ranges::binary_search(command.frozen, key)) continue;
        decision.freed_bytes += row.size_bytes;
        release_block(decision, key);
    }
    return decision;
}

memory::Layout layout_for(const State& state, u16 device, const UpkeepRequest& request, std::string_view owner, const AtHand& at_hand,
                          u64 now_wall_ns) {
    std::vector<u64> in_use = at_hand.in_use;
    for (const auto& [serial, transfer] : state.transfers.transfers())
        if (transfer.is_open()) in_use.insert(in_use.end(), {transfer.plan.source.serial, transfer.plan.target.serial});
    std::ranges::sort(in_use);
    memory::LayoutFilter filter;
    if (request.own_only) filter.owner = owner;
    filter.in_use = in_use;
    filter.preserve = request.preserve;
    filter.frozen = at_hand.frozen;
    return memory::layout_of(state.books, device, filter, now_wall_ns);
}

memory::Plan plan_upkeep(const memory::Layout& layout, const UpkeepRequest& request, UpkeepAction action) {
    memory::PlanBounds bounds;
    bounds.target_fragmentation_hundredths = request.target_fragmentation_hundredths;
    if (action != UpkeepAction::compact) return memory::plan(layout, request.strategy, bounds);
    bounds.scope = memory::PlanScope::within_blocks;
    return memory::plan(layout, DefragmentStrategy::thorough, bounds);
}

std::optional<ReclaimCommand> reclaim_for(const State& state, u16 device, const UpkeepRequest& request) {
    const u64 capacity = state.books.devices()[device].capacity_bytes;
    const auto share = [capacity](u64 hundredths) { return static_cast<u64>(u128{capacity} * hundredths / hundredths_max); };
    const u64 used = used_bytes(state, device);
    const bool named = request.target_usage_hundredths != usage_of_policy;
    const u64 target = share(named ? request.target_usage_hundredths : usage_low_hundredths);
    if (used <= (named ? target : share(usage_high_hundredths))) return std::nullopt;
    ReclaimCommand command;
    command.device = device;
    command.wanted_bytes = used - target;
    command.reach = ReclaimReach::models_only;
    command.preserve = request.preserve_models;
    for (const auto& [serial, copy] : state.catalogue.copies())
        if (std::ranges::binary_search(request.preserve, serial))
            command.preserve.push_back(state.catalogue.model(copy.model)->names.front());
    std::ranges::sort(command.preserve);
    return command;
}

void note_left(UpkeepActed& acted, const memory::Plan& plan) {
    acted.left += plan.left_in_use + plan.left_pinned;
    if (plan.left_in_use > 0 && acted.stopped_by != UpkeepStop::time_bound) acted.stopped_by = UpkeepStop::leased;
    if (plan.left_pinned > 0 && acted.stopped_by == UpkeepStop::done) acted.stopped_by = UpkeepStop::pinned;
    if (acted.stopped_by == UpkeepStop::leased) acted.why_left = "Memory in use keeps blocks where they are.";
    if (acted.stopped_by == UpkeepStop::pinned) acted.why_left = "Memory that is to stay keeps blocks where they are.";
}

void note_passed_over(UpkeepActed& acted, u64 models) {
    acted.left += models;
    if (models > 0) acted.why_left = "Models that are pinned, used or to be preserved stay.";
}
}  // namespace vramd::core
