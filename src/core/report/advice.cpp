#include "core/report/advice.hpp"

#include <algorithm>

#include "core/report/advice_limits.hpp"

namespace vramd::report {
namespace {
constexpr u64 unused_after_ns = u64{86'400} * ns_per_second;
constexpr std::size_t unused_told_max = 3;

std::string count_text(std::size_t count, std::string_view what) {
    return std::to_string(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

AdvisedCall call_of(std::string method, std::string path) {
    AdvisedCall call;
    call.method = std::move(method);
    call.path = std::move(path);
    return call;
}

/// One device of a state, with what is around it.
struct Place {
    const core::State& state;
    u16 device;
    const memory::PressureInput& machine;

    [[nodiscard]] const std::string& id() const { return state.books.devices()[device].id; }
    [[nodiscard]] memory::PressureInput input() const { return pressure_input(state, device, machine); }
    [[nodiscard]] Outlook outlook(u64 released_bytes) const {
        const FreeFigures figures = memory::figures_of(state.books, device);
        const memory::DeviceSums& sums = state.books.sums(device);
        // What the copy released is the machine's again.
        memory::PressureInput machine_after = after_release(machine, released_bytes);
        return {sums.live + sums.zombie, figures.uncommitted_bytes, figures.largest_free_bytes, figures.fragmentation_hundredths(),
                memory::judge(pressure_input(state, device, machine_after)).level};
    }
};

Advice begin(AdviceKind kind, const Place& place) {
    Advice advice;
    advice.kind = kind;
    advice.device_id = place.id();
    advice.before = advice.after = place.outlook(0);
    return advice;
}

struct EvictionWish {
    model::EvictionPolicy policy;
    u64 target_level;
};
/// Down to the default target where the device is tight; else what nobody touched for long.
EvictionWish eviction_wish(u64 level) {
    const u64 target = model::default_target(model::EvictionPolicy::balanced);
    if (level >= target) return {model::EvictionPolicy::balanced, target};
    return {model::EvictionPolicy::conservative, 0};
}

void say_eviction(Advice& advice, const model::Eviction& plan, const EvictionWish& wish) {
    advice.reason = count_text(plan.unload.size(), "model") + " that nobody uses could be unloaded: " + bytes_text(plan.freed_bytes) + ".";
    advice.freed_bytes = plan.freed_bytes;
    advice.call = call_of("POST", "/api/memory/operations/optimize-models");
    advice.call.device_id = advice.device_id;
    advice.call.strategy = name_of(wish.policy);
    advice.call.target_level = wish.target_level;
}

std::optional<Advice> try_eviction(core::State& copy, u16 device, const memory::PressureInput& machine, const Surroundings& around) {
    const Place place{copy, device, machine};
    Advice advice = begin(AdviceKind::evict_models, place);
    const EvictionWish wish = eviction_wish(advice.before.level);
    const auto models = residents(copy, device, around.in_use);
    const model::Eviction plan = plan_eviction(copy, device, machine, models, wish.policy, wish.target_level, {}, around.now_wall_ns);
    if (plan.unload.empty()) return std::nullopt;
    (void)unload_on_copy(copy, device, machine, plan.unload, around.now_wall_ns, advice.after);
    say_eviction(advice, plan, wish);
    return advice;
}

/// `own` limits a user's defragmentation to what the call would let it move.
void try_defragment(const Place& place, const Caller& caller, const Surroundings& around, std::vector<Advice>& list) {
    memory::LayoutFilter filter;
    if (caller.role != Role::admin) filter.owner = caller.owner;
    filter.in_use = around.in_use;
    const memory::Layout layout = memory::layout_of(place.state.books, place.device, filter, around.now_wall_ns);
    const memory::Plan plan = memory::plan(layout, DefragmentStrategy::balanced, {});
    if (!plan.empty.empty()) {
        Advice advice = begin(AdviceKind::release_empty_arenas, place);
        for (const BlockKey key : plan.empty) advice.freed_bytes += place.state.books.block(key)->row.size_bytes;
        advice.after.uncommitted_bytes += advice.freed_bytes;
        advice.after.largest_free_bytes = std::max(advice.after.largest_free_bytes, advice.after.uncommitted_bytes);
        advice.reason =
            count_text(plan.empty.size(), "block") + " with nothing in them could go back: " + bytes_text(advice.freed_bytes) + ".";
        advice.call = call_of("POST", "/api/memory/operations/optimize/" + place.id());
        advice.call.operations = {"garbageCollect"};
        list.push_back(std::move(advice));
    }
    if (plan.emptied_blocks > 0) {
        Advice advice = begin(AdviceKind::defragment, place);
        advice.freed_bytes = plan.gained_bytes;
        advice.after.uncommitted_bytes = plan.after.uncommitted_bytes;
        advice.after.largest_free_bytes = plan.after.largest_free_bytes;
        advice.after.fragmentation = plan.after.fragmentation_hundredths();
        advice.reason = "Moving " + bytes_text(plan.moved_bytes) + " would empty " + count_text(plan.emptied_blocks, "block") + ": " +
                        bytes_text(plan.gained_bytes) + " for anybody.";
        advice.call = call_of("POST", "/api/memory/operations/defragment/" + place.id());
        advice.call.strategy = name_of(DefragmentStrategy::balanced);
        list.push_back(std::move(advice));
    }
}

bool is_mine(const core::State& state, const Caller& caller, const memory::Allocation& allocation) {
    return allocation.row.model == 0 && (caller.role == Role::admin || state.books.name(allocation.row.owner) == caller.owner);
}
u64 idle_ns(const memory::AllocationRow& row, u64 now_wall_ns) {
    return now_wall_ns - std::min(now_wall_ns, std::max(row.accessed_wall_ns, row.created_wall_ns));
}

/// What is left without this allocation: its block goes with it where it is a block of its own. The machine keeps that block or has it
/// given to the target, so its figures stay.
void take_out(Advice& advice, const Place& place, const memory::Allocation& allocation) {
    const memory::BlockRow& block = place.state.books.block(allocation.row.block)->row;
    const u64 released_bytes = block.kind == BlockKind::arena ? 0 : block.size_bytes;
    advice.freed_bytes = allocation.row.granted_bytes;
    advice.after.used_bytes -= advice.freed_bytes;
    advice.after.uncommitted_bytes += released_bytes;
    advice.after.largest_free_bytes = std::max(advice.after.largest_free_bytes, advice.after.uncommitted_bytes);
    memory::PressureInput input = place.input();
    input.used_bytes -= advice.freed_bytes;
    input.uncommitted_bytes += released_bytes;
    if (input.obtainable_bytes) *input.obtainable_bytes += released_bytes;
    advice.after.level = memory::judge(input).level;
}

void find_unused(const Place& place, const Caller& caller, const Surroundings& around, std::vector<Advice>& list) {
    std::vector<const memory::Allocation*> unused;
    for (const auto& [serial, allocation] : place.state.books.allocations()) {
        const memory::AllocationRow& row = allocation.row;
        if (place.state.books.block(row.block)->row.device != place.device || !is_mine(place.state, caller, allocation)) continue;
        const bool stays = row.status != AllocationStatus::live || std::ranges::binary_search(around.in_use, serial);
        if (!stays && idle_ns(row, around.now_wall_ns) >= unused_after_ns) unused.push_back(&allocation);
    }
    std::ranges::stable_sort(unused, std::ranges::greater{}, [](const memory::Allocation* a) { return a->row.granted_bytes; });
    if (unused.size() > unused_told_max) unused.resize(unused_told_max);
    for (const memory::Allocation* allocation : unused) {
        const memory::AllocationRow& row = allocation->row;
        Advice advice = begin(AdviceKind::free_unused, place);
        take_out(advice, place, *allocation);
        advice.reason = bytes_text(row.granted_bytes) + " were neither read nor written for " +
                        std::to_string(idle_ns(row, around.now_wall_ns) / ns_per_second / 3600) + " hours.";
        advice.call = call_of("DELETE", "/api/memory/allocations/" + to_text(row.id));
        list.push_back(std::move(advice));
    }
}

/// The caller's largest allocation that fits a device which is not tight.
std::optional<Advice> find_move(const Place& place, const Caller& caller, const Surroundings& around) {
    const memory::Books& books = place.state.books;
    std::optional<u16> roomiest;
    for (u16 i = 0; i < around.machine.size(); ++i) {
        if (i == place.device || !around.machine[i]) continue;
        if (memory::judge(pressure_input(place.state, i, *around.machine[i])).level >= memory::moderate_from) continue;
        if (!roomiest || books.uncommitted_bytes(i) > books.uncommitted_bytes(*roomiest)) roomiest = i;
    }
    if (!roomiest) return std::nullopt;
    const memory::Allocation* largest = nullptr;
    for (const auto& [serial, allocation] : books.allocations()) {
        const memory::AllocationRow& row = allocation.row;
        const memory::BlockRow& block = books.block(row.block)->row;
        if (block.device != place.device || !is_mine(place.state, caller, allocation) || block.kind == BlockKind::pinned) continue;
        if (row.status != AllocationStatus::live || std::ranges::binary_search(around.in_use, serial)) continue;
        if (row.granted_bytes > books.uncommitted_bytes(*roomiest)) continue;
        if (largest == nullptr || row.granted_bytes > largest->row.granted_bytes) largest = &allocation;
    }
    if (largest == nullptr) return std::nullopt;
    Advice advice = begin(AdviceKind::move_allocation, place);
    const std::string& target = books.devices()[*roomiest].id;
    take_out(advice, place, *largest);
    advice.reason = "The largest allocation fits " + target + ", which has room: " + bytes_text(advice.freed_bytes) + ".";
    advice.call = call_of("POST", "/api/memory/transfer");
    advice.call.source_allocation_id = to_text(largest->row.id);
    advice.call.target_device_id = target;
    advice.call.mode = "move";
    return advice;
}
}  // namespace

bool carry_out(core::State& copy, const Command& command, Moment now) {
    const auto decision = core::decide(copy, command, now);
    if (!decision) return false;
    for (const Event& event : decision->events) core::apply(copy, event);
    for (const Effect& effect : decision->effects)
        if (const auto* release = std::get_if<ReleaseBlockEffect>(&effect))
            (void)carry_out(copy, BlockReleasedCommand{release->block}, now);
    return true;
}

memory::PressureInput pressure_input(const core::State& state, u16 device, memory::PressureInput machine) {
    const memory::DeviceSums& sums = state.books.sums(device);
    machine.usable_bytes = state.books.devices()[device].capacity_bytes;
    machine.used_bytes = sums.live + sums.zombie;
    machine.uncommitted_bytes = state.books.uncommitted_bytes(device);
    return machine;
}

memory::PressureInput after_release(memory::PressureInput input, u64 bytes) {
    for (std::optional<u64>* figure : {&input.obtainable_bytes, &input.system_available_bytes, &input.group_available_bytes})
        if (*figure) **figure += std::min(bytes, number_max - std::min(number_max, **figure));
    return input;
}

std::vector<model::Resident> residents(const core::State& state, u16 device, std::span<const u64> in_use) {
    std::vector<model::Resident> list;
    for (const auto& [serial, copy] : state.catalogue.copies()) {
        if (copy.device != device || copy.state != ModelState::resident) continue;
        const memory::AllocationRow& row = state.books.allocation(copy.allocation)->row;
        model::Resident resident;
        resident.serial = serial;
        resident.size_bytes = row.granted_bytes;
        resident.loaded_wall_ns = copy.loaded_wall_ns;
        resident.touched_wall_ns = std::max(copy.loaded_wall_ns, row.accessed_wall_ns);
        resident.load_ns = copy.load_ns;
        resident.pinned = copy.pinned;
        resident.in_use = std::ranges::binary_search(in_use, row.id.serial);
        list.push_back(resident);
    }
    return list;
}

Outlook outlook_of(const core::State& state, u16 device, const memory::PressureInput& machine, u64 released_bytes) {
    return Place{state, device, machine}.outlook(released_bytes);
}

u64 unload_on_copy(core::State& copy, u16 device, const memory::PressureInput& machine, std::span<const u64> copies, u64 now_wall_ns,
                   Outlook& after) {
    const u64 committed_bytes = copy.books.sums(device).committed;
    ReclaimCommand command;
    command.device = device;
    command.wanted_bytes = number_max;
    command.reach = ReclaimReach::models_only;
    command.copies.assign(copies.begin(), copies.end());
    if (!copies.empty()) (void)carry_out(copy, command, {now_wall_ns, now_wall_ns});  // Never refused: it goes as far as it can.
    const u64 freed_bytes = committed_bytes - copy.books.sums(device).committed;
    after = Place{copy, device, machine}.outlook(freed_bytes);
    return freed_bytes;
}

model::Eviction plan_eviction(const core::State& state, u16 device, const memory::PressureInput& machine,
                              std::span<const model::Resident> models, model::EvictionPolicy policy, u64 target_level,
                              const model::EvictionBounds& bounds, u64 now_wall_ns) {
    const memory::PressureInput now = pressure_input(state, device, machine);
    return model::plan_eviction(models, policy, now_wall_ns, bounds, [&](u64 freed_bytes) {
        memory::PressureInput input = after_release(now, freed_bytes);
        input.used_bytes -= std::min(input.used_bytes, freed_bytes);
        input.uncommitted_bytes += freed_bytes;
        return memory::judge(input).level < target_level;
    });
}

std::vector<Advice> actions_for(const core::State& state, u16 device, const Caller& caller, const Surroundings& around) {
    std::vector<Advice> list;
    if (!around.machine[device]) return list;
    const Place place{state, device, *around.machine[device]};
    const memory::Pressure pressure = memory::judge(place.input());
    if (pressure.band == PressureBand::low) return list;
    Advice advice = begin(AdviceKind::evict_models, place);
    const EvictionWish wish = eviction_wish(pressure.level);
    const auto models = residents(state, device, around.in_use);
    const model::Eviction plan =
        plan_eviction(state, device, place.machine, models, wish.policy, wish.target_level, {}, around.now_wall_ns);
    if (!plan.unload.empty()) {
        say_eviction(advice, plan, wish);
        memory::PressureInput input = after_release(place.input(), plan.freed_bytes);
        input.used_bytes -= std::min(input.used_bytes, plan.freed_bytes);
        input.uncommitted_bytes += plan.freed_bytes;
        advice.after.level = memory::judge(input).level;
        advice.after.used_bytes -= std::min(advice.after.used_bytes, plan.freed_bytes);
        advice.after.uncommitted_bytes += plan.freed_bytes;
        advice.after.largest_free_bytes = std::max(advice.after.largest_free_bytes, advice.after.uncommitted_bytes);
        list.push_back(std::move(advice));
    }
    if (pressure.cause == PressureCause::this_service)
        if (auto move = find_move(place, caller, around)) list.push_back(*std::move(move));
    Advice look = begin(AdviceKind::look_at_usage, place);
    look.reason = pressure.cause == PressureCause::this_service ? "See who holds the device's memory." : "See what other processes hold.";
    look.call = call_of("GET", "/api/memory/usage/" + place.id());
    list.push_back(std::move(look));
    return list;
}

std::string bytes_text(u64 bytes) { return std::to_string(bytes) + " bytes"; }

std::vector<Advice> advise(core::State copy, const Caller& caller, const Surroundings& around) {
    std::vector<Advice> list;
    for (u16 device = 0; device < around.machine.size(); ++device) {
        if (!around.machine[device]) continue;
        const Place place{copy, device, *around.machine[device]};
        try_defragment(place, caller, around, list);
        find_unused(place, caller, around, list);
        advise_limits(copy, device, caller, around, list);
        if (memory::judge(place.input()).level >= memory::moderate_from)
            if (auto move = find_move(place, caller, around)) list.push_back(*std::move(move));
    }
    // Last, for it changes the copy.
    for (u16 device = 0; device < around.machine.size(); ++device)
        if (around.machine[device])
            if (auto eviction = try_eviction(copy, device, *around.machine[device], around)) list.push_back(*std::move(eviction));
    std::ranges::stable_sort(list, [](const Advice& a, const Advice& b) {
        const auto relief = [](const Advice& advice) {
            return static_cast<i64>(advice.before.level) - static_cast<i64>(advice.after.level);
        };
        return relief(a) != relief(b) ? relief(a) > relief(b) : a.freed_bytes > b.freed_bytes;
    });
    return list;
}
}  // namespace vramd::report
