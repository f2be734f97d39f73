/// Transfers and moves on the machine's own memory, with real threads, writers in the way and cores that die.
#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
struct TwoDevices : Daemon {
    TwoDevices() {
        end();
        capacities = {{"a", 64 * mib}, {"b", 64 * mib}};
        start();
    }
    Result<report::TransferTold> transfer(TransferCommand command, Engine::Until until = Engine::Until::ended) {
        std::promise<Result<report::TransferTold>> answer;
        command.caller = me;
        core->transfer(std::move(command), until, [&answer](Result<report::TransferTold> told) { answer.set_value(std::move(told)); });
        return answer.get_future().get();
    }
    AllocationId on_a(u64 size_bytes) {
        std::promise<Result<Allocated>> answer;
        AllocateCommand command;
        command.caller = me;
        command.device_id = "a";
        command.size_bytes = size_bytes;
        core->allocate(std::move(command), 0, [&answer](Result<Allocated> result) { answer.set_value(std::move(result)); });
        const auto made = answer.get_future().get();
        REQUIRE(made);
        return made->record.id;
    }
    void write(AllocationId id, std::byte value) {
        const auto content = core->open_content(me, id, Access::write);
        REQUIRE(content);
        u64 at = 0;
        while (at < (*content)->size_bytes()) {
            const auto room = *(*content)->room(at, mib);
            std::memset(room.data(), static_cast<int>(value), room.size());
            REQUIRE((*content)->commit(at, room.size()));
            at += room.size();
        }
    }
    bool holds(AllocationId id, std::byte value) {
        const auto content = core->open_content(me, id, Access::read);
        if (!content) return false;
        u64 at = 0;
        while (at < (*content)->size_bytes()) {
            const auto part = *(*content)->view(at, mib);
            for (const std::byte byte : part)
                if (byte != value) return false;
            at += part.size();
        }
        return true;
    }
    std::string device_of(AllocationId id) { return core->allocation(me, id)->device_id; }
};

TransferCommand to_b(AllocationId source, TransferMode mode) {
    TransferCommand command;
    command.source = source;
    command.target_device_id = "b";
    command.mode = mode;
    return command;
}
}  // namespace

