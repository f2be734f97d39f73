#include <doctest/doctest.h>

#include "core/driver.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
const std::string& device_of(const Driver& driver, AllocationId id) {
    return driver.state.books.devices()[driver.state.books.block(row_of(driver, id).block)->row.device].id;
}

struct TwoDevices {
    Driver driver;
    AllocationId source;
    TwoDevices() {
        driver.add_device("a", 64 * mib);
        driver.add_device("b", 32 * mib);
        source = driver.allocate("me", 1 * mib);
    }
    TransferCommand command(TransferMode mode) const {
        TransferCommand made;
        made.caller = {"me", Role::user};
        made.source = source;
        made.target_device_id = "b";
        made.mode = mode;
        made.secret = 5;
        made.allocation_secret = 6;
        return made;
    }
    TransferState state_of(TransferId id) const { return driver.state.transfers.transfer(id)->state; }
    Code code_of(const TransferCommand& made) {
        const auto decision = driver.give(made);
        return decision ? Code{} : decision.error().code;
    }
};
}  // namespace

TEST_CASE("a copy to a device makes an allocation that is ready when its bytes are there, and leaves the source alone") {
    TwoDevices world;
    const auto begun = world.driver.give(world.command(TransferMode::copy));
    REQUIRE(begun);
    world.driver.finish();
    const auto& plan = world.driver.state.transfers.transfer(begun->transfer)->plan;
    CHECK(world.state_of(begun->transfer) == TransferState::running);
    CHECK(row_of(world.driver, plan.target).status == AllocationStatus::pending);
    REQUIRE(world.driver.give(TransferredCommand{begun->transfer, {1 * mib, 1, 1, 9}, {}}));
    CHECK(world.state_of(begun->transfer) == TransferState::succeeded);
    CHECK(row_of(world.driver, plan.target).status == AllocationStatus::live);
    CHECK(device_of(world.driver, plan.target) == "b");
    CHECK(device_of(world.driver, world.source) == "a");
    CHECK(audit(world.driver.state).empty());
}

TEST_CASE("a transfer into a block that is being made waits for it, and begins once it is there") {
    for (const TransferMode mode : {TransferMode::copy, TransferMode::move}) {
        TwoDevices world;
        const auto begun = world.driver.give(world.command(mode));
        REQUIRE(begun);
        REQUIRE(world.driver.give(ScheduleTransfersCommand{}));
        CHECK(world.state_of(begun->transfer) == TransferState::queued);
        world.driver.finish();
        CHECK(world.state_of(begun->transfer) == TransferState::running);
    }
}

TEST_CASE("a move to a device keeps the id, and the old place is free only when the bytes are at the new one") {
    TwoDevices world;
    const auto begun = world.driver.give(world.command(TransferMode::move));
    REQUIRE(begun);
    world.driver.finish();
    CHECK(device_of(world.driver, world.source) == "a");
    CHECK(world.driver.used_by("me") == 1 * mib);
    REQUIRE(world.driver.give(TransferredCommand{begun->transfer, {1 * mib, 1, 1, 0}, {}}));
    world.driver.finish();
    CHECK(device_of(world.driver, world.source) == "b");
    CHECK(world.driver.state.books.sums(0).live == 0);
    CHECK(world.driver.state.books.sums(1).live == 1 * mib);
    CHECK(audit(world.driver.state).empty());
}

TEST_CASE("a move into an allocation frees the source in the same moment in which the target counts") {
    TwoDevices world;
    auto command = world.command(TransferMode::move);
    AllocateCommand there;
    there.caller = command.caller;
    there.device_id = "b";
    there.size_bytes = 2 * mib;
    const auto target = world.driver.give(there);
    world.driver.finish();
    command.target_device_id.clear();
    command.target = target->allocation;
    command.target_offset_bytes = 4096;
    const auto begun = world.driver.give(command);
    REQUIRE(begun);
    world.driver.finish();
    CHECK(world.driver.state.books.allocation(world.source) != nullptr);
    const auto ended = world.driver.give(TransferredCommand{begun->transfer, {1 * mib, 1, 1, 0}, {}});
    REQUIRE(ended);
    CHECK(ended->freed_bytes == 1 * mib);
    CHECK(world.driver.state.books.allocation(world.source) == nullptr);
    CHECK(audit(world.driver.state).empty());
}

