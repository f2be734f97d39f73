/// What the engine does when the world does not: a full disk, a device gone, a core that dies at a bad moment, requests that race.
#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
u64 capacity_of(Daemon& daemon) { return daemon.core->devices()[0].books.total_bytes; }
/// Until it holds, for at most 20 s.
template <class Holds>
bool soon(Holds holds) {
    for (const u64 begun = monotonic_ns(); monotonic_ns() < begun + 20 * ns_per_second;)
        if (holds()) return true;
    return false;
}
}  // namespace

TEST_CASE("a read-only core that never recorded its devices answers for them all the same") {
    Daemon daemon;
    daemon.end();
    std::filesystem::remove_all(daemon.folder / "ledger");
    daemon.read_only = true;
    daemon.start();
    const auto told = daemon.core->device("a");
    REQUIRE(!told);
    CHECK(told.error().code == Code::not_found);
    CHECK(!daemon.allocate("me", 256));
    CHECK(daemon.core->system().read_only);
}

TEST_CASE("another's allocation looks missing at once to a forced free, though its owner is reading it") {
    Daemon daemon;
    const auto made = daemon.allocate("me", 1000);
    REQUIRE(made);
    const auto content = daemon.core->open_content(me, made->record.id, Access::read);
    std::optional<Code> answer;
    daemon.core->free({{"you", Role::user}, made->record.id}, true, [&answer](Result<Freed> freed) { answer = freed.error().code; });
    CHECK(answer == Code::not_found);
}

TEST_CASE("a forced free waits for those who read now, and lets no new reader in") {
    Daemon daemon;
    const auto made = daemon.allocate("me", 1000);
    auto content = daemon.core->open_content(me, made->record.id, Access::read);
    bool freed = false;
    daemon.core->free({me, made->record.id}, true, [&freed](const Result<Freed>& result) { freed = result.has_value(); });
    CHECK(!daemon.core->open_content(me, made->record.id, Access::read));
    content->reset();
    CHECK(freed);
}

TEST_CASE("a device that is not configured any more keeps no descriptor, and requests go elsewhere") {
    Daemon daemon;
    daemon.capacities["b"] = 256 * mib;
    daemon.end();
    daemon.start();
    const auto on_b = daemon.allocate("me", 9 * mib);  // Most room is there.
    REQUIRE(on_b);
    CHECK(on_b->record.device_id == "b");
    daemon.end();
    daemon.capacities.erase("b");
    daemon.start();
    CHECK(daemon.vault->kept().empty());
    CHECK(!daemon.core->allocation(me, on_b->record.id));
    const auto next = daemon.allocate("me", 9 * mib);
    REQUIRE(next);
    CHECK(next->record.device_id == "a");
}

TEST_CASE("a smaller capacity in the configuration holds as soon as what was handed out is given back") {
    Daemon daemon(32 * mib);
    const auto first = daemon.allocate("me", 12 * mib);
    const auto second = daemon.allocate("me", 12 * mib);
    REQUIRE(first);
    REQUIRE(second);
    daemon.end();
    daemon.capacities["a"] = 16 * mib;
    daemon.start();
    CHECK(capacity_of(daemon) == 24 * mib);
    REQUIRE(daemon.free("me", first->record.id));
    CHECK(soon([&] { return capacity_of(daemon) == 16 * mib; }));
    CHECK(daemon.core->allocation(me, second->record.id).has_value());
}

