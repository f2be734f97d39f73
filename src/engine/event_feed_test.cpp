/// Events as they are read: from memory and from the files, by whoever may see them.
#include "engine/event_feed.hpp"

#include <algorithm>

#include "base/choices.hpp"
#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
std::vector<EventTold> all_of(Events& events, u64 from, u64 step) {
    std::vector<EventTold> list;
    while (from <= events.last()) {
        auto read = events.read(from, step);
        REQUIRE_MESSAGE(read.has_value(), describe(read.error()));
        REQUIRE(!read->empty());
        REQUIRE(read->front().sequence == from);
        from = read->back().sequence + 1;
        std::ranges::move(*read, std::back_inserter(list));
    }
    return list;
}

void check_equal(const std::vector<EventTold>& a, const std::vector<EventTold>& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        CAPTURE(a[i].sequence);
        CAPTURE(name_of(a[i].event));
        CHECK(a[i].sequence == b[i].sequence);
        CHECK(a[i].wall_ns == b[i].wall_ns);
        CHECK(a[i].event.index() == b[i].event.index());
        CHECK(a[i].whose.owner == b[i].whose.owner);
        CHECK(a[i].whose.device_id == b[i].whose.device_id);
        CHECK(a[i].whose.known == b[i].whose.known);
    }
}

std::vector<std::byte> encoded(const Event& event) {
    std::vector<std::byte> bytes;
    encode(event, bytes);
    return bytes;
}

/// A feed over the files of a daemon that has ended: nothing of it is in memory.
struct FilesOnly {
    explicit FilesOnly(const Daemon& daemon, std::string life = "test", u64 history_bytes_max = gib) {
        auto opened = ledger::Ledger::open({daemon.folder / "ledger", std::move(life), mib, history_bytes_max});
        REQUIRE(opened.has_value());
        ledger = std::move(opened->ledger);
        feed.begin(*ledger);
    }
    std::unique_ptr<ledger::Ledger> ledger;
    EventFeed feed{{[](const Caller&, AllocationId) { return true; }, [](std::move_only_function<void()> work) { work(); }}};
};

/// Allocations and frees of three owners on two devices, and a model; some things are left.
void some_life(Daemon& daemon, u64 seed, int rounds) {
    SeededRandom random(seed);
    std::vector<std::pair<std::string, AllocationId>> held;
    for (int i = 0; i < rounds; ++i) {
        const std::string owner = "user" + std::to_string(random.below(3));
        if (random.below(3) != 0) {
            const auto made = daemon.allocate(owner, 1 + random.below(random.below(10) == 0 ? 9 * mib : 5000));
            if (made) held.emplace_back(owner, made->record.id);
        } else if (!held.empty()) {
            const std::size_t which = random.below(held.size());
            REQUIRE(daemon.free(held[which].first, held[which].second).has_value());
            held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
        }
    }
}
}  // namespace

TEST_CASE("what memory tells of the events is what the files tell, event by event, through restarts and snapshots") {
    Daemon daemon;
    daemon.end();
    daemon.capacities["b"] = 32 * mib;
    auto loading = std::make_shared<ScriptedLoading>();
    daemon.loading = loading;
    daemon.start();
    some_life(daemon, 1, 300);
    REQUIRE(daemon.load().has_value());
    daemon.end();
    daemon.start();
    some_life(daemon, 2, 300);
    const std::vector<EventTold> remembered = all_of(daemon.core->events(), 1, 1000);
    CHECK(remembered.size() > 500);
    CHECK(std::ranges::all_of(remembered, [](const EventTold& told) { return told.whose.known; }));
    daemon.end();
    {
        FilesOnly files(daemon);
        for (const u64 step : {u64{1}, u64{7}, u64{5000}}) {
            std::vector<EventTold> read = all_of(files.feed, 1, step);
            read.resize(remembered.size());
            check_equal(remembered, read);
        }
    }
    daemon.start();
}