TEST_CASE("a transfer that fails, is cancelled or runs out of time gives back what it took and leaves the source") {
    for (const TransferMode mode : {TransferMode::copy, TransferMode::move}) {
        for (int how = 0; how < 4; ++how) {
            CAPTURE(how);
            TwoDevices world;
            auto command = world.command(mode);
            if (how == 3) command.timeout_ns = ns_per_second;
            const auto begun = world.driver.give(command);
            REQUIRE(begun);
            if (how != 2) world.driver.finish();  // Else it is still queued.
            world.driver.now.monotonic_ns += 2 * ns_per_second;
            if (how == 0)
                REQUIRE(world.driver.give(TransferredCommand{begun->transfer, {}, Error{Code::device_lost, "device", 0, 0, "gone"}}));
            if (how == 1 || how == 2) REQUIRE(world.driver.give(CancelTransferCommand{command.caller, begun->transfer}));
            if (how == 3) REQUIRE(world.driver.give(ExpireTransferCommand{begun->transfer}));
            if (how == 1 || how == 3)
                REQUIRE(world.driver.give(TransferredCommand{begun->transfer, {}, Error{Code::cancelled, "job", 0, 0, "stopped"}}));
            world.driver.finish();
            const auto* transfer = world.driver.state.transfers.transfer(begun->transfer);
            CHECK(transfer->state == (how == 1 || how == 2 ? TransferState::cancelled : TransferState::failed));
            CHECK(transfer->error.code == (how == 0 ? Code::device_lost : how == 3 ? Code::timed_out : Code::cancelled));
            CHECK(world.driver.state.books.sums(1).live == 0);
            CHECK(device_of(world.driver, world.source) == "a");
            CHECK(audit(world.driver.state).empty());
        }
    }
}

TEST_CASE("memory whose transfer is cancelled while it is being made comes back, so whoever needs it waits and is not refused") {
    TwoDevices world;
    auto command = world.command(TransferMode::copy);
    command.source = world.driver.allocate("me", 20 * mib);
    const auto begun = world.driver.give(command);
    REQUIRE(begun);
    REQUIRE(world.driver.give(CancelTransferCommand{command.caller, begun->transfer}));
    REQUIRE(world.driver.state.books.sums(1).committed == 20 * mib);  // Still being made, for nobody.
    const auto again = world.driver.give(command);
    REQUIRE(again);
    CHECK(again->again_after_release);
    world.driver.finish();
    const auto placed = world.driver.give(command);
    REQUIRE(placed);
    CHECK(!placed->again_after_release);
    CHECK(placed->transfer);
}

TEST_CASE("a transfer's time is not over before its end, whoever says so") {
    TwoDevices world;
    auto command = world.command(TransferMode::copy);
    command.timeout_ns = 5 * ns_per_second;
    const auto begun = world.driver.give(command);
    REQUIRE(begun);
    world.driver.now.monotonic_ns += 5 * ns_per_second - 1;
    const auto early = world.driver.give(ExpireTransferCommand{begun->transfer});
    REQUIRE(early);
    CHECK(early->events.empty());
    CHECK(world.driver.state.transfers.transfer(begun->transfer)->is_open());
    world.driver.now.monotonic_ns += 1;
    REQUIRE(world.driver.give(ExpireTransferCommand{begun->transfer}));
    CHECK(world.driver.state.transfers.transfer(begun->transfer)->error.code == Code::timed_out);
}

TEST_CASE("of owners with as many running, the one whose last turn is longest ago goes first") {
    memory::Transfers transfers;
    const auto queue = [&transfers](u64 serial, const std::string& owner) {
        TransferPlan plan;
        plan.id = {serial, 1};
        plan.owner = owner;
        plan.source = {serial, 1};
        plan.target = {100 + serial, 1};
        transfers.apply(TransferQueued{plan});
    };
    queue(1, "greedy");
    queue(2, "greedy");
    queue(3, "modest");
    CHECK(transfers.next().front()->plan.id.serial == 1);
    transfers.apply(TransferBegun{{1, 1}, 0});
    transfers.apply(TransferEnded{{1, 1}, TransferState::succeeded, {}, {}, 0});
    REQUIRE(transfers.running() == 0);
    CHECK(transfers.next().front()->plan.id.serial == 3);
}