TEST_CASE("a copy arrives whole and verified beside its source, a move arrives under its own id and leaves nothing behind") {
    TwoDevices daemon;
    for (const u64 size : {u64{1}, u64{4097}, 9 * mib}) {
        CAPTURE(size);
        const AllocationId source = daemon.on_a(size);
        daemon.write(source, std::byte{0x5a});
        TransferCommand copy = to_b(source, TransferMode::copy);
        copy.verify = true;
        const auto copied = daemon.transfer(copy);
        REQUIRE(copied);
        CHECK(copied->state == TransferState::succeeded);
        CHECK(copied->result.bytes == size);
        CHECK(copied->result.checksum != 0);
        CHECK(daemon.device_of(copied->plan.target) == "b");
        CHECK(daemon.holds(copied->plan.target, std::byte{0x5a}));
        CHECK(daemon.holds(source, std::byte{0x5a}));
        const auto moved = daemon.transfer(to_b(source, TransferMode::move));
        REQUIRE(moved);
        CHECK(moved->plan.target == source);
        CHECK(daemon.device_of(source) == "b");
        CHECK(daemon.holds(source, std::byte{0x5a}));
        REQUIRE(daemon.free("me", source));
        REQUIRE(daemon.free("me", copied->plan.target));
    }
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("whoever writes while a move runs finds their bytes at the new place, or the move says that it was disturbed") {
    TwoDevices daemon;
    const AllocationId id = daemon.on_a(16 * mib);
    std::atomic<bool> over = false;
    std::atomic<int> last = 0;
    std::thread writer([&] {
        for (int value = 1; !over; value = value % 200 + 1) {
            daemon.write(id, static_cast<std::byte>(value));
            last = value;
        }
    });
    std::string from = "a";
    for (int round = 0; round < 6; ++round) {
        TransferCommand command = to_b(id, TransferMode::move);
        command.target_device_id = from == "a" ? "b" : "a";
        command.verify = round % 2 == 0;
        const auto told = daemon.transfer(command);
        REQUIRE(told);
        if (told->state == TransferState::succeeded) from = command.target_device_id;
        if (told->error) CHECK(told->error->code == Code::conflict);
        CHECK(daemon.device_of(id) == from);
    }
    over = true;
    writer.join();
    CHECK(daemon.holds(id, static_cast<std::byte>(last.load())));
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("what is written behind the copying of a move is copied once more") {
    TwoDevices daemon;
    daemon.end();
    daemon.transfer_options.mode = transfer::Options::Mode::stepped;
    daemon.start();
    const AllocationId id = daemon.on_a(3 * transfer::chunk_bytes);
    daemon.write(id, std::byte{1});
    std::promise<Result<report::TransferTold>> answer;
    auto moved = answer.get_future();
    TransferCommand command = to_b(id, TransferMode::move);
    command.caller = me;
    daemon.core->transfer(std::move(command), Engine::Until::ended,
                          [&answer](Result<report::TransferTold> told) { answer.set_value(std::move(told)); });
    while (daemon.Daemon::transfer->step() == 0) std::this_thread::yield();  // The first of three chunks is there.
    daemon.write(id, std::byte{2});
    while (moved.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
        if (daemon.Daemon::transfer->step() == 0) std::this_thread::yield();
    CHECK(moved.get()->state == TransferState::succeeded);
    CHECK(daemon.device_of(id) == "b");
    CHECK(daemon.holds(id, std::byte{2}));
}

TEST_CASE("a reader at the end of a move is waited for and reads the old bytes to its end") {
    TwoDevices daemon;
    const AllocationId id = daemon.on_a(4 * mib);
    daemon.write(id, std::byte{7});
    auto reader = daemon.core->open_content(me, id, Access::read);
    REQUIRE(reader);
    const auto begun = daemon.transfer(to_b(id, TransferMode::move), Engine::Until::accepted);
    REQUIRE(begun);
    // It cannot end while the reader is there.
    for (int i = 0; i < 50; ++i) {
        CHECK(daemon.core->read_transfer(me, begun->plan.id)->state != TransferState::succeeded);
        CHECK((*(*reader)->view(4 * mib - 1, 1))[0] == std::byte{7});
    }
    reader->reset();
    std::promise<void> ended;
    while (daemon.core->read_transfer(me, begun->plan.id)->state != TransferState::succeeded) std::this_thread::yield();
    CHECK(daemon.device_of(id) == "b");
    CHECK(daemon.holds(id, std::byte{7}));
}

TEST_CASE("a forced free that waits for a reader is not overtaken by a transfer, neither from nor into what it frees") {
    TwoDevices daemon;
    const AllocationId id = daemon.on_a(4096);
    const AllocationId other = daemon.on_a(4096);
    auto reader = daemon.core->open_content(me, id, Access::read);
    REQUIRE(reader);
    std::optional<Result<Freed>> freed;
    daemon.core->free({me, id}, true, [&freed](Result<Freed> result) { freed = std::move(result); });
    CHECK(!freed);
    TransferCommand into = to_b(other, TransferMode::copy);
    into.target_device_id.clear();
    into.target = id;
    for (const TransferCommand& command : {to_b(id, TransferMode::copy), to_b(id, TransferMode::move), into}) {
        const auto told = daemon.transfer(command);
        REQUIRE(!told);
        CHECK(told.error().code == Code::conflict);
        CHECK(told.error().field == (command.target ? "/targetAllocationId" : "/sourceAllocationId"));
    }
    // To anybody else it looks missing, now as ever.
    std::optional<Code> stranger;
    TransferCommand theirs = to_b(id, TransferMode::copy);
    theirs.caller = {"you", Role::user};
    daemon.core->transfer(theirs, Engine::Until::accepted,
                          [&stranger](const Result<report::TransferTold>& told) { stranger = told.error().code; });
    CHECK(stranger == Code::not_found);
    reader->reset();
    REQUIRE(freed.has_value());
    CHECK(freed->has_value());
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a forced free during a move that its reader holds up ends as freed, whichever of the two came to wait first") {
    TwoDevices daemon;
    for (const u64 size : {u64{4096}, 16 * mib}) {  // The small one is copied before the free comes, the large one after.
        const AllocationId id = daemon.on_a(size);
        auto reader = daemon.core->open_content(me, id, Access::read);
        REQUIRE(reader);
        const auto begun = daemon.transfer(to_b(id, TransferMode::move), Engine::Until::accepted);
        REQUIRE(begun);
        while (daemon.core->read_transfer(me, begun->plan.id)->state == TransferState::queued) std::this_thread::yield();
        std::promise<Result<Freed>> answer;
        daemon.core->free({me, id}, true, [&answer](Result<Freed> result) { answer.set_value(std::move(result)); });
        reader->reset();
        const auto freed = answer.get_future().get();
        if (!freed) FAIL(describe(freed.error()));
        CHECK(!daemon.core->allocation(me, id));
    }
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a thousand small transfers of two owners all end, each exactly once, and the books are right") {
    TwoDevices daemon;
    std::vector<AllocationId> sources;
    for (int i = 0; i < 20; ++i) sources.push_back(daemon.on_a(1000));
    std::atomic<int> ended = 0;
    std::promise<void> all;
    for (int i = 0; i < 1000; ++i) {
        TransferCommand command = to_b(sources[static_cast<std::size_t>(i) % 20], TransferMode::copy);
        command.caller = me;
        daemon.core->transfer(command, Engine::Until::ended, [&](Result<report::TransferTold> told) {
            CHECK(told.has_value());
            if (++ended == 1000) all.set_value();
        });
    }
    REQUIRE(all.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready);
    CHECK(ended == 1000);
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("who sees that a transfer or a move has ended may free what it used in that moment") {
    TwoDevices daemon;
    for (int i = 0; i < 200; ++i) {
        const bool moves = i % 2 == 0;
        const AllocationId source = daemon.on_a(1000);
        const auto begun = daemon.transfer(to_b(source, moves ? TransferMode::move : TransferMode::copy), Engine::Until::accepted);
        REQUIRE(begun);
        while (daemon.core->read_transfer(me, begun->plan.id)->state != TransferState::succeeded) {
        }
        REQUIRE(daemon.free("me", source));
        if (!moves) REQUIRE(daemon.free("me", begun->plan.target));
    }
}

TEST_CASE("a cancelled transfer ends as cancelled or as done, gives back what it took, and a second cancel is refused") {
    TwoDevices daemon;
    const AllocationId id = daemon.on_a(32 * mib);
    const auto begun = daemon.transfer(to_b(id, TransferMode::copy), Engine::Until::accepted);
    REQUIRE(begun);
    const auto cancelled = daemon.core->cancel_transfer({me, begun->plan.id});
    const auto state = [&] { return daemon.core->read_transfer(me, begun->plan.id)->state; };
    while (state() == TransferState::queued || state() == TransferState::running) std::this_thread::yield();
    if (cancelled) {
        CHECK((state() == TransferState::cancelled || state() == TransferState::succeeded));
    }
    CHECK(daemon.core->allocation(me, begun->plan.target).has_value() == (state() == TransferState::succeeded));
    const auto again = daemon.core->cancel_transfer({me, begun->plan.id});
    REQUIRE(!again);
    CHECK(again.error().code == Code::conflict);
    CHECK(daemon.core->cancel_transfer({{"you", Role::user}, begun->plan.id}).error().code == Code::not_found);
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a core that ends with transfers queued and running goes on with them when it starts again") {
    TwoDevices daemon;
    std::vector<TransferId> transfers;
    std::vector<AllocationId> sources;
    for (int i = 0; i < 8; ++i) {
        const AllocationId id = daemon.on_a(3 * mib);
        daemon.write(id, static_cast<std::byte>(i + 1));
        sources.push_back(id);
    }
    for (const AllocationId id : sources)
        transfers.push_back(daemon.transfer(to_b(id, TransferMode::move), Engine::Until::accepted)->plan.id);
    daemon.core->abandon();  // From here on nothing is recorded, as if it had been killed.
    daemon.end();
    daemon.start();
    for (const TransferId id : transfers)
        while (daemon.core->read_transfer(me, id)->state != TransferState::succeeded) std::this_thread::yield();
    for (std::size_t i = 0; i < sources.size(); ++i) {
        CHECK(daemon.device_of(sources[i]) == "b");
        CHECK(daemon.holds(sources[i], static_cast<std::byte>(i + 1)));
    }
    CHECK(daemon.core->audit().ok);
}
