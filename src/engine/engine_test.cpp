/// The engine on the machine's own memory, with real threads; the ThreadSanitizer run of these tests is what shows its locking.
#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
/// One user's work: allocates, writes, reads back, copies, clears, frees; false where a byte is wrong.
bool work(Daemon& daemon, const std::string& owner, u64 seed, int rounds) {
    SeededRandom random(seed);
    const Caller caller{owner, Role::user};
    for (int i = 0; i < rounds; ++i) {
        const u64 size = 1 + random.below(random.below(8) == 0 ? 3 * mib : 20'000);
        const auto first = daemon.allocate(owner, size, 10 * ns_per_second);
        const auto second = daemon.allocate(owner, size, 10 * ns_per_second);
        if (!first || !second) return false;
        {
            const auto content = daemon.core->open_content(caller, first->record.id, Access::write);
            if (!content) return false;
            const auto room = (*content)->room(0, size);
            for (const std::byte byte : *room)
                if (byte != std::byte{0}) return false;
            std::memset(room->data(), static_cast<int>(1 + seed % 200), room->size());
        }
        if (!daemon.copy({caller, first->record.id, second->record.id, 0, 0, std::nullopt})) return false;
        {
            const auto content = daemon.core->open_content(caller, second->record.id, Access::read);
            if (!content || (*(*content)->view(0, 1))[0] != static_cast<std::byte>(1 + seed % 200)) return false;
        }
        if (!daemon.clear({caller, first->record.id, "", 0, std::nullopt, 0xab})) return false;
        if (!daemon.free(owner, first->record.id) || !daemon.free(owner, second->record.id)) return false;
    }
    return true;
}
}  // namespace

TEST_CASE("four users at once see only their own bytes, and the books are right afterwards") {
    Daemon daemon;
    std::atomic<int> right = 0;
    std::vector<std::thread> users;
    for (int i = 0; i < 4; ++i)
        users.emplace_back(
            [&daemon, &right, i] { right += work(daemon, "user" + std::to_string(i), static_cast<u64>(i) + 1, 40) ? 1 : 0; });
    std::thread reader([&daemon] {
        for (int i = 0; i < 200; ++i) {
            (void)daemon.core->devices();  // Only to be there while things change.
            (void)daemon.core->allocations(admin, {});
        }
    });
    for (std::thread& user : users) user.join();
    reader.join();
    CHECK(right == 4);
    const AuditTold audit = daemon.core->audit();
    CHECK_MESSAGE(audit.ok, (audit.findings.empty() ? "" : audit.findings.front()));
    CHECK(daemon.core->devices()[0].books.live_bytes == 0);
}

TEST_CASE("a core that ends and starts again has the same ids and the same bytes") {
    Daemon daemon;
    const auto small = daemon.allocate("me", 1000);
    const auto large = daemon.allocate("me", 9 * mib);
    REQUIRE(small);
    REQUIRE(large);
    for (const AllocationId id : {small->record.id, large->record.id}) {
        const auto content = daemon.core->open_content({"me", Role::user}, id, Access::write);
        const auto room = (*content)->room(0, UINT64_MAX);
        std::memset(room->data(), 0x5a, room->size());
    }
    const u64 before = daemon.core->hash();
    daemon.end();
    daemon.start();
    CHECK(daemon.core->hash() == before);
    for (const AllocationId id : {small->record.id, large->record.id}) {
        const auto content = daemon.core->open_content({"me", Role::user}, id, Access::read);
        REQUIRE(content);
        const auto bytes = *(*content)->view(0, UINT64_MAX);
        CHECK(std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0x5a}; }));
    }
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a free while somebody reads is refused; a forced one waits for the reader") {
    Daemon daemon;
    const auto made = daemon.allocate("me", 1000);
    REQUIRE(made);
    auto content = daemon.core->open_content({"me", Role::user}, made->record.id, Access::read);
    REQUIRE(content);
    const auto refused = daemon.free("me", made->record.id);
    REQUIRE(!refused);
    CHECK(refused.error().code == Code::leased);
    std::promise<Result<Freed>> answer;
    daemon.core->free({{"me", Role::user}, made->record.id}, true,
                      [&answer](Result<Freed> result) { answer.set_value(std::move(result)); });
    auto future = answer.get_future();
    CHECK(future.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
    content->reset();
    const auto freed = future.get();
    REQUIRE(freed);
    CHECK(freed->freed_bytes == 1024);
}

