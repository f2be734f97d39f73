/// What must hold after every step: the invariants, figures computed a second way, and at rest that everything that was open has ended.
#include <algorithm>

#include "clients.hpp"
#include "core/report/report.hpp"

namespace vramd::simulation {
namespace {
struct Taken {
    u64 offset_bytes;
    u64 granted_bytes;
    bool zombie = false;
};

/// The free memory of a device as its list of ranges says it, from the rows alone: no sum, hole list or sub-allocator of the books is
/// asked.
report::DeviceBooks recount(const core::State& state, u16 device, u64 usable_bytes, const std::map<BlockKey, std::vector<Taken>>& taken) {
    report::DeviceBooks books;
    books.total_bytes = state.books.devices()[device].capacity_bytes;
    const auto count_run = [&books](u64 bytes) {
        if (bytes == 0) return;
        books.free_bytes += bytes;
        books.holes += 1;
        books.largest_free_bytes = std::max(books.largest_free_bytes, bytes);
    };
    u64 committed = 0;
    for (const auto& [key, block] : state.books.blocks()) {
        if (block.row.device != device) continue;
        committed += block.row.size_bytes;
        if (block.row.state == BlockState::releasing) {
            books.zombie_bytes += block.row.size_bytes;
            continue;
        }
        u64 end = 0;
        if (const auto ranges = taken.find(key); ranges != taken.end())
            for (const Taken& range : ranges->second) {
                if (range.offset_bytes < end) fail("two ranges share bytes");
                count_run(range.offset_bytes - end);
                end = range.offset_bytes + range.granted_bytes;
                (range.zombie ? books.zombie_bytes : books.live_bytes) += range.granted_bytes;
            }
        if (end > block.row.size_bytes) fail("a range leaves its block");
        // What was to be alone in a block that is still being made may be gone: its bytes are free, and no hole that anything fits.
        if (block.row.kind == BlockKind::arena)
            count_run(block.row.size_bytes - end);
        else
            books.free_bytes += block.row.size_bytes - end;
    }
    if (committed > books.total_bytes) fail("the blocks are larger than their device");
    count_run(usable_bytes > committed ? usable_bytes - committed : 0);
    // What the limits keep back is not free, wherever it lies.
    const u64 used = books.live_bytes + books.zombie_bytes;
    books.free_bytes = usable_bytes > used ? usable_bytes - used : 0;
    books.largest_free_bytes = std::min(books.largest_free_bytes, books.free_bytes);
    return books;
}

std::map<BlockKey, std::vector<Taken>> taken_of(const core::State& state) {
    std::map<BlockKey, std::vector<Taken>> taken;
    for (const auto& [serial, allocation] : state.books.allocations())
        taken[allocation.row.block].push_back(
            {allocation.row.offset_bytes, allocation.row.granted_bytes, allocation.row.status == AllocationStatus::zombie});
    for (const auto& [serial, move] : state.books.moves()) taken[move.block].push_back({move.offset_bytes, move.granted_bytes});
    for (auto& [key, ranges] : taken) std::ranges::sort(ranges, {}, &Taken::offset_bytes);
    return taken;
}

}  // namespace

void Clients::compare_books(const core::State& state) const {
    const auto taken = taken_of(state);
    for (u16 device = 0; device < state.books.devices().size(); ++device) {
        const report::DeviceBooks told = report::device_books(state, device, report::Detail::sums);
        const report::DeviceBooks counted = recount(state, device, usable(told.device_id, told.total_bytes), taken);
        const auto differ = [&told](const char* what) {
            fail("device " + told.device_id + ": " + what + " differ from the list of ranges");
        };
        if (told.live_bytes + told.zombie_bytes + told.reserved_bytes + told.free_bytes != told.total_bytes)
            fail("a device's bytes do not add up");
        if (told.live_bytes != counted.live_bytes) differ("live bytes");
        if (told.zombie_bytes != counted.zombie_bytes) differ("zombie bytes");
        if (told.free_bytes != counted.free_bytes) differ("free bytes");
        if (told.largest_free_bytes != counted.largest_free_bytes) differ("the largest hole");
        if (told.holes != counted.holes) differ("holes");
        if (told.fragmentation_percentage() != counted.fragmentation_percentage()) differ("fragmentation");
    }
}

void Clients::check() {
    see_sessions();
    see_served();
    see_transfers();
    see_upkeeps();
    // A lease that ran out ends at the world's next steps; what is gone by then is forgotten here.
    std::erase_if(held_, [this](const auto& entry) {
        return expired(entry.second) && entry.second.busy == 0 && !entry.second.in_transfer() &&
               !world_.core().allocation(admin, entry.first);
    });
    note_models();
    met_["a load waited for room"] += world_.core().work().waiting_loads;
    for (const std::string& finding : world_.core().findings()) fail(finding);
    check_layout();
}

/// Ranges, figures, and that what is pinned, read or to be preserved lies where it lay.
void Clients::check_layout() {
    world_.core().look([this](const core::State& state) {
        compare_books(state);
        const auto lies_at = [&state](AllocationId id, const Place& place) {
            const memory::Allocation* allocation = state.books.allocation(id);
            return allocation != nullptr && allocation->row.block == place.first && allocation->row.offset_bytes == place.second;
        };
        for (const Reader& reader : readers_)
            if (!lies_at(reader.id, reader.place)) fail("memory went away, or was moved, while it was being read");
        for (const auto& [id, held] : held_)
            if (held.fixed && state.books.allocation(id) != nullptr && !lies_at(id, *held.fixed)) fail("memory of a fixed place was moved");
        for (const auto& [operation, upkeeping] : upkeeps_)
            for (const auto& [id, place] : upkeeping.preserved)
                if (held_.contains(id) && state.books.allocation(id) != nullptr && !lies_at(id, place))
                    fail("memory that was to stay was moved");
    });
}

void Clients::compare(AllocationId id, Held& held) {
    if (!held.may_compare()) return;
    const auto bytes = content(held.owner, id, &held);
    if (!bytes) return;
    if (held.unsure && bytes->size() == held.bytes.size()) {
        held.bytes = *bytes;
        held.unsure = false;
    }
    if (*bytes != held.bytes) fail("allocation " + std::to_string(id.serial) + " holds other bytes than were written");
    renewed(held);
}

void Clients::compare_all() {
    for (auto& [id, held] : held_) {
        if (expired(held) && !world_.core().allocation(admin, id)) continue;
        compare(id, held);
    }
    compare_models();
    for (const auto& [id, state] : over_)
        if (const auto told = world_.core().read_transfer(admin, id); told && told->state != state) fail("a transfer ended twice");
}

void Clients::settle(Choices& choices) {
    for (u64 i = 0; i < 100'000; ++i) {
        if (!world_.step(choices)) return;
        see_transfers();
        see_upkeeps();
    }
    fail("it never comes to rest");
}

void Clients::finish(Choices& choices) {
    while (ClientSession* const session = any_session(choices, Seat::connected)) end_one(*session);
    world_.disarm();
    do {  // A load that ends may bring one more.
        while (!readers_.empty()) let_reader_go(0);
        rest(choices);
    } while (!readers_.empty());
    faulty_ = false;
    lift_limits();
    rest(choices);
    check();
    if (!transfers_.empty()) fail("a transfer never ends");
    if (!upkeeps_.empty()) fail("an upkeep never ends");
    compare_all();
    world_.advance_ns((engine::session_grace_seconds + 1) * ns_per_second);  // Else a model may be held yet.
    settle(choices);
    check();
    if (!sessions_.empty()) fail("a session never ends");
    if (!zombies_.empty()) fail("a zombie stays that nobody has attached");
    for (const report::ModelTold& model : world_.core().models())
        for (const std::string& name : model.names)
            pinned_.erase(name), world_.core().unload_model({admin, name, ""}, [](Result<engine::Freed>) {});
    uncache("");
    world_.advance_ns(1000 * ns_per_second);
    settle(choices);
    check();
    if (unanswered_ != 0) fail("a request outlived its deadline");
    // Requests that waited for room get it as others let go: until nobody holds anything.
    while (!held_.empty()) {
        const auto [id, held] = *held_.begin();
        held_.erase(id);
        world_.core().free({held.owner, id}, false, [](const Result<engine::Freed>& freed) {
            if (!freed) fail("the last free was refused: " + describe(freed.error()));
        });
        settle(choices);
    }
    if (unanswered_ != 0) fail(std::to_string(unanswered_) + " requests were never answered");
    for (const report::OperationTold& told : world_.core().operations(admin, 10'000))
        if (told.state == OperationState::running) fail("an operation never ended");
    // Empty arenas that their owners keep may hold a capacity above what is configured now.
    for (const engine::DeviceTold& device : world_.core().devices())
        if (device.books.total_bytes !=
            std::max(world_.capacities.at(device.books.device_id), device.books.total_bytes - device.books.uncommitted_bytes))
            fail("the configured capacity of " + device.books.device_id + " does not hold");
    for (const std::string& wrong : world_.leaks()) fail(wrong);
    for (const engine::DeviceTold& device : world_.core().devices())
        if (device.books.live_bytes + device.books.zombie_bytes != 0) fail("bytes are left after everything was given back");
}
}  // namespace vramd::simulation
