/// Defragmentations on the machine's own memory, with real threads beside them.
#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
UpkeepCommand asked(DefragmentStrategy strategy = DefragmentStrategy::balanced) {
    UpkeepCommand command;
    command.caller = admin;
    command.request.actions = {UpkeepAction::defragment};
    command.request.strategy = strategy;
    return command;
}
/// Begins an upkeep and waits for its end.
Result<report::OperationTold> run(Daemon& daemon, UpkeepCommand command) {
    std::promise<Result<report::OperationTold>> answer;
    const auto begun =
        daemon.core->upkeep(std::move(command), [&answer](Result<report::OperationTold> told) { answer.set_value(std::move(told)); });
    if (!begun) return std::unexpected(begun.error());
    auto future = answer.get_future();
    if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) std::abort();  // The promise would outlive its future.
    return future.get();
}
void fill(Daemon& daemon, AllocationId id, u64 seed) {
    const auto content = daemon.core->open_content(me, id, Access::write);
    REQUIRE(content);
    const auto room = (*content)->room(0, UINT64_MAX);
    SeededRandom random(seed);
    for (std::byte& byte : *room) byte = static_cast<std::byte>(random.next());
}
bool holds(Daemon& daemon, AllocationId id, u64 seed) {
    const auto content = daemon.core->open_content(me, id, Access::read);
    if (!content) return false;
    SeededRandom random(seed);
    const auto bytes = *(*content)->view(0, UINT64_MAX);
    for (const std::byte byte : bytes)
        if (byte != static_cast<std::byte>(random.next())) return false;
    return true;
}
/// Allocations over several arenas of which one in `nth` is left, each with bytes of its own.
std::vector<AllocationId> thinned(Daemon& daemon, std::size_t nth, u64 size_bytes = 90'000) {
    std::vector<AllocationId> all;
    for (int i = 0; i < 150; ++i) {
        const auto made = daemon.allocate("me", size_bytes);
        REQUIRE(made);
        all.push_back(made->record.id);
    }
    std::vector<AllocationId> kept;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i % nth != 0) {
            REQUIRE(daemon.free("me", all[i]));
            continue;
        }
        fill(daemon, all[i], all[i].serial);
        kept.push_back(all[i]);
    }
    return kept;
}
bool all_hold(Daemon& daemon, const std::vector<AllocationId>& ids) {
    return std::ranges::all_of(ids, [&daemon](AllocationId id) { return holds(daemon, id, id.serial); });
}
}  // namespace