TEST_CASE("what a transfer uses is not freed, not moved by another and not its own target") {
    TwoDevices world;
    const auto begun = world.driver.give(world.command(TransferMode::move));
    REQUIRE(begun);
    CHECK(world.driver.free("me", world.source).error().code == Code::leased);
    CHECK(world.code_of(world.command(TransferMode::copy)) == Code::leased);
    CHECK(world.driver.give(MoveCommand{1, world.source, row_of(world.driver, world.source).block, false, {}}).error().code ==
          Code::leased);
    auto itself = world.command(TransferMode::copy);
    itself.target_device_id.clear();
    itself.target = itself.source;
    CHECK(world.code_of(itself) == Code::leased);
    auto stranger = world.command(TransferMode::copy);
    stranger.caller.owner = "you";
    CHECK(world.code_of(stranger) == Code::not_found);
}

TEST_CASE("bounds, a device that is not there and a pinned source are refused, and nothing is taken") {
    TwoDevices world;
    const u64 before = state_hash(world.driver.state);
    auto command = world.command(TransferMode::copy);
    command.size_bytes = 1 * mib + 1;
    CHECK(world.code_of(command) == Code::out_of_range);
    command.size_bytes = 0;
    CHECK(world.code_of(command) == Code::out_of_range);
    command = world.command(TransferMode::copy);
    command.source_offset_bytes = 1 * mib;
    CHECK(world.code_of(command) == Code::out_of_range);
    command = world.command(TransferMode::move);
    command.size_bytes = 4096;
    CHECK(world.code_of(command) == Code::invalid_field);
    command = world.command(TransferMode::move);
    command.target_device_id = "a";
    CHECK(world.code_of(command) == Code::conflict);
    command.target_device_id = "c";
    CHECK(world.code_of(command) == Code::not_found);
    command.target_device_id.clear();
    CHECK(world.code_of(command) == Code::invalid_field);
    CHECK(state_hash(world.driver.state) == before);
}

TEST_CASE("the most urgent goes first, and among equals the owner who has fewer running") {
    Driver driver;
    driver.add_device("a", 1 * gib);
    driver.add_device("b", 1 * gib);
    std::map<std::string, std::vector<AllocationId>> sources;
    for (const std::string owner : {"greedy", "modest"}) {
        for (int i = 0; i < 9; ++i) sources[owner].push_back(driver.allocate(owner, 4096));
        AllocateCommand there;  // So that each has an arena there already, and nobody's turn waits for a block.
        there.caller = {owner, Role::user};
        there.device_id = "b";
        there.size_bytes = 4096;
        REQUIRE(driver.give(there));
        driver.finish();
    }
    const auto queue = [&](const std::string& owner, Priority priority) {
        TransferCommand command;
        command.caller = {owner, Role::user};
        command.source = sources[owner].back();
        sources[owner].pop_back();
        command.target_device_id = "b";
        command.priority = priority;
        command.secret = 3;
        command.allocation_secret = 4;
        return driver.give(command)->transfer;
    };
    // The greedy one fills the queue before the modest one asks.
    for (int i = 0; i < 8; ++i) (void)queue("greedy", Priority::normal);
    const TransferId modest = queue("modest", Priority::normal);
    const TransferId urgent = queue("greedy", Priority::critical);
    driver.finish();
    const auto began = [&](TransferId id) { return driver.state.transfers.transfer(id)->turn; };
    CHECK(began(urgent) == 1);
    CHECK(began(modest) == 2);
    CHECK(driver.state.transfers.running() == memory::transfers_running_max);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("a core that died goes on with its transfers: running ones are copied again, queued ones keep their room") {
    TwoDevices world;
    const auto begun = world.driver.give(world.command(TransferMode::move));
    REQUIRE(begun);
    world.driver.finish();
    REQUIRE(world.driver.give(RecoverCommand{}));
    CHECK(world.state_of(begun->transfer) == TransferState::running);
    CHECK(world.driver.state.books.move(world.source.serial) != nullptr);
    bool again = false;
    for (const Effect& effect : unfinished(world.driver.state)) again = again || std::holds_alternative<TransferEffect>(effect);
    CHECK(again);
    REQUIRE(world.driver.give(TransferredCommand{begun->transfer, {1 * mib, 1, 1, 0}, {}}));
    CHECK(device_of(world.driver, world.source) == "b");
    CHECK(audit(world.driver.state).empty());
}
