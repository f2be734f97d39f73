/// Sessions through the death of a core: what clients held is there for them, and for nobody else, when they come back.
#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
constexpr u64 key = 12345;

/// A daemon whose core dies at a word.
struct Mortal : Daemon {
    AllocationId allocate_for(const Caller& owner, bool persistent) {
        AllocateCommand command;
        command.caller = owner;
        command.size_bytes = 10'000;
        command.type = AllocationType::mapped;
        command.persistent = persistent;
        command.lease_seconds = 1;
        std::promise<Result<Allocated>> answer;
        core->allocate(std::move(command), 0, [&answer](Result<Allocated> made) { answer.set_value(std::move(made)); });
        return answer.get_future().get().value().record.id;
    }
    SessionId begin(const Caller& owner, u64 key_sum) { return core->begin_session({owner.owner, "test", key_sum, 0}).value(); }
    std::unique_ptr<Attachment> attach(SessionId session, AllocationId id, bool ends = false) {
        return core->attach(me, id, AttachMode::write, {session, ends}).value();
    }
    /// The core dies with these in its hands, and another starts.
    void die(std::vector<std::unique_ptr<Attachment>> held = {}) {
        core->abandon();
        held.clear();
        end();
        start();
    }
    [[nodiscard]] u64 attached(AllocationId id) { return core->allocation(admin, id).value().attached_clients; }
    /// Until leases of a second that began before are over.
    void outlast_leases() {
        const AllocationId later = allocate_for(other, false);
        const u64 deadline = monotonic_ns() + 20 * ns_per_second;
        while (core->allocation(admin, later) && monotonic_ns() < deadline) std::this_thread::yield();
        REQUIRE(!core->allocation(admin, later).has_value());
    }
};
}  // namespace

TEST_CASE("what a session holds is spared by the next core, counted, and handed to its client when that comes back") {
    Mortal daemon;
    const SessionId session = daemon.begin(me, key);
    const AllocationId own = daemon.allocate_for(me, false);
    const AllocationId kept = daemon.allocate_for(me, true);
    std::vector<std::unique_ptr<Attachment>> held;
    held.push_back(daemon.attach(session, own, true));
    held.push_back(daemon.attach(session, kept));
    daemon.die(std::move(held));
    CHECK(daemon.attached(own) == 1);
    CHECK(daemon.attached(kept) == 1);
    CHECK(daemon.free("me", kept).error().code == Code::leased);
    daemon.outlast_leases();
    CHECK(daemon.core->allocation(me, own).has_value());
    auto resumed = daemon.core->resume_session(me, key);
    REQUIRE(resumed.has_value());
    CHECK(resumed->id == session);
    REQUIRE(resumed->held.size() == 2);
    CHECK(resumed->held[0].id == own);
    CHECK(resumed->held[0].ends_with_session);
    CHECK(resumed->held[0].mode == HoldMode::write);
    CHECK(!resumed->held[1].ends_with_session);
    CHECK(daemon.attached(kept) == 1);  // The same client.
    CHECK(daemon.core->let_go(session, kept).has_value());
    resumed->held.pop_back();
    CHECK(daemon.attached(kept) == 0);
    CHECK(daemon.free("me", kept).has_value());
    resumed->held.clear();
    daemon.core->end_session(session);
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a zombie that a session holds outlives the core, and one that is held without a session is free with the next") {
    Mortal daemon;
    const SessionId session = daemon.begin(me, key);
    const AllocationId kept = daemon.allocate_for(me, true);
    const AllocationId alone = daemon.allocate_for(me, true);
    std::vector<std::unique_ptr<Attachment>> held;
    held.push_back(daemon.attach(session, kept));
    held.push_back(daemon.core->attach(me, alone, AttachMode::read).value());
    for (const AllocationId id : {kept, alone}) CHECK(daemon.free("me", id, true)->status == AllocationStatus::zombie);
    daemon.die(std::move(held));
    CHECK(daemon.core->allocation(me, kept)->status == AllocationStatus::zombie);
    CHECK(!daemon.core->allocation(me, alone).has_value());
    auto resumed = daemon.core->resume_session(me, key);
    REQUIRE(resumed.has_value());
    CHECK(daemon.core->let_go(session, kept).value() == Kept::no);
    resumed->held.clear();
    CHECK(!daemon.core->allocation(me, kept).has_value());
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a session is gone on with by its owner alone, by one connection, and not while its core lives") {
    Mortal daemon;
    (void)daemon.begin(me, key);
    CHECK(daemon.core->resume_session(me, key).error().code == Code::conflict);
    CHECK(daemon.core->resume_session(me, key + 1).error().code == Code::not_found);
    daemon.die();
    const auto of_other = daemon.core->resume_session(other, key);
    const auto unknown = daemon.core->resume_session(other, key + 1);
    CHECK(of_other.error().code == Code::not_found);
    CHECK(of_other.error().detail == unknown.error().detail);
    CHECK(daemon.core->resume_session(me, key).has_value());
    CHECK(daemon.core->resume_session(me, key).error().code == Code::conflict);
    daemon.die();  // And again, as often as there are cores.
    CHECK(daemon.core->resume_session(me, key).has_value());
}