TEST_CASE("a request that does not fit waits, and gets its place when another lets go") {
    Daemon daemon(16 * mib);
    const auto holder = daemon.allocate("you", 12 * mib);
    REQUIRE(holder);
    CHECK(!daemon.allocate("me", 10 * mib));
    std::promise<Result<Allocated>> answer;
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = 10 * mib;
    daemon.core->allocate(command, 30 * ns_per_second, [&answer](Result<Allocated> result) { answer.set_value(std::move(result)); });
    REQUIRE(daemon.free("you", holder->record.id));
    const auto placed = answer.get_future().get();
    REQUIRE(placed);
    CHECK(placed->record.size_bytes == 10 * mib);
    CHECK(placed->total_ns < 20 * ns_per_second);  // Woken by the free, not by the end of its time.
}

TEST_CASE("a request whose time runs out is told that no room came in time, with the figures; one that does not wait, that there is none") {
    Daemon daemon(16 * mib);
    REQUIRE(daemon.allocate("you", 12 * mib));
    const auto refused = daemon.allocate("me", 10 * mib, 50 * ns_per_ms);
    REQUIRE(!refused);
    CHECK(refused.error().code == Code::timed_out);
    CHECK(refused.error().field == "/sizeBytes");
    CHECK(refused.error().value == 10 * mib);
    CHECK(refused.error().limit > 0);
    CHECK(daemon.allocate("me", 10 * mib).error().code == Code::insufficient_memory);
}

TEST_CASE("clearing a device's free memory overwrites what was used, and nothing that is in use") {
    Daemon daemon;
    const auto kept = daemon.allocate("me", 4096);
    const auto used = daemon.allocate("me", 4096);
    const auto last = daemon.allocate("me", 4096);
    REQUIRE(kept);
    REQUIRE(used);
    REQUIRE(last);
    for (const auto* made : {&kept, &used, &last}) REQUIRE(daemon.clear({admin, (*made)->record.id, "", 0, std::nullopt, 7}));
    REQUIRE(daemon.free("me", used->record.id));
    const auto moved = daemon.clear({admin, std::nullopt, "a", 0, std::nullopt, 0});
    REQUIRE(moved);
    CHECK(moved->bytes == 4096);
    CHECK(moved->free_ranges_touched == 1);
    const auto content = daemon.core->open_content({"me", Role::user}, kept->record.id, Access::read);
    const auto bytes = *(*content)->view(0, UINT64_MAX);
    CHECK(std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{7}; }));
    const auto refused = daemon.clear({{"me", Role::user}, std::nullopt, "a", 0, std::nullopt, 0});
    REQUIRE(!refused);
    CHECK(refused.error().code == Code::forbidden);
}

TEST_CASE("thousands of changes outgrow the ledger's file many times, and a restart still knows all") {
    Daemon daemon;
    std::vector<AllocationId> held;
    for (int i = 0; i < 6000; ++i) {
        const auto made = daemon.allocate("me", 256);
        REQUIRE(made);
        held.push_back(made->record.id);
        if (held.size() < 100) continue;
        REQUIRE(daemon.free("me", held.front()));
        held.erase(held.begin());
    }
    const u64 before = daemon.core->hash();
    daemon.end();
    daemon.start();
    CHECK(daemon.core->hash() == before);
    for (const AllocationId id : held) CHECK(daemon.core->allocation({"me", Role::user}, id).has_value());
}

TEST_CASE("an unload is answered when its memory is back, with the figures that hold from then on") {
    Daemon daemon;
    daemon.end();
    daemon.loading = std::make_shared<ScriptedLoading>();
    daemon.start();
    const auto before = daemon.core->devices()[0].books;
    REQUIRE(daemon.load());
    REQUIRE(daemon.core->devices()[0].books.live_bytes > before.live_bytes);
    std::promise<Result<Freed>> answer;
    daemon.core->unload_model({admin, "m", {}, UnloadModelCommand::Cached::drop},
                              [&answer](Result<Freed> result) { answer.set_value(std::move(result)); });
    const auto freed = answer.get_future().get();
    REQUIRE(freed);
    CHECK(freed->freed_bytes > 0);
    CHECK(freed->device_after.live_bytes == before.live_bytes);
    CHECK(freed->device_after.zombie_bytes == 0);
    CHECK(freed->device_after.free_bytes == before.free_bytes);
}
