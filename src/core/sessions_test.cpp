/// Sessions in the state: what the next core knows of who held what.
#include "core/sessions.hpp"

#include <doctest/doctest.h>

#include "core/driver.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
struct Held : Driver {
    Held() {
        add_device("a", 512 * kib);
        session = begin("me", 77);
    }
    SessionId begin(const std::string& owner, u64 key_sum) { return give(BeginSessionCommand{owner, "test", key_sum, 5}).value().session; }
    AllocationId allocate_for_a_while() {
        AllocateCommand command;
        command.caller = {"me", Role::user};
        command.size_bytes = 1000;
        command.persistent = false;
        command.lease_seconds = 10;
        const AllocationId id = give(command).value().allocation;
        finish();
        return id;
    }
    /// The holds of a session, after all that the state itself finds of it.
    std::map<u64, Hold> holds(SessionId of) {
        CHECK(audit(state).empty());
        const Session* found = state.sessions.session(of);
        return found == nullptr ? std::map<u64, Hold>() : found->holds;
    }
    SessionId session;
};

std::size_t events_of(const Result<Decision>& decision) { return decision.value().events.size(); }
}  // namespace

TEST_CASE("a session is found by its key, whole and by nobody else's, until it ends") {
    Held core;
    const SessionId other = core.begin("you", 78);
    CHECK(other.serial == core.session.serial + 1);
    REQUIRE(core.state.sessions.with_key(77) != nullptr);
    CHECK(core.state.sessions.with_key(77)->id == core.session);
    CHECK(core.state.sessions.with_key(77)->owner == "me");
    CHECK(core.state.sessions.with_key(79) == nullptr);
    CHECK(core.give(BeginSessionCommand{"me", "test", 77, 6}).error().code == Code::conflict);
    CHECK(core.state.sessions.session({core.session.serial, core.session.secret + 1}) == nullptr);
    CHECK(events_of(core.give(EndSessionCommand{core.session, Code::cancelled})) == 1);
    CHECK(core.state.sessions.with_key(77) == nullptr);
    CHECK(core.give(EndSessionCommand{core.session, Code::cancelled})->events.empty());
    CHECK(core.begin("me", 77).serial == other.serial + 1);  // A number is never used again.
    CHECK(core.holds(other).empty());
}

TEST_CASE("what a session holds is in a saved state too, with how it holds it") {
    Held core;
    const AllocationId kept = core.allocate("me", 1000);
    const AllocationId own = core.allocate_for_a_while();
    CHECK(core.give(TakeHoldCommand{core.session, kept, HoldMode::read, true}).has_value());
    CHECK(core.give(TakeHoldCommand{core.session, own, HoldMode::write, true}).has_value());
    const auto again = restore(save(core.state));
    REQUIRE(again.has_value());
    const Session* session = again->sessions.with_key(77);
    REQUIRE(session != nullptr);
    REQUIRE(session->hold(kept) != nullptr);
    CHECK(session->hold(kept)->mode == HoldMode::read);
    CHECK(!session->hold(kept)->ends_with_session);  // It is persistent: nothing but a free ends it.
    CHECK(session->hold(own)->ends_with_session);
    CHECK(session->client == "test");
    CHECK(state_hash(*again) == state_hash(core.state));
    CHECK(core.holds(core.session).size() == 2);
}

TEST_CASE("a hold that is taken again is recorded only where it is another") {
    Held core;
    const AllocationId own = core.allocate_for_a_while();
    CHECK(events_of(core.give(TakeHoldCommand{core.session, own, HoldMode::none, true})) == 2);  // With the access.
    CHECK(events_of(core.give(TakeHoldCommand{core.session, own, HoldMode::none, true})) == 1);
    CHECK(events_of(core.give(TakeHoldCommand{core.session, own, HoldMode::read, false})) == 2);
    CHECK(events_of(core.give(TakeHoldCommand{core.session, own, HoldMode::none, false})) == 1);
    CHECK(core.holds(core.session).at(own.serial) == Hold{own, HoldMode::read, true});
}

TEST_CASE("who lets go of what ends with its session holds it without a mapping; of all else it holds nothing any more") {
    Held core;
    const AllocationId kept = core.allocate("me", 1000);
    const AllocationId own = core.allocate_for_a_while();
    (void)core.give(TakeHoldCommand{core.session, kept, HoldMode::read, false}).value();
    (void)core.give(TakeHoldCommand{core.session, own, HoldMode::write, true}).value();
    CHECK(events_of(core.give(LetGoCommand{core.session, kept})) == 1);
    CHECK(events_of(core.give(LetGoCommand{core.session, own})) == 1);
    CHECK(core.holds(core.session).size() == 1);
    CHECK(core.holds(core.session).at(own.serial).mode == HoldMode::none);
    CHECK(core.give(LetGoCommand{core.session, own})->events.empty());
    CHECK(core.give(LetGoCommand{core.session, kept})->events.empty());
}

TEST_CASE("what is freed is held by nobody, and a session that ends holds nothing") {
    Held core;
    const SessionId other = core.begin("you", 78);
    const AllocationId first = core.allocate("me", 1000);
    const AllocationId second = core.allocate("me", 1000);
    for (const SessionId session : {core.session, other})
        for (const AllocationId id : {first, second}) (void)core.give(TakeHoldCommand{session, id, HoldMode::read, false}).value();
    CHECK(core.free("me", first).has_value());
    CHECK(core.holds(core.session).size() == 1);
    CHECK(core.holds(other).size() == 1);
    (void)core.give(EndSessionCommand{other, Code::timed_out}).value();
    CHECK(core.holds(other).empty());
    CHECK(core.holds(core.session).size() == 1);
    CHECK(core.give(TakeHoldCommand{other, second, HoldMode::read, false}).error().code == Code::not_found);
    CHECK(core.give(TakeHoldCommand{core.session, first, HoldMode::read, false}).error().code == Code::not_found);
}

TEST_CASE("a state of before there were sessions is read, and one that never had any is saved as it was") {
    Held core;
    Driver without;
    without.add_device("a", 512 * kib);
    const std::vector<std::byte> old = save(without.state);
    const auto read = restore(old);
    REQUIRE(read.has_value());
    CHECK(read->sessions.next() == 1);
    CHECK(save(core.state).size() > old.size());
}
