// links: core device/host transfer
/// What it takes to make room for 1 GiB in a device of 32 GiB that is 95 % full of 10,000 ranges: planning, deciding, copying.
///
/// The books are real (decide and apply, event by event); the copies' time is measured apart, as memcpy of the same sizes through the
/// transfer engine on this machine's memory, for a device of 32 GiB is larger than many machines. Beside the bytes moved stands the least
/// that any plan could move for as much, by a bound that ignores whether the ranges fit; on small layouts, by trying every plan.
/// `--quick` plans fewer rounds.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "core/driver.hpp"
#include "core/memory/defragment_trial.hpp"
#include "core/upkeep.hpp"
#include "device/host/host.hpp"
#include "transfer/engine.hpp"

namespace {
using namespace vramd;
using namespace vramd::core;
using namespace vramd::memory;

constexpr u64 device_bytes = 32 * gib;
constexpr u64 ranges_wanted = 10'000;
constexpr u64 wanted_bytes = gib;
int rounds = 9;

double seconds_of(u64 ns) { return static_cast<double>(ns) / 1e9; }

/// Sizes from 1 MiB to just below what gets a block of its own, evenly on a logarithmic scale.
u64 any_size(SeededRandom& random) {
    const double part = static_cast<double>(random.below(u64{1} << 53)) / static_cast<double>(u64{1} << 53);
    return static_cast<u64>(static_cast<double>(mib) * std::exp(part * std::log(7.99)));
}

/// A device filled to its end and thinned out to 95 %, with 10,000 ranges left.
Driver full_device(u64 owners) {
    Driver driver;
    driver.add_device("a", device_bytes);
    SeededRandom random(7);
    std::vector<std::pair<std::string, AllocationId>> all;
    for (;;) {
        const std::string owner = "owner" + std::to_string(random.below(owners));
        const AllocationId id = driver.allocate(owner, any_size(random));
        if (id.serial == 0) break;
        all.emplace_back(owner, id);
    }
    const auto live = [&driver] { return static_cast<double>(driver.state.books.sums(0).live) / static_cast<double>(device_bytes); };
    while (live() > 0.95) {
        const u64 at = random.below(all.size());
        if (!driver.free(all[at].first, all[at].second)) std::abort();
        all[at] = all.back();
        all.pop_back();
    }
    return driver;
}

/// The least bytes that gain so much, if every range fitted everywhere: the emptiest blocks, whatever they hold.
u64 least_moved_bytes(const Layout& layout, u64 gained_bytes) {
    std::vector<std::pair<u64, u64>> blocks;  // Live, size.
    for (const LayoutBlock& block : layout.blocks) {
        u64 live = 0;
        for (const LayoutRange& range : block.ranges) live += range.granted_bytes;
        blocks.emplace_back(live, block.size_bytes);
    }
    std::ranges::sort(blocks, [](const auto& a, const auto& b) { return a.first * b.second < b.first * a.second; });
    u64 moved = 0;
    for (const auto& [live, size] : blocks) {
        if (gained_bytes == 0) break;
        const u64 taken = std::min(gained_bytes, size);
        moved += static_cast<u64>(static_cast<double>(live) * static_cast<double>(taken) / static_cast<double>(size));
        gained_bytes -= taken;
    }
    return moved;
}

/// Bytes per second of copies of a plan's sizes, block to block, as the daemon makes them.
double copy_rate(const Plan& plan) {
    auto device = device::host::open({.capacity_bytes = 4 * gib});
    if (!device) std::abort();
    const u64 block_bytes = 64 * mib;
    for (u64 key : {1, 2})
        if (!(*device)->create({key, block_bytes, device::BlockKind::arena})) std::abort();
    transfer::Engine engine{transfer::Options{}};
    u64 bytes = 0;
    const u64 begun = monotonic_ns();
    for (const PlannedMove& move : plan.moves) {
        if (bytes > 2 * gib) break;
        transfer::Job job;
        job.kind = transfer::Kind::copy;
        job.source = transfer::Place{device->get(), 1, *Range::within(block_bytes, 0, move.granted_bytes)};
        job.target = transfer::Place{device->get(), 2, *Range::within(block_bytes, 0, move.granted_bytes)};
        job.priority = transfer::Priority::low;
        std::promise<bool> ended;
        if (!engine.submit(std::move(job), [&ended](const Result<transfer::Outcome>& outcome) { ended.set_value(outcome.has_value()); }))
            std::abort();
        if (!ended.get_future().get()) std::abort();
        bytes += move.granted_bytes;
    }
    return static_cast<double>(bytes) / seconds_of(std::max<u64>(monotonic_ns() - begun, 1));
}

struct Room {
    u64 plan_ns = 0;
    u64 books_ns = 0;  ///< Deciding and applying every move, release and the allocation.
    Plan plan;
    bool had = false;
};
/// Plans and does moves until the allocation fits, as far as `strategy` goes.
Room make_room_for(Driver driver, DefragmentStrategy strategy) {
    Room room;
    const UpkeepRequest request{
        .devices = {0}, .actions = {UpkeepAction::defragment}, .strategy = strategy, .preserve = {}, .preserve_models = {}};
    const Layout layout = layout_for(driver.state, 0, request, "root", {}, driver.now.wall_ns);
    u64 begun = monotonic_ns();
    room.plan = plan(layout, strategy, {});
    room.plan_ns = monotonic_ns() - begun;
    begun = monotonic_ns();
    u64 moved = 0;
    for (const PlannedMove& move : room.plan.moves) {
        if (driver.state.books.uncommitted_bytes(0) >= wanted_bytes) break;
        const AllocationId id = driver.state.books.allocation_by_serial(move.serial)->row.id;
        if (!driver.give(MoveCommand{1, id, move.to, false, {}}) || !driver.give(MovedCommand{id, false, {}})) std::abort();
        driver.finish();
        driver.effects.clear();
        moved += move.granted_bytes;
    }
    room.had = driver.allocate("root", wanted_bytes).serial != 0;
    room.books_ns = monotonic_ns() - begun;
    room.plan.moved_bytes = moved;
    return room;
}

void measure(u64 owners) {
    const Driver driver = full_device(owners);
    const FreeFigures before = figures_of(driver.state.books, 0);
    std::printf("\n%llu owners: %llu allocations in %llu blocks, %.2f %% live, %.2f GiB free in %llu holes, the largest %.1f MiB\n",
                static_cast<unsigned long long>(owners), static_cast<unsigned long long>(before.allocations),
                static_cast<unsigned long long>(before.blocks),
                100.0 * static_cast<double>(before.capacity_bytes - before.free_bytes) / static_cast<double>(before.capacity_bytes),
                static_cast<double>(before.free_bytes) / static_cast<double>(gib), static_cast<unsigned long long>(before.holes),
                static_cast<double>(before.largest_free_bytes) / static_cast<double>(mib));
    std::printf("%-12s %10s %10s %12s %8s %9s %10s %10s %8s\n", "strategy", "plan", "books", "copy (est.)", "moves", "moved", "gained",
                "of least", "room");
    UpkeepRequest request;
    request.devices = {0};
    const Layout layout = layout_for(driver.state, 0, request, "root", {}, driver.now.wall_ns);
    for (const auto strategy : {DefragmentStrategy::quick, DefragmentStrategy::balanced, DefragmentStrategy::thorough}) {
        std::vector<Room> runs;
        for (int round = 0; round < rounds; ++round) runs.push_back(make_room_for(driver, strategy));
        std::ranges::sort(runs, {}, &Room::plan_ns);
        const Room& room = runs[runs.size() / 2];
        const double rate = room.plan.moves.empty() ? 1 : copy_rate(room.plan);
        const u64 needed = room.had ? wanted_bytes : room.plan.gained_bytes;
        const u64 uncommitted = layout.figures.uncommitted_bytes;
        const u64 least = least_moved_bytes(layout, needed > uncommitted ? needed - uncommitted : 0);
        std::printf("%-12s %7.2f ms %7.2f ms %9.1f ms %8zu %6.2f GiB %6.2f GiB %9.3f %8s\n", std::string(name_of(strategy)).c_str(),
                    seconds_of(room.plan_ns) * 1e3, seconds_of(room.books_ns) * 1e3,
                    static_cast<double>(room.plan.moved_bytes) / rate * 1e3, room.plan.moves.size(),
                    static_cast<double>(room.plan.moved_bytes) / static_cast<double>(gib),
                    static_cast<double>(room.plan.gained_bytes) / static_cast<double>(gib),
                    least == 0 ? 0.0 : static_cast<double>(room.plan.moved_bytes) / static_cast<double>(least), room.had ? "yes" : "no");
    }
}

/// On layouts small enough to try every plan: what is moved and gained, of the best.
void measure_optimum() {
    std::printf("\nagainst every plan, on small layouts (gained bytes per byte moved; the best moves least for the same gain)\n");
    double ours = 0, best = 0, gained = 0, possible = 0;
    u64 layouts = 0;
    for (u64 seed = 1; seed <= 600; ++seed) {
        Choices choices = Choices::from_seed(seed);
        LayoutWish wish{.blocks = 3 + choices.below(5), .block_granules_max = 32, .owners = 1 + choices.below(2), .range_granules_max = 8};
        wish.alignment_log2_max = 8;
        wish.held_one_in = wish.closed_one_in = 0;
        const Layout layout = any_layout(choices, wish);
        const Plan made = plan(layout, DefragmentStrategy::balanced, {});
        const BestEvacuation optimum(layout);
        possible += static_cast<double>(optimum.most_gained_bytes());
        gained += static_cast<double>(made.gained_bytes);
        const auto least = optimum.least_moved_bytes(made.gained_bytes);
        if (made.moves.empty() || !least) continue;
        ours += static_cast<double>(made.moved_bytes);
        best += static_cast<double>(*least);
        ++layouts;
    }
    std::printf("%llu layouts: moved %.4f of the least for the same gain; gained %.4f of the most that any plan could\n",
                static_cast<unsigned long long>(layouts), ours / best, gained / possible);
}
}  // namespace

int main(int argument_count, char** arguments) {
    if (argument_count > 1 && std::string_view(arguments[1]) == "--quick") rounds = 3;
    std::printf("defragment: room for %.0f GiB in %.0f GiB\n", static_cast<double>(wanted_bytes) / static_cast<double>(gib),
                static_cast<double>(device_bytes) / static_cast<double>(gib));
    std::printf(
        "room: whether the allocation fitted then; moved: until it did; gained: by the whole plan; of least: moved against a bound\n");
    measure(1);
    measure(8);
    measure_optimum();
    return 0;
}
