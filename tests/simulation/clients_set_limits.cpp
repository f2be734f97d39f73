/// Limits, quotas and the reserve as admins set them: tried first, held to a revision, enforced; and what goes by itself above the
/// emergency threshold.
#include <algorithm>

#include "clients.hpp"

namespace vramd::simulation {
namespace {
/// What blocks hold that do not go by themselves: one that is still being made and nobody wants any more goes as soon as it is there.
u64 staying_bytes(const core::State& state, u16 device) {
    const memory::DeviceSums& sums = state.books.sums(device);
    u64 going = sums.zombie;
    for (const auto& [key, block] : state.books.blocks())
        if (block.row.device == device && block.row.state == BlockState::creating && block.allocations().empty())
            going += block.row.size_bytes;
    return sums.committed - going;
}

auto figures_of(const report::LimitsImpact& impact) {
    std::vector<std::string> over;
    for (const auto& row : impact.over_quota)
        over.push_back(row.owner + " " + std::to_string(row.held_bytes) + " of " + std::to_string(row.quota_bytes));
    return std::tuple(impact.over_bytes, impact.reclaimable_bytes, impact.reclaimable_blocks, impact.models, impact.remains_over_bytes,
                      impact.available_bytes_before, impact.available_bytes_after, over);
}
}  // namespace

void Clients::set_limits(Choices& choices) {
    SetLimitsCommand command;
    command.caller = admin;
    command.device_id = choices.one_in(2) ? "a" : "b";
    const report::LimitsTold present = world_.core().limits(command.device_id).value();
    command.change = any_change(choices, present.capacity_bytes);
    command.enforce = choices.one_in(2) ? Enforce::immediately : Enforce::later;
    if (choices.one_in(3)) command.if_revision = present.revision;
    if (choices.one_in(4)) return set_stale_limits(command, present.revision + 1 + choices.below(3));
    std::optional<engine::LimitsChanged> tried;
    if (choices.one_in(2)) tried = try_limits(command);
    const auto changed = change_limits(command);
    if (!changed) return;
    if (command.enforce == Enforce::immediately) check_enforced(command.device_id);
    if (tried) check_tried(*tried, *changed, command.enforce);
}

/// Limits that are others by now than who sets them knows stay as they are, dry or not.
void Clients::set_stale_limits(SetLimitsCommand command, u64 revision) {
    command.if_revision = revision;
    const u64 before = world_.core().hash();
    for (const engine::Trial trial : {engine::Trial::dry_run, engine::Trial::real}) {
        const auto changed = world_.core().set_limits(command, trial);
        if (changed || changed.error().code != Code::precondition_failed) fail("limits of another revision were set");
    }
    if (world_.core().hash() != before) fail("limits that were refused for their revision changed something");
    met_["limits of another revision were refused"] += 1;
}

engine::LimitsChanged Clients::try_limits(const SetLimitsCommand& command) {
    const u64 before = world_.core().hash();
    const auto tried = world_.core().set_limits(command, engine::Trial::dry_run);
    if (!tried) fail("limits cannot be tried: " + describe(tried.error()));
    if (world_.core().hash() != before) fail("limits that were only tried changed something");
    return *tried;
}

/// What a dry run told is what then came of the same change.
void Clients::check_tried(const engine::LimitsChanged& tried, const engine::LimitsChanged& changed, Enforce enforce) {
    if (figures_of(tried.impact) != figures_of(changed.impact)) fail("limits lead to something else than was told when they were tried");
    if (!(tried.limits.limits == changed.limits.limits) || tried.limits.usable_bytes != changed.limits.usable_bytes)
        fail("other limits were set than were tried");
    const bool now = enforce == Enforce::immediately;
    // A block on its way back counts as used until it is gone.
    if (changed.reclaimed.bytes == 0 && tried.impact.available_bytes_after != changed.limits.available_bytes)
        fail("limits leave other room than was told");
    if (changed.reclaimed.bytes != (now ? tried.impact.reclaimable_bytes : 0) ||
        changed.reclaimed.blocks != (now ? tried.impact.reclaimable_blocks : 0))
        fail("enforced limits took back something else than was told when they were tried");
    for (const std::string& name : changed.reclaimed.models)
        if (std::ranges::find(tried.impact.models, name) == tried.impact.models.end())
            fail("enforced limits evicted a model of which nobody was told");
    met_["limits were tried before"] += 1;
    met_["limits that were tried took something back"] += changed.reclaimed.bytes > 0 ? 1 : 0;
}

/// Serials of copies on the device that could go: nobody reads, copies or moves them, or makes another from them.
std::set<u64> Clients::evictable(const core::State& state, u16 device) const {
    std::set<AllocationId> used;
    for (const auto& [id, transferring] : transfers_) used.insert(transferring.told.plan.source);
    for (const Reader& reader : readers_) used.insert(reader.id);
    for (const auto& [number, session] : sessions_)
        for (const auto& [id, hold] : session.holds) used.insert(id);
    std::set<u64> serials;
    for (const auto& [serial, copy] : state.catalogue.copies()) {
        const auto all = state.catalogue.copies_of(copy.model);
        const bool source = std::ranges::find(all, ModelState::loading, &model::Copy::state) != all.end();  // Of one on its way.
        if (copy.device == device && copy.state == ModelState::resident && !copy.pinned && !source && !used.contains(copy.allocation) &&
            state.transfers.of(serial).empty() && state.books.move(copy.allocation.serial) == nullptr)
            serials.insert(serial);
    }
    return serials;
}

/// What is over the limits went, as far as nobody uses or pinned it.
void Clients::check_enforced(const std::string& device_id) {
    world_.core().look([&](const core::State& state) {
        const u16 device = *state.books.device_named(device_id);
        if (staying_bytes(state, device) <= usable(device_id, state.books.devices()[device].capacity_bytes)) return;
        if (!evictable(state, device).empty()) fail("limits were enforced, and a model that nobody uses stayed above them");
    });
}

/// A device that came to hold more than its emergency threshold keeps no model that could go but the newest, which is what somebody wants
/// now. It is looked at when a block was taken, a model came or the limits changed since the last step, and at models that could go then
/// already.
void Clients::check_emergency(const core::State& state) {
    const auto was_copied = [this](const core::State& now, u64 serial) {  // Within the step, and so could not go.
        return std::ranges::any_of(now.catalogue.copies_of(now.catalogue.copy(serial)->model),
                                   [this](const model::Copy* copy) { return copy->allocation.serial >= next_serial_; });
    };
    for (u16 device = 0; device < state.books.devices().size(); ++device) {
        const memory::DeviceRow& row = state.books.devices()[device];
        Watched now{row.limits_revision, 0, 0, evictable(state, device)};
        for (const auto& [key, block] : state.books.blocks())
            if (block.row.device == device) now.newest_block = key;
        u64 newest_loaded_ns = 0;
        for (const auto& [serial, copy] : state.catalogue.copies())
            if (copy.device == device && copy.state == ModelState::resident && copy.loaded_wall_ns >= newest_loaded_ns) {
                now.newest_copy = serial;
                newest_loaded_ns = copy.loaded_wall_ns;
            }
        const Watched before = std::exchange(watched_[row.id], now);
        const bool changed =
            now.revision != before.revision || now.newest_block > before.newest_block || now.newest_copy > before.newest_copy;
        const u64 hundredths = limits_[row.id].emergency_hundredths;
        const u64 most = usable(row.id, row.capacity_bytes);
        const u64 threshold = most / 10'000 * hundredths + most % 10'000 * hundredths / 10'000;
        for (const u64 serial : before.could_go)
            if (!now.could_go.contains(serial))
                met_["a model went above the emergency threshold"] += hundredths < 100'00 && changed ? 1 : 0;
        if (!changed || hundredths == 100'00 || staying_bytes(state, device) <= threshold) continue;
        for (const u64 serial : now.could_go)
            if (serial != now.newest_copy && before.could_go.contains(serial) && !was_copied(state, serial))
                fail("a model that nobody uses stayed on " + row.id + " above its emergency threshold");
        met_["a device stayed above its emergency threshold"] += 1;
    }
}
}  // namespace vramd::simulation
