#include <doctest/doctest.h>

#include "core/driver.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
AllocationId allocate_for_ten_seconds(Driver& driver, u64 size_bytes) {
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = size_bytes;
    command.persistent = false;
    command.lease_seconds = 10;
    const AllocationId id = driver.give(command).value().allocation;
    driver.finish();
    return id;
}
}  // namespace

TEST_CASE("two owners never share a block, however small their allocations") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto mine = driver.allocate("me", 256);
    const auto yours = driver.allocate("you", 256);
    const auto mine_again = driver.allocate("me", 256);
    CHECK(row_of(driver, mine).block != row_of(driver, yours).block);
    CHECK(row_of(driver, mine).block == row_of(driver, mine_again).block);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("a place that was used is zeroed before it is given out again, a fresh one need not be") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto first = driver.allocate("me", 4096);
    const auto keeper = driver.allocate("me", 4096);
    REQUIRE(driver.free("me", first));
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = 4096;
    const auto again = driver.give(command);
    REQUIRE(again);
    REQUIRE(again->effects.size() == 1);
    CHECK(std::get<ZeroEffect>(again->effects[0]).bytes == 4096);
    CHECK(row_of(driver, again->allocation).status == AllocationStatus::pending);
    driver.finish();
    CHECK(row_of(driver, again->allocation).status == AllocationStatus::live);
    CHECK(row_of(driver, keeper).status == AllocationStatus::live);
    command.size_bytes = 512;
    const auto fresh = driver.give(command);
    REQUIRE(fresh);
    CHECK(fresh->effects.empty());
    CHECK(row_of(driver, fresh->allocation).status == AllocationStatus::live);
}

TEST_CASE("another's allocation cannot be freed and looks like a missing one; an admin may") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto id = driver.allocate("me", 4096);
    const auto stranger = driver.free("you", id);
    REQUIRE(!stranger);
    CHECK(stranger.error().code == Code::not_found);
    const auto missing = driver.free("you", {999, 7});
    REQUIRE(!missing);
    CHECK(missing.error().code == Code::not_found);
    CHECK(driver.give(FreeCommand{{"root", Role::admin}, id}).has_value());
}

TEST_CASE("what is abandoned counts as a zombie, in no lease, and is used by nobody anew, until it is freed") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const AllocationId id = allocate_for_ten_seconds(driver, 4096);
    const AllocationId other = driver.allocate("me", 4096);
    const FreeCommand forced{{"me", Role::user}, id, true, true};
    CHECK(driver.give(FreeCommand{{"me", Role::user}, id, true}).error().code == Code::leased);
    CHECK(driver.give(FreeCommand{{"you", Role::user}, id, true, true}).error().code == Code::not_found);
    CHECK(driver.give(forced).value().events.size() == 1);
    CHECK(driver.give(forced).value().events.empty());
    const auto counted = [&](u64 live, u64 zombie) {
        const memory::DeviceSums& sums = driver.state.books.sums(0);
        CHECK(sums.live == live);
        CHECK(sums.zombie == zombie);
        CHECK(sums.returning() == 0);
        CHECK(driver.state.books.held_by(0, "me") == live + zombie);  // It is its owner's yet.
        CHECK(audit(driver.state).empty());
    };
    counted(4096, 4096);
    const auto again = restore(save(driver.state));
    REQUIRE(again);
    CHECK(state_hash(*again) == state_hash(driver.state));
    driver.now.monotonic_ns += 100 * ns_per_second;
    CHECK(driver.give(ExpireCommand{})->events.empty());
    CHECK(driver.give(RenewLeaseCommand{{"me", Role::user}, id, 5}).error().code == Code::conflict);
    CHECK(driver.give(AccessCommand{id})->events.empty());
    CHECK(driver.give(FreeCommand{{}, id}).error().code == Code::not_found);
    CHECK(driver.free("me", id).has_value());
    counted(4096, 0);
    CHECK(driver.free("me", other).has_value());
}

TEST_CASE("an id works once: a second free is refused, and its number never comes back") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto id = driver.allocate("me", 4096);
    REQUIRE(driver.free("me", id));
    CHECK(!driver.free("me", id));
    CHECK(driver.allocate("me", 4096).serial > id.serial);
}

TEST_CASE("what does not fit is refused with what is asked and the largest that would fit, and that fits") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = 2 * mib;
    const auto refused = driver.give(command);
    REQUIRE(!refused);
    CHECK(refused.error().code == Code::insufficient_memory);
    CHECK(refused.error().value == 2 * mib);
    REQUIRE(refused.error().limit > 0);
    command.size_bytes = refused.error().limit;
    CHECK(driver.give(command).has_value());
}

TEST_CASE("the edge sizes are refused in words and leave the books alone") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const u64 before = state_hash(driver.state);
    for (const u64 size : {u64{0}, number_max + 1, UINT64_MAX, number_max}) {
        AllocateCommand command;
        command.caller = {"me", Role::user};
        command.size_bytes = size;
        CHECK(!driver.give(command).has_value());
    }
    for (const u64 alignment : {u64{0}, u64{3}, u64{255}, 2 * gib, UINT64_MAX}) {
        AllocateCommand command;
        command.caller = {"me", Role::user};
        command.size_bytes = 1;
        command.alignment_bytes = alignment;
        const auto refused = driver.give(command);
        REQUIRE(!refused);
        CHECK(refused.error().field == "/alignment");
    }
    CHECK(state_hash(driver.state) == before);
}