TEST_CASE("a ledger that lost its tail lets nobody see old bytes where zeros are promised") {
    Daemon daemon;
    REQUIRE(daemon.allocate("me", 4096));
    std::filesystem::path file;
    for (const auto& entry : std::filesystem::directory_iterator(daemon.folder / "ledger"))
        if (entry.path().filename().native().starts_with("ledger-")) file = entry.path();
    REQUIRE(!file.empty());
    const auto tail_of = [&file] {
        std::ifstream in(file, std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(in), {}};
        return bytes.find_last_not_of('\0');
    };
    const std::size_t tail = tail_of();
    const auto lost = daemon.allocate("me", 4096);
    REQUIRE(lost);
    {
        const auto content = daemon.core->open_content(me, lost->record.id, Access::write);
        std::memset((*content)->room(0, 4096)->data(), 'x', 4096);
        REQUIRE((*content)->commit(0, 4096));
    }
    REQUIRE(tail_of() > tail + 64);
    daemon.end();
    {
        std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
        out.seekp(static_cast<std::streamoff>(tail + 64));
        out.write("\x5a\xa5\x5a", 3);
    }
    daemon.start();
    REQUIRE(!daemon.core->system().recovery.findings.empty());
    REQUIRE(!daemon.core->allocation(me, lost->record.id));
    const auto next = daemon.allocate("me", 4096);
    REQUIRE(next);
    CHECK(next->record.offset_bytes == lost->record.offset_bytes);
    const auto content = daemon.core->open_content(me, next->record.id, Access::read);
    const auto view = (*content)->view(0, 4096);
    REQUIRE(view);
    for (const std::byte byte : *view) REQUIRE(byte == std::byte{0});
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a load that the end of the core cuts off goes on from its record; who waited is told so") {
    Daemon daemon;
    const auto loading = std::make_shared<ScriptedLoading>();
    loading->ends_at_once = false;
    daemon.end();
    daemon.loading = loading;
    daemon.start();
    LoadModelCommand command;
    command.caller = admin;
    command.request.name = "m";
    command.request.path = "m.gguf";
    std::optional<Code> told;
    const auto operation = daemon.core->load_model(command, [&told](Result<report::OperationTold> ended) { told = ended.error().code; });
    REQUIRE(operation);
    REQUIRE(soon([&] { return loading->loads == 1; }));
    const u64 begun = monotonic_ns();
    daemon.core->stop(50 * ns_per_ms);
    CHECK(monotonic_ns() - begun >= 50 * ns_per_ms);
    CHECK(told == Code::busy);
    loading->end(refuse(Code::cancelled, "operation", "The load was cancelled."));  // As the loader's end does.
    CHECK(daemon.core->operation(admin, *operation)->state == OperationState::running);
    daemon.end();
    loading->ends_at_once = true;
    daemon.start();
    CHECK(soon([&] { return daemon.core->operation(admin, *operation)->state == OperationState::succeeded; }));
}

TEST_CASE("the end of the core waits for a load that ends in time, and no longer") {
    Daemon daemon;
    const auto loading = std::make_shared<ScriptedLoading>();
    loading->ends_at_once = false;
    daemon.end();
    daemon.loading = loading;
    daemon.start();
    auto ended = std::async(std::launch::async, [&daemon] { return daemon.load(); });
    REQUIRE(soon([&] { return loading->loads == 1; }));
    LoadModelCommand other;
    other.caller = admin;
    other.request.name = "n";
    other.request.path = "n.gguf";
    auto stopped = std::async(std::launch::async, [&daemon] { daemon.core->stop(20 * ns_per_second); });
    REQUIRE(soon([&] { return !daemon.core->load_model(other, {}); }));  // No new work by now.
    loading->end({});
    CHECK(stopped.wait_for(std::chrono::seconds(10)) == std::future_status::ready);
    CHECK(ended.get()->state == OperationState::succeeded);
}