TEST_CASE("a session that has ended is not known to the next core, nor is what was let go of held by it") {
    Mortal daemon;
    const SessionId ended = daemon.begin(me, key);
    const SessionId goes_on = daemon.begin(me, key + 1);
    const AllocationId id = daemon.allocate_for(me, true);
    std::vector<std::unique_ptr<Attachment>> held;
    held.push_back(daemon.attach(ended, id));
    held.push_back(daemon.attach(goes_on, id));
    CHECK(daemon.core->let_go(goes_on, id).has_value());
    daemon.core->end_session(ended);
    daemon.die(std::move(held));
    CHECK(daemon.core->resume_session(me, key).error().code == Code::not_found);
    CHECK(daemon.core->resume_session(me, key + 1)->held.empty());
    CHECK(daemon.attached(id) == 0);
    CHECK(daemon.free("me", id).has_value());
}

TEST_CASE("a core that is ended in order, as for an upgrade, leaves its sessions to the next one") {
    Mortal daemon;
    const SessionId session = daemon.begin(me, key);
    const AllocationId own = daemon.allocate_for(me, false);
    auto hold = daemon.attach(session, own, true);
    daemon.outlast_leases();
    daemon.core->stop(0);
    hold.reset();  // As the door does at its end.
    daemon.end();
    daemon.start();
    REQUIRE(daemon.core->allocation(me, own).has_value());
    CHECK(daemon.core->resume_session(me, key)->held.size() == 1);
}

TEST_CASE("where nothing can be recorded, no session begins and none takes hold of more, and those of before are gone on with") {
    Mortal daemon;
    const SessionId session = daemon.begin(me, key);
    const AllocationId id = daemon.allocate_for(me, true);
    const AllocationId further = daemon.allocate_for(me, true);
    std::vector<std::unique_ptr<Attachment>> held;
    held.push_back(daemon.attach(session, id));
    daemon.read_only = true;
    daemon.die(std::move(held));
    CHECK(daemon.core->begin_session({"me", "test", key + 1, 0}).error().code == Code::read_only);
    const auto resumed = daemon.core->resume_session(me, key);
    REQUIRE(resumed.has_value());
    CHECK(resumed->held.size() == 1);
    CHECK(daemon.core->attach(me, further, AttachMode::read, {session}).error().code == Code::read_only);
    CHECK(daemon.attached(further) == 0);
    CHECK(daemon.core->let_go(session, id).error().code == Code::read_only);
    CHECK(daemon.core->attach(me, further, AttachMode::read).has_value());  // Who was promised nothing is given it.
}
