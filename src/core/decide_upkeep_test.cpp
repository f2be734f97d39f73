#include <doctest/doctest.h>

#include "core/driver.hpp"
#include "core/upkeep.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
UpkeepCommand asked(const std::string& owner, Role role = Role::admin) {
    UpkeepCommand command;
    command.caller = {owner, role};
    command.request.actions = {UpkeepAction::defragment};
    command.operation_secret = 9;
    return command;
}
/// Many small allocations in several arenas, of which every `nth` stays: (id, serial) of those.
std::vector<AllocationId> thinned(Driver& driver, const std::string& owner, std::size_t nth) {
    std::vector<AllocationId> all;
    for (int i = 0; i < 120; ++i) all.push_back(driver.allocate(owner, 100'000));
    std::vector<AllocationId> kept;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i % nth == 0)
            kept.push_back(all[i]);
        else
            REQUIRE(driver.free(owner, all[i]).has_value());
    }
    return kept;
}
/// Does the effects of an upkeep as the engine would, one after the other.
void carry_out(Driver& driver, OperationId id, const std::string& owner) {
    const UpkeepRequest request = driver.state.catalogue.operation(id)->upkeep.request;
    UpkeepResult result;
    for (const u16 device : request.devices) {
        const memory::Plan plan =
            plan_upkeep(layout_for(driver.state, device, request, owner, {}, driver.now.wall_ns), request, UpkeepAction::defragment);
        (void)driver.give(ReleaseEmptyCommand{device, {}, {}});
        for (const memory::PlannedMove& move : plan.moves) {
            const AllocationId allocation = driver.state.books.allocation_by_serial(move.serial)->row.id;
            REQUIRE(driver.give(MoveCommand{id.serial, allocation, move.to, false, {}}).has_value());
            CHECK(driver.state.books.move(move.serial)->offset_bytes == move.offset_bytes);
            REQUIRE(driver.give(MovedCommand{allocation, false, {}}).has_value());
        }
        driver.finish();
    }
    REQUIRE(driver.give(UpkeepToldCommand{id, result, OperationState::succeeded, {}}).has_value());
}
}  // namespace

TEST_CASE("a defragmentation is an operation that counts its moves, and ends with what was gained") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    (void)thinned(driver, "me", 10);
    const auto begun = driver.give(asked("me"));
    REQUIRE(begun);
    const UpkeepTrial trial =
        try_upkeep(driver.state, driver.state.catalogue.operation(begun->operation)->upkeep.request, "me", {}, driver.now);
    carry_out(driver, begun->operation, "me");
    const model::Operation& row = *driver.state.catalogue.operation(begun->operation);
    CHECK(row.state == OperationState::succeeded);
    CHECK(row.upkeep.moves > 0);
    CHECK(row.upkeep.before[0].uncommitted_bytes < row.upkeep.result.after[0].uncommitted_bytes);
    CHECK(row.upkeep.before[0].fragmentation_hundredths() > row.upkeep.result.after[0].fragmentation_hundredths());
    // The trial said so before.
    CHECK(trial.before == row.upkeep.before);
    CHECK(trial.result.after == row.upkeep.result.after);
    REQUIRE(trial.result.actions.size() == 1);
    CHECK(trial.result.actions[0].moves == row.upkeep.moves);
    CHECK(trial.result.actions[0].moved_bytes == row.upkeep.moved_bytes);
    CHECK(trial.result.actions[0].freed_bytes == row.upkeep.result.after[0].uncommitted_bytes - row.upkeep.before[0].uncommitted_bytes);
    CHECK(audit(driver.state).empty());
    CHECK(state_hash(*restore(save(driver.state))) == state_hash(driver.state));
}

TEST_CASE("a trial changes nothing") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    (void)thinned(driver, "me", 5);
    const u64 before = state_hash(driver.state);
    const auto request = checked_upkeep(driver.state, asked("me"), driver.now);
    REQUIRE(request);
    (void)try_upkeep(driver.state, *request, "me", {}, driver.now);
    CHECK(state_hash(driver.state) == before);
}

TEST_CASE("one upkeep at a time works on a device, and an ended one makes way") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto first = driver.give(asked("me"));
    REQUIRE(first);
    CHECK(driver.give(asked("you")).error().code == Code::conflict);
    UpkeepCommand elsewhere = asked("me");
    elsewhere.device_id = "b";
    CHECK(driver.give(elsewhere).error().code == Code::not_found);
    REQUIRE(driver.give(UpkeepToldCommand{first->operation, {}, OperationState::succeeded, {}}).has_value());
    CHECK(driver.give(asked("you")).has_value());
}

