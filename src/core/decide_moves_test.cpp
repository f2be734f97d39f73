#include <doctest/doctest.h>

#include "core/driver.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
/// Two 2 MiB arenas of one owner: the first full but for a hole at its start, the second with one small allocation.
struct TwoArenas {
    Driver driver;
    AllocationId neighbour;
    AllocationId wanderer;
    BlockKey first = 0;
    BlockKey second = 0;
    TwoArenas() {
        driver.add_device("a", 64 * mib);
        const auto hole = driver.allocate("me", 4096);
        neighbour = driver.allocate("me", 2 * mib - 4096);
        wanderer = driver.allocate("me", 4096);
        (void)driver.free("me", hole);
        first = row_of(driver, neighbour).block;
        second = row_of(driver, wanderer).block;
    }
};
}  // namespace

TEST_CASE("a moved allocation keeps its id, lies in the hole, and its emptied block goes back to the device") {
    TwoArenas arenas;
    Driver& driver = arenas.driver;
    REQUIRE(arenas.first != arenas.second);
    REQUIRE(driver.give(MoveCommand{1, arenas.wanderer, arenas.first, false, {}}));
    CHECK(row_of(driver, arenas.wanderer).block == arenas.second);  // Until the copy has ended.
    CHECK(driver.state.books.sums(0).live == 2 * mib + 4096);       // Both places count on the device …
    CHECK(driver.used_by("me") == 2 * mib);                         // … and one of them for the owner.
    CHECK(audit(driver.state).empty());
    REQUIRE(driver.give(MovedCommand{arenas.wanderer, false, {}}));
    CHECK(row_of(driver, arenas.wanderer).block == arenas.first);
    CHECK(row_of(driver, arenas.wanderer).offset_bytes == 0);
    driver.finish();
    CHECK(driver.state.books.block(arenas.second) == nullptr);
    CHECK(driver.state.books.uncommitted_bytes(0) == 62 * mib);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("a move whose content was used meanwhile leaves the allocation where it was and the second place free") {
    TwoArenas arenas;
    Driver& driver = arenas.driver;
    REQUIRE(driver.give(MoveCommand{1, arenas.wanderer, arenas.first, false, {}}));
    REQUIRE(driver.give(MovedCommand{arenas.wanderer, false, Code::device_lost}));  // A copy that failed counts as little …
    CHECK(row_of(driver, arenas.wanderer).block == arenas.second);
    CHECK(driver.state.books.moves().empty());
    REQUIRE(driver.give(MoveCommand{1, arenas.wanderer, arenas.first, false, {}}));
    REQUIRE(driver.give(MovedCommand{arenas.wanderer, true, {}}));  // … as one of bytes that were written meanwhile.
    CHECK(row_of(driver, arenas.wanderer).block == arenas.second);
    CHECK(driver.state.books.moves().empty());
    CHECK(driver.state.books.sums(0).live == 2 * mib);
    CHECK(audit(driver.state).empty());
    // The copy wrote there: whoever gets the place next has it zeroed first.
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = 4096;
    const auto next = driver.give(command);
    REQUIRE(next);
    CHECK(row_of(driver, next->allocation).block == arenas.first);
    REQUIRE(next->effects.size() == 1);
    CHECK(std::holds_alternative<ZeroEffect>(next->effects[0]));
}

TEST_CASE("what is pinned, in use, moving already, another owner's or better where it is does not move") {
    TwoArenas arenas;
    Driver& driver = arenas.driver;
    const auto code_of = [&](const MoveCommand& command) {
        const auto decision = driver.give(command);
        return decision ? Code{} : decision.error().code;
    };
    CHECK(code_of({1, arenas.wanderer, arenas.first, true, {}}) == Code::leased);
    CHECK(code_of({1, arenas.wanderer, arenas.second, false, {}}) == Code::conflict);  // Upwards in its own block.
    CHECK(code_of({1, arenas.wanderer, arenas.first, false, {arenas.first}}) == Code::conflict);
    CHECK(code_of({1, {999, 7}, arenas.first, false, {}}) == Code::not_found);
    const auto yours = driver.allocate("you", 4096);
    CHECK(code_of({1, yours, arenas.first, false, {}}) == Code::conflict);
    AllocateCommand pinned;
    pinned.caller = {"me", Role::user};
    pinned.size_bytes = 4096;
    pinned.type = AllocationType::pinned;
    const auto held = driver.give(pinned);
    driver.finish();
    CHECK(code_of({1, held->allocation, arenas.first, false, {}}) == Code::pinned);
    REQUIRE(driver.give(MoveCommand{1, arenas.wanderer, arenas.first, false, {}}));
    CHECK(code_of({1, arenas.wanderer, arenas.first, false, {}}) == Code::conflict);
    CHECK(audit(driver.state).empty());
}

TEST_CASE("freeing what is being moved, losing either block and a restart each leave one place or none") {
    for (int how = 0; how < 4; ++how) {
        CAPTURE(how);
        TwoArenas arenas;
        Driver& driver = arenas.driver;
        REQUIRE(driver.give(MoveCommand{1, arenas.wanderer, arenas.first, false, {}}));
        if (how == 0) REQUIRE(driver.free("me", arenas.wanderer));
        if (how == 1) REQUIRE(driver.give(BlocksLostCommand{{arenas.first}}));
        if (how == 2) REQUIRE(driver.give(BlocksLostCommand{{arenas.second}}));
        if (how == 3) REQUIRE(driver.give(RecoverCommand{}));
        CHECK(driver.state.books.moves().empty());
        CHECK((driver.state.books.allocation(arenas.wanderer) != nullptr) == (how == 1 || how == 3));
        CHECK((driver.state.books.allocation(arenas.neighbour) != nullptr) == (how != 1));
        // The copy's end comes all the same and finds nothing to do.
        const auto late = driver.give(MovedCommand{arenas.wanderer, false, {}});
        REQUIRE(late);
        CHECK(late->events.empty());
        CHECK(audit(driver.state).empty());
    }
}