TEST_CASE("a defragmentation gains blocks, and every id keeps its bytes, through a restart too") {
    Daemon daemon;
    const auto kept = thinned(daemon, 8);
    std::promise<Result<report::UpkeepProgress>> answer;
    daemon.core->try_upkeep(asked(), [&answer](Result<report::UpkeepProgress> result) { answer.set_value(std::move(result)); });
    const auto tried = answer.get_future().get();
    REQUIRE(tried);
    const auto told = run(daemon, asked());
    REQUIRE(told);
    CHECK(told->state == OperationState::succeeded);
    REQUIRE(told->upkeep);
    const report::UpkeepProgress& upkeep = *told->upkeep;
    CHECK(upkeep.moves > 0);
    CHECK(upkeep.result.actions[0].stopped_by == UpkeepStop::done);
    CHECK(upkeep.result.actions[0].moves == upkeep.moves);
    CHECK(upkeep.result.actions[0].released_blocks > 0);
    CHECK(upkeep.result.actions[0].freed_bytes == upkeep.result.after[0].uncommitted_bytes - upkeep.before[0].uncommitted_bytes);
    CHECK(upkeep.result.after[0].largest_free_bytes > upkeep.before[0].largest_free_bytes);
    // What was tried is what came.
    CHECK(tried->result.after == upkeep.result.after);
    CHECK(tried->moved_bytes == upkeep.moved_bytes);
    CHECK(all_hold(daemon, kept));
    CHECK(daemon.core->audit().ok);
    daemon.end();
    daemon.start();
    CHECK(all_hold(daemon, kept));
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("memory that is being read stays where it is; the rest moves, and the answer says leased") {
    Daemon daemon;
    const auto kept = thinned(daemon, 8);
    const auto reader = daemon.core->open_content(me, kept.back(), Access::read);
    REQUIRE(reader);
    const auto before = daemon.core->allocation(me, kept.back());
    const auto told = run(daemon, asked());
    REQUIRE(told);
    CHECK(told->state == OperationState::succeeded);
    CHECK(told->upkeep->result.actions[0].stopped_by == UpkeepStop::leased);
    CHECK(told->upkeep->result.actions[0].left >= 1);  // A block that a further round would have emptied counts too.
    CHECK(told->upkeep->moves > 0);
    CHECK(daemon.core->allocation(me, kept.back())->block == before->block);
}

TEST_CASE("who begins to read what is being moved keeps it where it is") {
    Daemon daemon;
    daemon.end();
    daemon.transfer_options.mode = transfer::Options::Mode::stepped;  // So that the copy waits for the reader to come.
    daemon.start();
    (void)thinned(daemon, 8);
    std::atomic<bool> ended = false;
    REQUIRE(daemon.core->upkeep(asked(), [&ended](const Result<report::OperationTold>&) { ended = true; }));
    while (daemon.transfer->pending() == 0 && !ended) std::this_thread::yield();
    REQUIRE(!ended);
    AllocationId moving;
    daemon.core->look(
        [&moving](const core::State& state) { moving = state.books.allocation_by_serial(state.books.moves().begin()->first)->row.id; });
    auto reader = daemon.core->open_content(me, moving, Access::read);
    REQUIRE(reader);
    const auto before = daemon.core->allocation(me, moving);
    while (!ended)
        if (daemon.transfer->step() == 0) std::this_thread::yield();
    const auto after = daemon.core->allocation(me, moving);
    CHECK(after->block == before->block);
    CHECK(after->offset_bytes == before->offset_bytes);
    reader->reset();
    CHECK(holds(daemon, moving, moving.serial));
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("what waits for a move waits for the move alone, not for who reads besides, and readers come in again") {
    std::atomic<bool> ended = false;  // These outlive the daemon, whose end answers who waits yet.
    std::atomic<bool> copied = false;
    Daemon daemon;
    daemon.end();
    daemon.transfer_options.mode = transfer::Options::Mode::stepped;  // So that the copy waits for the reader to come.
    daemon.start();
    (void)thinned(daemon, 8);
    REQUIRE(daemon.core->upkeep(asked(), [&ended](const Result<report::OperationTold>&) { ended = true; }));
    while (daemon.transfer->pending() == 0 && !ended) std::this_thread::yield();
    REQUIRE(!ended);
    TransferCommand copy;
    daemon.core->look(
        [&copy](const core::State& state) { copy.source = state.books.allocation_by_serial(state.books.moves().begin()->first)->row.id; });
    copy.caller = me;
    copy.target_device_id = "a";
    const auto reader = daemon.core->open_content(me, copy.source, Access::read);
    REQUIRE(reader);
    daemon.core->transfer(copy, Engine::Until::ended, [&copied](const Result<report::TransferTold>& told) {
        CHECK_MESSAGE(told, told.error().detail);
        copied = true;
    });
    CHECK_FALSE(daemon.core->open_content(me, copy.source, Access::read));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while ((!ended || !copied) && std::chrono::steady_clock::now() < deadline)
        if (daemon.transfer->step() == 0) std::this_thread::yield();
    CHECK(copied);
    CHECK(daemon.core->open_content(me, copy.source, Access::read));
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a defragmentation whose time is up has moved nothing more, and says timeBound") {
    Daemon daemon;
    const auto kept = thinned(daemon, 8);
    UpkeepCommand command = asked();
    command.request.time_limit_ns = 1;
    const auto told = run(daemon, command);
    REQUIRE(told);
    CHECK(told->state == OperationState::succeeded);
    CHECK(told->upkeep->result.actions[0].stopped_by == UpkeepStop::time_bound);
    CHECK(told->upkeep->moves == 0);
    CHECK(told->upkeep->result.after == told->upkeep->before);
}

TEST_CASE("an optimize does its operations one after the other, and tells of each") {
    Daemon daemon;
    const auto kept = thinned(daemon, 8);
    UpkeepCommand command = asked();
    command.request.kind = OperationKind::optimize;
    command.request.actions = {UpkeepAction::garbage_collect, UpkeepAction::defragment, UpkeepAction::compact, UpkeepAction::preload,
                               UpkeepAction::cache};
    const auto told = run(daemon, command);
    REQUIRE(told);
    CHECK(told->state == OperationState::succeeded);
    const auto& actions = told->upkeep->result.actions;
    REQUIRE(actions.size() == 5);
    for (std::size_t i = 0; i < actions.size(); ++i) CHECK(actions[i].action == command.request.actions[i]);
    CHECK(actions[1].moves > 0);
    CHECK(actions[1].moves + actions[2].moves == told->upkeep->moves);
    CHECK(actions[3].why_left == "No model is configured to be preloaded.");
    CHECK(told->upkeep->result.after[0].uncommitted_bytes > told->upkeep->before[0].uncommitted_bytes);
    CHECK(all_hold(daemon, kept));
}

TEST_CASE("users who write, read, allocate and free meanwhile lose no byte to defragmentations") {
    Daemon daemon(256 * mib);
    const auto kept = thinned(daemon, 4);
    std::atomic<bool> over = false;
    std::atomic<u64> wrong = 0;
    std::vector<std::thread> users;
    for (std::size_t user = 0; user < 3; ++user)
        users.emplace_back([&, user] {
            SeededRandom random(user + 7);
            std::map<AllocationId, u64> seeds;
            for (std::size_t i = user; i < kept.size(); i += 3) seeds.emplace(kept[i], kept[i].serial);
            for (u64 turn = 1; !over || turn < 40; ++turn) {
                auto at = seeds.begin();
                std::advance(at, static_cast<std::ptrdiff_t>(random.below(seeds.size())));
                if (!holds(daemon, at->first, at->second)) wrong += 1;
                if (random.below(2) == 0) fill(daemon, at->first, at->second = random.next());
                if (random.below(4) == 0) {
                    if (!daemon.free("me", at->first, true)) wrong += 1;
                    seeds.erase(at);
                    const auto made = daemon.allocate("me", 1 + random.below(120'000), 10 * ns_per_second);
                    if (!made) {
                        wrong += 1;
                        continue;
                    }
                    const u64 seed = random.next();
                    fill(daemon, made->record.id, seed);
                    seeds.emplace(made->record.id, seed);
                }
            }
            for (const auto& [id, seed] : seeds)
                if (!holds(daemon, id, seed)) wrong += 1;
        });
    u64 moves = 0;
    for (int i = 0; i < 12; ++i) {
        const auto told = run(daemon, asked(static_cast<DefragmentStrategy>(i % 3)));
        if (!told || told->state != OperationState::succeeded)
            wrong += 1;
        else
            moves += told->upkeep->moves;
    }
    over = true;
    for (std::thread& user : users) user.join();
    CHECK(wrong == 0);
    CHECK(moves > 0);
    const AuditTold audit = daemon.core->audit();
    CHECK_MESSAGE(audit.ok, (audit.findings.empty() ? "" : audit.findings.front()));
}

TEST_CASE("a core that ends in mid-defragmentation leaves it to the next one, which ends it") {
    Daemon daemon(256 * mib);
    const auto kept = thinned(daemon, 5, 300'000);
    const auto begun = daemon.core->upkeep(asked(), {});
    REQUIRE(begun);
    daemon.core->abandon();  // From here on nothing is recorded, as if it were dead.
    daemon.end();
    daemon.start();
    for (;;) {
        const auto told = daemon.core->operation(admin, *begun);
        REQUIRE(told);
        if (told->state == OperationState::running) {
            std::this_thread::yield();
            continue;
        }
        CHECK(told->state == OperationState::succeeded);
        CHECK(told->upkeep->moves > 0);
        CHECK(told->upkeep->result.after[0].uncommitted_bytes > told->upkeep->before[0].uncommitted_bytes);
        break;
    }
    CHECK(all_hold(daemon, kept));
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a stop answers at once who waits for a defragmentation, and the next core ends it") {
    Daemon daemon(256 * mib);
    const auto kept = thinned(daemon, 2, 500'000);
    std::promise<Result<report::OperationTold>> answer;
    const auto begun = daemon.core->upkeep(asked(DefragmentStrategy::thorough),
                                           [&answer](Result<report::OperationTold> told) { answer.set_value(std::move(told)); });
    REQUIRE(begun);
    const u64 stopped_ns = monotonic_ns();
    daemon.core->stop(60 * ns_per_second);
    CHECK(monotonic_ns() - stopped_ns < 30 * ns_per_second);
    const auto told = answer.get_future().get();
    if (!told) CHECK(told.error().code == Code::busy);  // Else it was over already.
    daemon.end();
    daemon.start();
    while (daemon.core->operation(admin, *begun)->state == OperationState::running) std::this_thread::yield();
    CHECK(daemon.core->operation(admin, *begun)->state == OperationState::succeeded);
    CHECK(all_hold(daemon, kept));
}

TEST_CASE("a cancelled defragmentation ends as cancelled, and what was moved stays moved") {
    Daemon daemon(256 * mib);
    const auto kept = thinned(daemon, 2, 500'000);
    std::promise<Result<report::OperationTold>> answer;
    const auto begun = daemon.core->upkeep(asked(DefragmentStrategy::thorough),
                                           [&answer](Result<report::OperationTold> told) { answer.set_value(std::move(told)); });
    REQUIRE(begun);
    const auto cancelling = daemon.core->cancel({admin, *begun});
    const auto told = answer.get_future().get();
    REQUIRE(told);
    if (cancelling) CHECK(told->state == OperationState::cancelled);  // Else it was over already.
    CHECK(!told->upkeep->result.after.empty());
    CHECK(all_hold(daemon, kept));
    CHECK(daemon.core->audit().ok);
}