TEST_CASE("a reader that begins anywhere in the past is told whose each event is, and so is one that begins in another life") {
    Daemon daemon;
    some_life(daemon, 3, 2500);  // More than one snapshot's worth.
    daemon.end();
    {
        FilesOnly other_life(daemon, "another machine's start");
        const std::vector<EventTold> whole = all_of(other_life.feed, 1, 100'000);
        Choices choices = Choices::from_seed(5);
        for (int i = 0; i < 20; ++i) {
            const u64 from = 1 + choices.below(whole.size());
            FilesOnly fresh(daemon, "a third");
            const auto read = fresh.feed.read(from, 50);
            REQUIRE(read.has_value());
            check_equal({whole.begin() + static_cast<std::ptrdiff_t>(from - 1),
                         whole.begin() + static_cast<std::ptrdiff_t>(from - 1 + read->size())},
                        *read);
        }
    }
    daemon.start();
}

TEST_CASE("whose an event is decides who may see it") {
    const report::Attribution mine{"me", "a", {}, true}, models{"vramd", "a", {}, true}, nobodys{{}, "a", {}, true},
        unknown{{}, {}, {}, false};
    const Caller me{"me", Role::user}, you{"you", Role::user};
    CHECK(report::may_see(me, mine));
    CHECK(!report::may_see(you, mine));
    CHECK(report::may_see(you, models));
    CHECK(report::may_see(you, nobodys));
    CHECK(!report::may_see(you, unknown));
    for (const auto& whose : {mine, models, nobodys, unknown}) CHECK(report::may_see(admin, whose));
}

TEST_CASE("whoever waits for events is woken once, and a reader that has not seen all does not wait") {
    Daemon daemon;
    Events& events = daemon.core->events();
    std::atomic<int> woken = 0;
    events.listen([&woken] { ++woken; });
    const u64 last = events.last();
    REQUIRE(last >= 1);
    CHECK(!events.arm(last - 1));
    CHECK(events.arm(last));
    const auto made = daemon.allocate("me", 1000);
    REQUIRE(made.has_value());
    CHECK(woken == 1);
    CHECK(!events.arm(last));
    CHECK(events.last() > last);
    CHECK(events.read(events.last() + 1, 10)->empty());
    events.listen({});
    CHECK(events.arm(events.last()));
    REQUIRE(daemon.free("me", made->record.id).has_value());
    CHECK(woken == 1);
}

TEST_CASE("an event that is no longer kept is refused with the oldest one that is") {
    Daemon daemon;
    some_life(daemon, 7, 100);
    daemon.end();
    for (int life = 0; life < 6; ++life) FilesOnly ended(daemon, "life" + std::to_string(life), 1);
    {
        FilesOnly now(daemon, "now", 1);
        const std::vector<std::vector<std::byte>> one{std::vector<std::byte>(3)};
        REQUIRE(now.ledger->append(1, one).has_value());
        REQUIRE(now.ledger->snapshot(now.ledger->sequence(), one.front()).has_value());
        const u64 oldest = now.feed.oldest();
        REQUIRE(oldest > 1);
        const auto gone = now.feed.read(1, 10);
        REQUIRE(!gone.has_value());
        CHECK(gone.error().code == Code::history_gone);
        CHECK(gone.error().limit == oldest);
    }
    daemon.start();
}

TEST_CASE("an allocation's life is told from its beginning, to those who may see it, with the middle left out when it is long") {
    Daemon daemon;
    const auto made = daemon.allocate("me", 1000);
    const auto other = daemon.allocate("me", 1000);
    REQUIRE(made.has_value());
    REQUIRE(other.has_value());
    for (int i = 0; i < 10; ++i) REQUIRE(daemon.core->renew_lease({{"me", Role::user}, other->record.id, 60}).has_value() == false);
    const auto history = [&](const std::string& owner, AllocationId id, u64 max) {
        std::promise<Result<AllocationHistory>> answer;
        daemon.core->events().history_of({owner, Role::user}, id, max,
                                         [&](Result<AllocationHistory> told) { answer.set_value(std::move(told)); });
        return answer.get_future().get();
    };
    const auto told = history("me", made->record.id, 100);
    REQUIRE(told.has_value());
    CHECK(told->complete);
    REQUIRE(told->events.size() == 2);
    CHECK(name_of(told->events[0].event) == "allocationReserved");
    CHECK(name_of(told->events[1].event) == "allocationReady");
    CHECK(history("you", made->record.id, 100).error().code == Code::not_found);
    for (int i = 0; i < 10; ++i) {
        const auto content = daemon.core->open_content({"me", Role::user}, made->record.id, Access::read);
        REQUIRE(content.has_value());
    }
    const auto shorter = history("me", made->record.id, 4);
    REQUIRE(shorter.has_value());
    CHECK(shorter->complete);
    CHECK(shorter->events.size() == 4);
    CHECK(shorter->omitted > 0);
    CHECK(name_of(shorter->events[0].event) == "allocationReserved");
    CHECK(name_of(shorter->events[3].event) == "allocationAccessed");
}

TEST_CASE("what an older program wrote otherwise is a gap with its end told, and what lies after it is read") {
    Daemon daemon;
    some_life(daemon, 3, 20);
    daemon.end();
    u64 last = 0;
    {
        const FilesOnly files(daemon);
        const std::vector<std::vector<std::byte>> unreadable = {{std::byte{6}, std::byte{1}}, {std::byte{250}}};
        last = files.ledger->append(0, unreadable).value() + 1;
    }
    const std::vector<std::vector<std::byte>> readable = {encoded(DeviceAdded{"b", 32 * mib, 4096})};
    const auto added = FilesOnly(daemon, "another life").ledger->append(0, readable);
    REQUIRE(added.has_value());
    FilesOnly again(daemon, "a third life");
    const auto before = again.feed.read(last - 3, 100);
    REQUIRE(before.has_value());
    CHECK(before->back().sequence == last - 2);
    for (const u64 from : {last - 1, last}) {
        const auto refused = again.feed.read(from, 100);
        REQUIRE(!refused.has_value());
        CHECK(refused.error().code == Code::history_gone);
        CHECK(refused.error().limit == *added);
    }
    CHECK(again.feed.read(*added, 100)->front().sequence == *added);
    std::filesystem::remove_all(daemon.folder / "ledger");  // What a start cannot read it refuses to go on from.
    daemon.start();
}
