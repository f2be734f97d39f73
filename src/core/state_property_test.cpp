#include <doctest/doctest.h>

#include "base/choices.hpp"
#include "core/driver.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
/// One of a map's keys, or a number that names nothing.
template <class Rows>
u64 some_serial(Choices& choices, const Rows& rows) {
    if (rows.empty()) return 1;
    auto at = rows.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices.below(rows.size())));
    return at->first;
}
AllocationId some_allocation(Choices& choices, const Driver& driver) {
    const auto* found = driver.state.books.allocation_by_serial(some_serial(choices, driver.state.books.allocations()));
    return found == nullptr ? AllocationId{1, 1} : found->row.id;
}
TransferId some_transfer(Choices& choices, const Driver& driver) {
    const auto& rows = driver.state.transfers.transfers();
    const auto found = rows.find(some_serial(choices, rows));
    return found == rows.end() ? TransferId{1, 1} : found->second.plan.id;
}

AllocateCommand any_allocate(Choices& choices, const Caller& caller) {
    AllocateCommand command;
    command.caller = caller;
    command.size_bytes = 1 + choices.below(60'000);
    command.alignment_bytes = u64{1} << choices.below(13);
    command.type = static_cast<AllocationType>(choices.below(6));
    command.persistent = !choices.one_in(3);
    command.purpose = "p" + std::to_string(choices.below(4));
    command.secret = choices.below(1000);
    return command;
}

TransferCommand any_transfer(Choices& choices, const Driver& driver, const Caller& caller) {
    TransferCommand command;
    command.caller = caller;
    command.source = some_allocation(choices, driver);
    if (choices.one_in(2))
        command.target = some_allocation(choices, driver);
    else
        command.target_device_id = choices.one_in(2) ? "a" : "b";
    if (choices.one_in(3)) command.size_bytes = 1 + choices.below(5000);
    if (choices.one_in(4)) command.source_offset_bytes = choices.below(5000);
    command.mode = choices.one_in(2) ? TransferMode::move : TransferMode::copy;
    command.priority = static_cast<Priority>(choices.below(4));
    if (choices.one_in(4)) command.timeout_ns = choices.below(8) * ns_per_second;
    command.secret = choices.below(1000);
    command.allocation_secret = choices.below(1000);
    return command;
}

/// How a move or a transfer goes on, whether there is one or not.
Command any_turn(Choices& choices, const Driver& driver, const Caller& caller) {
    switch (choices.below(5)) {
        case 0: {
            TransferredCommand command{some_transfer(choices, driver), {choices.below(100), 1, 1, 0}, {}};
            if (choices.one_in(4)) command.error = Error{Code::device_lost, "device", 0, 0, "lost"};
            return command;
        }
        case 1:
            return CancelTransferCommand{caller, some_transfer(choices, driver)};
        case 2:
            return ExpireTransferCommand{some_transfer(choices, driver)};
        case 3: {
            MovedCommand command{some_allocation(choices, driver), choices.one_in(3), {}};
            if (choices.one_in(5)) command.failed = Code::device_lost;
            return command;
        }
        default:
            return ScheduleTransfersCommand{};
    }
}

Command any_limits(Choices& choices, const Caller& caller) {
    if (choices.one_in(3)) {
        ReclaimCommand command;
        command.device = static_cast<u16>(choices.below(2));
        command.wanted_bytes = choices.below(300'000);
        return command;
    }
    SetLimitsCommand command;
    command.caller = {"uid:0", Role::admin};
    command.device_id = choices.one_in(3) ? "b" : "a";
    if (choices.one_in(2)) command.change.max_hundredths = choices.below(100'01);
    if (choices.one_in(3)) command.change.reserve_bytes = choices.below(100'000);
    if (choices.one_in(2)) command.change.owner_quotas.emplace()[caller.owner] = choices.below(300'000);
    command.enforce = choices.one_in(2) ? Enforce::immediately : Enforce::later;
    return command;
}

Command any_of_a_session(Choices& choices, const Driver& driver, const Caller& caller) {
    const auto sessions = driver.state.sessions.all();
    const SessionId session = sessions.empty() ? SessionId{1, 1} : sessions[choices.below(sessions.size())]->id;
    const AllocationId id = some_allocation(choices, driver);
    switch (choices.below(6)) {
        case 0:
            return BeginSessionCommand{caller.owner, "c", choices.below(50), choices.below(1000)};
        case 1:
            return EndSessionCommand{session, choices.one_in(2) ? Code::cancelled : Code::timed_out};
        case 2:
            return LetGoCommand{session, id};
        default:
            return TakeHoldCommand{session, id, static_cast<HoldMode>(choices.below(4)), choices.one_in(2)};
    }
}

Command any_command(Choices& choices, const Driver& driver) {
    const Caller caller{"owner" + std::to_string(choices.below(3)), choices.one_in(4) ? Role::admin : Role::user};
    const u64 block = 1 + choices.below(driver.state.books.next_block());
    switch (choices.below(23)) {
        case 20:
        case 21:
        case 22:
            return any_of_a_session(choices, driver, caller);
        case 0:
        case 1:
        case 2:
            return any_allocate(choices, caller);
        case 3:
            return FreeCommand{caller, some_allocation(choices, driver), choices.one_in(4), choices.one_in(2)};
        case 4:
            return AccessCommand{some_allocation(choices, driver)};
        case 5:
            return RenewLeaseCommand{caller, some_allocation(choices, driver), 1 + choices.below(100)};
        case 6:
            return ExpireCommand{};
        case 7:
        case 8:
        case 9:
            return MoveCommand{1, some_allocation(choices, driver), block, choices.one_in(8), {}};
        case 10:
        case 11:
            return any_transfer(choices, driver, caller);
        case 12:
        case 13:
        case 14:
            return any_turn(choices, driver, caller);
        case 15:
            if (choices.one_in(6)) return BlocksLostCommand{{block}};
            return ScheduleTransfersCommand{};
        case 16:
            return PressureCommand{static_cast<u16>(choices.below(4)), static_cast<PressureBand>(choices.below(4)), 90'00, {}};
        case 17:
        case 18:
            return any_limits(choices, caller);
        default:
            return RecoverCommand{};
    }
}
}  // namespace

TEST_CASE("whatever is done, a saved state comes back the same, decides the same and passes the audit") {
    for (u64 seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Driver driver;
        driver.add_device("a", 512 * kib);
        driver.add_device("b", 128 * kib);
        for (int step = 0; step < 150; ++step) {
            driver.now.monotonic_ns += choices.below(5) * ns_per_second;
            const Command command = any_command(choices, driver);
            auto copy = restore(save(driver.state));
            REQUIRE(copy);
            CHECK(state_hash(*copy) == state_hash(driver.state));
            const auto twin = decide(*copy, command, driver.now);
            const auto decision = driver.give(command);
            REQUIRE(twin.has_value() == decision.has_value());
            if (decision) {
                for (const Event& event : twin->events) apply(*copy, event);
                CHECK(state_hash(*copy) == state_hash(driver.state));
            }
            if (choices.one_in(2)) driver.finish();
            const auto findings = audit(driver.state);
            CHECK_MESSAGE(findings.empty(), (findings.empty() ? "" : findings.front()));
        }
    }
}

TEST_CASE("a saved state that was cut or grew is refused, not misread") {
    Driver driver;
    driver.add_device("a", 512 * kib);
    driver.allocate("me", 1000);
    std::vector<std::byte> bytes = save(driver.state);
    for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(!restore(std::span(bytes).first(size)).has_value());
    bytes.push_back(std::byte{0});
    CHECK(!restore(bytes).has_value());
}
