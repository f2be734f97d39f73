/// Limits: told, tried, set; and what goes by itself when a device is fuller than its emergency threshold.
#include <algorithm>

#include "core/report/shortfall.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
/// What a decision takes back, in the words of the state before it.
Reclaimed reclaimed_by(const core::State& state, const core::Decision& decision) {
    Reclaimed told;
    told.bytes = decision.freed_bytes;
    told.passed_over = decision.passed_over;
    for (const Event& event : decision.events) {
        if (const auto* gone = std::get_if<ModelGone>(&event)) told.models.push_back(state.catalogue.model(gone->id.serial)->names.front());
        if (const auto* block = std::get_if<BlockReleasing>(&event))
            told.blocks += state.books.block(block->block)->row.kind == BlockKind::arena ? 1 : 0;
    }
    return told;
}
}  // namespace

Result<report::LimitsTold> Runner::limits(std::string_view device_id) {
    const Lock lock(lock_);
    const auto device = state_.books.device_named(device_id);
    if (!device || state_.books.devices()[*device].capacity_bytes == 0) return core::no_device(state_.books, device_id);
    return report::limits(state_, *device, state_.books.devices()[*device].limits);
}

Result<LimitsChanged> Runner::set_limits(SetLimitsCommand command, Trial trial) {
    LimitsChanged changed;
    Told told;
    core::Decision decision;
    {
        const Lock lock(lock_);
        Command prepared(std::move(command));
        prepare(prepared);
        const auto& asked = std::get<SetLimitsCommand>(prepared);
        // The same decision twice under one lock: for what it takes back can only be named while it is there.
        TRY(decision, core::decide(state_, prepared, ports_.clock()));
        const memory::DeviceRow& row = state_.books.devices()[*decision.device];
        TRY(const DeviceLimits limits, memory::changed(row.limits, asked.change, row.capacity_bytes));
        const core::ReclaimScope scope{*decision.device, ReclaimReach::models, {}, asked.frozen, asked.in_use, {}, ports_.clock().wall_ns};
        changed.impact = report::impact(state_, scope, limits, asked.enforce);
        changed.limits = report::limits(state_, *decision.device, limits);
        if (trial == Trial::dry_run) return changed;
        changed.reclaimed = reclaimed_by(state_, decision);
        std::move_only_function<void(const core::Decision&)> tell = [&](const core::Decision& made) {
            changed.limits = report::limits(state_, *made.device, state_.books.devices()[*made.device].limits);
        };
        TRY(decision, commit_locked(prepared, tell, told));
    }
    finish(told, decision.effects);
    return changed;
}

Result<Reclaimed> Runner::reclaim(ReclaimCommand command) {
    Reclaimed reclaimed;
    Told told;
    core::Decision decision;
    {
        const Lock lock(lock_);
        Command prepared(std::move(command));
        prepare(prepared);
        TRY(decision, core::decide(state_, prepared, ports_.clock()));
        reclaimed = reclaimed_by(state_, decision);
        std::move_only_function<void(const core::Decision&)> nothing;
        TRY(decision, commit_locked(prepared, nothing, told));
    }
    finish(told, decision.effects);
    return reclaimed;
}

/// What brings a device down to its emergency threshold, if it holds more; the newest model stays, for it is what somebody wants now.
std::optional<ReclaimCommand> Runner::emergency_of(u16 device) {
    const memory::DeviceRow& row = state_.books.devices()[device];
    const u64 threshold = memory::emergency_bytes(row.limits, row.capacity_bytes);
    if (row.limits.emergency_hundredths == memory::hundredths_whole || core::excess_bytes(state_, device, threshold) == 0)
        return std::nullopt;
    ReclaimCommand command;
    command.device = device;
    command.down_to_bytes = threshold;
    const model::Copy* newest = nullptr;
    for (const auto& [serial, copy] : state_.catalogue.copies())
        if (copy.device == device && copy.state == ModelState::resident &&
            (newest == nullptr || copy.loaded_wall_ns >= newest->loaded_wall_ns))
            newest = &copy;
    if (newest != nullptr) command.preserve.push_back(state_.catalogue.model(newest->model)->names.front());
    return command;
}

/// A device that came to hold more than its emergency threshold lets models go until it does not.
void Runner::note_emergency(const Event& event, Told& told) {
    std::optional<u16> device;
    if (const auto* reserved = std::get_if<BlockReserved>(&event)) device = reserved->device;
    if (const auto* set = std::get_if<LimitsSet>(&event)) device = set->device;
    if (const auto* resident = std::get_if<ModelResident>(&event)) device = resident->device;
    if (!device) return;
    if (auto command = emergency_of(*device)) told.push_back([this, command = *std::move(command)] { conclude(command); });
}

/// Models that were used when the threshold was passed go once they are not.
void Runner::look_for_emergencies() {
    std::vector<ReclaimCommand> found;
    {
        const Lock lock(lock_);
        for (u16 device = 0; device < state_.books.devices().size(); ++device)
            if (auto command = emergency_of(device)) found.push_back(*std::move(command));
    }
    for (ReclaimCommand& command : found) (void)commit(std::move(command));  // What cannot be recorded now is looked for again.
}

Shortfall Runner::shortfall_of(const AllocateCommand& command) {
    const Lock lock(lock_);
    AllocateCommand asked = command;
    asked.frozen = frozen_blocks();
    asked.in_use = used_allocations();
    asked.closed = closed_to(newcomer, static_cast<u64>(asked.priority));
    report::Figures figures = report::shortfall(state_, asked, ports_.clock());
    return {command.size_bytes, figures.available_bytes, figures.largest_free_bytes, std::move(figures.suggestions)};
}
}  // namespace vramd::engine