TEST_CASE("a cancelled upkeep is woken to end, and its end is told once") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto begun = driver.give(asked("me", Role::user));
    REQUIRE(begun);
    CHECK(driver.give(CancelOperationCommand{{"you", Role::user}, begun->operation}).error().code == Code::not_found);
    const auto cancelling = driver.give(CancelOperationCommand{{"me", Role::user}, begun->operation});
    REQUIRE(cancelling);
    CHECK(std::holds_alternative<UpkeepEffect>(cancelling->effects.back()));
    const Error error{Code::cancelled, "operation", 0, 0, "Cancelled."};
    REQUIRE(driver.give(UpkeepToldCommand{begun->operation, {}, OperationState::cancelled, error}).has_value());
    CHECK(driver.state.catalogue.operation(begun->operation)->state == OperationState::cancelled);
    const auto again = driver.give(UpkeepToldCommand{begun->operation, {}, OperationState::succeeded, {}});
    REQUIRE(again);
    CHECK(again->events.empty());
}

TEST_CASE("a user's upkeep moves the user's own memory only") {
    Driver driver;
    driver.add_device("a", 128 * mib);
    (void)thinned(driver, "me", 10);
    (void)thinned(driver, "you", 10);
    const auto request = checked_upkeep(driver.state, asked("me", Role::user), driver.now);
    REQUIRE(request);
    CHECK(request->own_only);
    const memory::Layout layout = layout_for(driver.state, 0, *request, "me", {}, driver.now.wall_ns);
    const memory::Plan plan = plan_upkeep(layout, *request, UpkeepAction::defragment);
    CHECK(!plan.moves.empty());
    for (const memory::PlannedMove& move : plan.moves) {
        const memory::Allocation& allocation = *driver.state.books.allocation_by_serial(move.serial);
        CHECK(driver.state.books.name(allocation.row.owner) == "me");
    }
    const auto all = checked_upkeep(driver.state, asked("root"), driver.now);
    CHECK(plan_upkeep(layout_for(driver.state, 0, *all, "root", {}, driver.now.wall_ns), *all, UpkeepAction::defragment).moves.size() >
          plan.moves.size());
}

TEST_CASE("what is to stay stays, and another's id to preserve answers as a missing one") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto kept = thinned(driver, "me", 10);
    UpkeepCommand command = asked("me");
    command.preserve = kept;
    const auto request = checked_upkeep(driver.state, command, driver.now);
    REQUIRE(request);
    const UpkeepTrial trial = try_upkeep(driver.state, *request, "me", {}, driver.now);
    CHECK(trial.result.actions[0].moves == 0);
    CHECK(trial.result.actions[0].stopped_by == UpkeepStop::pinned);
    command.caller = {"you", Role::user};
    CHECK(checked_upkeep(driver.state, command, driver.now).error().code == Code::not_found);
}

TEST_CASE("an upkeep that a core left behind is taken up by the next one") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto begun = driver.give(asked("me"));
    REQUIRE(begun);
    REQUIRE(driver.give(RecoverCommand{}).has_value());
    bool found = false;
    for (const Effect& effect : unfinished(driver.state))
        if (const auto* upkeep = std::get_if<UpkeepEffect>(&effect)) found = upkeep->operation == begun->operation;
    CHECK(found);
}

TEST_CASE("optimize evicts the oldest unpinned models until the target is met, and says what it would have taken") {
    Driver driver;
    driver.add_device("a", 100 * mib);
    const auto load = [&driver](const std::string& name, u64 inode, u64 bytes, bool pinned) {
        LoadModelCommand command;
        command.caller = {"me", Role::admin};
        command.request.name = name;
        command.request.path = name;
        command.request.pinned = pinned;
        const auto begun = driver.give(command);
        InspectedCommand inspected{begun->operation, {}, 1, 1};
        inspected.inspection.identity.inode = inode;
        inspected.inspection.memory_bytes = bytes;
        driver.now.wall_ns += ns_per_second;
        REQUIRE(driver.give(inspected).has_value());
        driver.finish();
        REQUIRE(driver.give(LoadedCommand{begun->operation, 1}).has_value());
        driver.effects.clear();
    };
    load("pinned", 1, 20 * mib, true);
    load("old", 2, 30 * mib, false);
    load("new", 3, 30 * mib, false);
    UpkeepCommand command = asked("me");
    command.request.kind = OperationKind::optimize;
    command.request.actions = {UpkeepAction::cache};
    command.request.target_usage_hundredths = 5'000;
    const auto tried = [&] {
        const auto request = checked_upkeep(driver.state, command, driver.now);
        REQUIRE(request);
        return try_upkeep(driver.state, *request, "me", {}, driver.now);
    };
    UpkeepTrial trial = tried();
    CHECK(trial.result.actions[0].models == std::vector<std::string>{"old"});
    CHECK(trial.result.actions[0].freed_bytes == 30 * mib);
    CHECK(trial.result.actions[0].left == 1);
    CHECK(trial.result.after[0].free_bytes == 50 * mib);
    command.request.preserve_models = {"old"};
    CHECK(tried().result.actions[0].models == std::vector<std::string>{"new"});
    command.caller.role = Role::user;
    CHECK(tried().result.actions[0].models == std::vector<std::string>{"new"});  // As a load of theirs would.
    command.caller.role = Role::admin;
    command.request.target_usage_hundredths = usage_of_policy;  // 80 % used: the policy begins above that.
    CHECK(tried().result.actions[0].models.empty());
}