TEST_CASE("empty arenas of others make room when somebody needs it") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const auto small = driver.allocate("you", 256);
    REQUIRE(driver.free("you", small));
    REQUIRE(driver.state.books.sums(0).blocks == 1);  // Your empty arena stays for the next time.
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = 1 * mib;
    command.type = AllocationType::mapped;
    const auto waits = driver.give(command);
    REQUIRE(waits);
    CHECK(waits->again_after_release);
    driver.finish();
    const auto placed = driver.give(command);
    REQUIRE(placed);
    CHECK(placed->allocation.serial > 0);
}

TEST_CASE("a lease that runs out frees the memory, unless somebody is using it") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    const u64 serial = allocate_for_ten_seconds(driver, 256).serial;
    driver.now.monotonic_ns += 9 * ns_per_second;
    CHECK(driver.give(ExpireCommand{})->events.empty());
    driver.now.monotonic_ns += 2 * ns_per_second;
    CHECK(driver.give(ExpireCommand{{serial}})->events.empty());
    CHECK(!driver.give(ExpireCommand{})->events.empty());
    CHECK(driver.state.books.allocation_by_serial(serial) == nullptr);
}

TEST_CASE("pinned, mapped, shareable and large memory has a block of its own; a texture lies on 64 KiB") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    const auto made = [&driver](AllocationType type, u64 size, bool shareable) {
        AllocateCommand command;
        command.caller = {"me", Role::user};
        command.size_bytes = size;
        command.type = type;
        command.shareable = shareable;
        const auto decision = driver.give(command);
        REQUIRE(decision);
        driver.finish();
        return driver.state.books.block(row_of(driver, decision->allocation).block)->row.kind;
    };
    CHECK(made(AllocationType::default_, 256, false) == BlockKind::arena);
    CHECK(made(AllocationType::texture, 256, false) == BlockKind::arena);
    CHECK(made(AllocationType::pinned, 256, false) == BlockKind::pinned);
    CHECK(made(AllocationType::mapped, 256, false) == BlockKind::dedicated);
    CHECK(made(AllocationType::default_, 256, true) == BlockKind::dedicated);
    CHECK(made(AllocationType::default_, 9 * mib, false) == BlockKind::dedicated);
    for (const auto& [serial, allocation] : driver.state.books.allocations())
        if (allocation.row.type == AllocationType::texture) CHECK(allocation.row.offset_bytes % (64 * kib) == 0);
}

TEST_CASE("a lease of no time, or of more than fits, is refused; the longest one does not wrap into the past") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = 256;
    command.persistent = false;
    for (const u64 seconds : {u64{0}, lease_seconds_max + 1, u64{18'446'744'074}, UINT64_MAX}) {
        command.lease_seconds = seconds;
        const auto refused = driver.give(command);
        REQUIRE(!refused);
        CHECK(refused.error().field == "/leaseSeconds");
    }
    command.lease_seconds = lease_seconds_max;
    const auto id = driver.give(command)->allocation;
    driver.finish();
    CHECK(row_of(driver, id).lease_until_monotonic_ns > driver.now.monotonic_ns);
    CHECK(row_of(driver, id).lease_seconds == lease_seconds_max);
    CHECK(!driver.give(RenewLeaseCommand{command.caller, id, 0}));
    CHECK(!driver.give(RenewLeaseCommand{command.caller, id, lease_seconds_max + 1}));
    CHECK(driver.give(RenewLeaseCommand{command.caller, id, lease_seconds_max}));
}

TEST_CASE("a device that is not configured any more takes no request, and takes them again when it is back") {
    Driver driver;
    driver.add_device("a", 1 * mib);
    driver.add_device("b", 64 * mib);
    driver.add_device("b", 0);
    const auto id = driver.allocate("me", 4096);
    REQUIRE(id.serial != 0);
    CHECK(driver.state.books.block(row_of(driver, id).block)->row.device == 0);
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = 256;
    command.device_id = "b";
    const auto refused = driver.give(command);
    REQUIRE(!refused);
    CHECK(refused.error().code == Code::not_found);
    driver.add_device("b", 64 * mib);
    CHECK(driver.give(command).has_value());
    CHECK(!driver.give(AddDeviceCommand{"c", 0, 4096}));
}

TEST_CASE("an empty arena that is being written is not given back to make room") {
    Driver driver;
    driver.add_device("a", 2 * mib);
    const auto id = driver.allocate("me", 256 * kib);
    const u64 block = row_of(driver, id).block;
    REQUIRE(driver.free("me", id));
    AllocateCommand command;
    command.caller = {"you", Role::user};
    command.size_bytes = 2 * mib;
    command.frozen = {block};
    CHECK(!driver.give(command));
    CHECK(driver.state.books.block(block)->row.state == BlockState::ready);
    command.frozen.clear();
    CHECK(driver.give(command).has_value());
}

TEST_CASE("every access renews a lease for its whole time, and only then does it end") {
    Driver driver;
    driver.add_device("a", 64 * mib);
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = 256;
    command.persistent = false;
    command.lease_seconds = 10;
    const auto id = driver.give(command)->allocation;
    driver.finish();
    driver.now.monotonic_ns += 9 * ns_per_second;
    REQUIRE(driver.give(AccessCommand{id}));
    driver.now.monotonic_ns += 9 * ns_per_second;
    REQUIRE(driver.give(ExpireCommand{}));
    CHECK(driver.state.books.allocation(id) != nullptr);
    driver.now.monotonic_ns += 1 * ns_per_second;
    REQUIRE(driver.give(ExpireCommand{}));
    CHECK(driver.state.books.allocation(id) == nullptr);
}