TEST_CASE("a model of 200,000 tensors loads, and its table outlives the core") {
    Daemon daemon;
    daemon.ledger_segment_bytes = 16 * mib;
    const auto loading = std::make_shared<ScriptedLoading>();
    auto& tensors = loading->inspection->tensors;
    tensors.clear();
    for (u64 i = 0; i < 200'000; ++i)
        tensors.push_back({"model.layers." + std::to_string(i / 3000) + ".mlp.experts." + std::to_string(i / 3 % 1000) + ".w" +
                               std::to_string(i % 3) + ".weight",
                           "bf16",
                           {7168, 2048},
                           i % 10,
                           1});
    daemon.end();
    std::filesystem::remove_all(daemon.folder / "ledger");  // Its file is of the tests' small size.
    daemon.loading = loading;
    daemon.start();
    const u64 begun = monotonic_ns();
    REQUIRE(daemon.load()->state == OperationState::succeeded);
    MESSAGE("200,000 tensors loaded in ", (monotonic_ns() - begun) / ns_per_ms, " ms");
    daemon.end();
    daemon.start();
    CHECK(*daemon.core->tensors("m") == tensors);
}

TEST_CASE("a tensor table larger than a record of the ledger fails its load, with both figures") {
    Daemon daemon;
    const auto loading = std::make_shared<ScriptedLoading>();
    SeededRandom random(1);
    for (int i = 0; i < 40'000; ++i)  // Names that share nothing: some 20 bytes each.
        loading->inspection->tensors.push_back({std::to_string(random.next()), "u8", {1}, 0, 1});
    daemon.end();
    daemon.loading = loading;
    daemon.start();
    const auto ended = daemon.load();
    REQUIRE(ended);
    CHECK(ended->state == OperationState::failed);
    CHECK(ended->error->code == Code::too_large);
}

TEST_CASE("a core that dies between a load's end and its record finds the model whole and takes it") {
    Daemon daemon;
    const auto loading = std::make_shared<ScriptedLoading>();
    loading->ends_at_once = false;
    daemon.end();
    daemon.loading = loading;
    daemon.start();
    LoadModelCommand command;
    command.caller = admin;
    command.request.name = "m";
    command.request.path = "m.gguf";
    const auto operation = daemon.core->load_model(command, {});
    REQUIRE(operation);
    REQUIRE(soon([&] { return loading->loads == 1; }));
    daemon.threads->stop();
    daemon.core->abandon();
    loading->end({});  // Sealed, and never recorded.
    daemon.end();
    daemon.start();
    CHECK(soon([&] { return daemon.core->operation(admin, *operation)->state == OperationState::succeeded; }));
    CHECK(daemon.core->model("m")->state == ModelState::resident);
}

TEST_CASE("a cancel that comes just before the loader starts ends the load") {
    Daemon daemon;
    const auto loading = std::make_shared<ScriptedLoading>();
    loading->ends_at_once = false;
    loading->before_load = [&] {
        for (const report::OperationTold& told : daemon.core->operations(admin, 10))
            CHECK(daemon.core->cancel({admin, told.id}).has_value());
    };
    daemon.end();
    daemon.loading = loading;
    daemon.start();
    const auto ended = daemon.load();
    REQUIRE(ended);
    CHECK(ended->state == OperationState::cancelled);
    CHECK(soon([&] { return daemon.core->devices()[0].books.live_bytes + daemon.core->devices()[0].books.zombie_bytes == 0; }));
}

TEST_CASE("a disk that is full makes the core read-only; once there is room again it goes on, and nobody's answer was lost") {
    Daemon daemon;
    const std::filesystem::path ledger = daemon.folder / "ledger";
    REQUIRE(daemon.allocate("me", 256));
    std::filesystem::rename(ledger, daemon.folder / "away");
    std::ofstream(ledger) << "in the way";
    std::atomic<u64> asked = 0;
    std::atomic<u64> answered = 0;
    REQUIRE(soon([&] {
        // Each makes a block, whose making comes back as a command of its own.
        AllocateCommand command;
        command.caller = me;
        command.size_bytes = 4096;
        command.shareable = true;
        command.purpose = std::string(4000, 'p');
        ++asked;
        std::promise<Result<Allocated>> answer;
        daemon.core->allocate(command, 0, [&](Result<Allocated> result) { ++answered, answer.set_value(std::move(result)); });
        auto future = answer.get_future();
        if (future.wait_for(std::chrono::seconds(5)) != std::future_status::ready) std::abort();
        if (const auto made = future.get()) (void)daemon.free("me", made->record.id);  // Refused once the ledger is full.
        return daemon.core->system().read_only;
    }));
    std::filesystem::remove(ledger);
    std::filesystem::rename(daemon.folder / "away", ledger);
    CHECK(soon([&] { return daemon.allocate("me", 256).has_value(); }));
    CHECK(asked == answered);
    CHECK(!daemon.core->system().read_only);
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a block made while the ledger was full is recorded once there is room, and its request answered") {
    Daemon daemon;
    const std::filesystem::path ledger = daemon.folder / "ledger";
    const auto small = daemon.allocate("me", 256);
    REQUIRE(small);
    std::promise<void> storing;
    std::promise<void> go_on;
    std::atomic<bool> first = true;
    daemon.vault->before_store = [&, waits = std::make_shared<std::future<void>>(go_on.get_future())] {
        if (!first.exchange(false)) return;
        storing.set_value();
        waits->wait();
    };
    AllocateCommand command;
    command.caller = me;
    command.size_bytes = 4096;
    command.shareable = true;
    std::promise<Result<Allocated>> answer;
    daemon.core->allocate(command, 0, [&](Result<Allocated> result) { answer.set_value(std::move(result)); });
    storing.get_future().wait();
    std::filesystem::rename(ledger, daemon.folder / "away");
    std::ofstream(ledger) << "in the way";
    command.shareable = false;
    command.size_bytes = 256;
    command.purpose = std::string(4000, 'p');
    REQUIRE(soon([&] {
        // In the arena that is there: no block is made for these.
        daemon.core->allocate(command, 0, [&](Result<Allocated> made) {
            if (made) (void)daemon.free("me", made->record.id);  // Refused once the ledger is full.
        });
        return daemon.core->system().read_only;
    }));
    go_on.set_value();
    auto future = answer.get_future();
    CHECK(future.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
    std::filesystem::remove(ledger);
    std::filesystem::rename(daemon.folder / "away", ledger);
    REQUIRE(future.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
    CHECK(future.get().has_value());
}

TEST_CASE("free memory in thousands of pieces is cleared piece by piece, and a request meanwhile waits instead of being refused") {
    Daemon daemon(16 * mib);
    std::vector<AllocationId> held;
    for (int i = 0; i < 6000; ++i) held.push_back(daemon.allocate("me", 256)->record.id);
    for (std::size_t i = 0; i < held.size(); i += 2) REQUIRE(daemon.free("me", held[i]));
    std::promise<Result<Moved>> cleared;
    daemon.core->clear({admin, std::nullopt, "a", 0, std::nullopt, 0},
                       [&cleared](Result<Moved> moved) { cleared.set_value(std::move(moved)); });
    CHECK(daemon.allocate("me", 256).has_value());
    const auto moved = cleared.get_future().get();
    REQUIRE(moved);
    CHECK(moved->free_ranges_touched == 3000);
    const auto first = daemon.core->allocation(me, held[1]);
    const auto next = daemon.allocate("me", 256);
    REQUIRE(next);
    CHECK(next->record.block == first->block);  // Its holes can be used again.
}

TEST_CASE("a file that could not be inspected just now is inspected again, one that is no model is not") {
    Daemon daemon;
    const auto loading = std::make_shared<ScriptedLoading>();
    loading->found = {{"m.gguf", "/models", 5000, 2, 3}};
    daemon.end();
    daemon.loading = loading;
    daemon.start();
    const auto survey = [&] {
        std::promise<Result<std::vector<AvailableModel>>> answer;
        daemon.core->available_models([&answer](Result<std::vector<AvailableModel>> list) { answer.set_value(std::move(list)); });
        return answer.get_future().get();
    };
    const Inspection good = *loading->inspection;
    loading->inspection = refuse(Code::timed_out, "header", "The loader took too long.");
    CHECK((*survey())[0].error->code == Code::timed_out);
    loading->inspection = refuse(Code::invalid_model, "header", "It is no model.");
    CHECK((*survey())[0].error->code == Code::invalid_model);
    loading->inspection = good;
    CHECK((*survey())[0].error.has_value());
}
