/// Who gets room in which order. On a simulated device with every thread's work done here, in the order it was posted: the same each time.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <deque>
#include <filesystem>
#include <map>

#include "base/random.hpp"
#include "device/sim/sim.hpp"
#include "engine/runner.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
class Stepped final : public Executor {
public:
    void post(std::move_only_function<void()> work) override { due_.push_back(std::move(work)); }
    void post_at(u64 deadline_ns, std::move_only_function<void()> work) override { later_.emplace(deadline_ns, std::move(work)); }
    /// Does all that is due, and what that leads to.
    void run(u64 now_ns) {
        for (;;) {
            while (!later_.empty() && later_.begin()->first <= now_ns) {
                due_.push_back(std::move(later_.begin()->second));
                later_.erase(later_.begin());
            }
            if (due_.empty()) return;
            auto work = std::move(due_.front());
            due_.pop_front();
            work();
        }
    }

private:
    std::deque<std::move_only_function<void()>> due_;
    std::multimap<u64, std::move_only_function<void()>> later_;
};
class NoVault final : public Vault {
public:
    Result<void> store(BlockKey, u64, const Fd&) override { return {}; }
    Result<void> drop(BlockKey) override { return {}; }
};
/// Each file is a model whose size its path says.
class AnyModel final : public Loading {
public:
    explicit AnyModel(std::shared_ptr<Stepped> executor) : executor_(std::move(executor)) {}
    void inspect(u64, const std::string& path, Inspected done) override {
        Inspection inspection;
        inspection.memory_bytes = std::stoull(path);
        inspection.identity.inode = ++inodes_;
        executor_->post([inspection, done = std::move(done)]() mutable { done(inspection); });  // As a process: never at once.
    }
    void load(u64, const std::string&, const Inspection&, Destination, std::move_only_function<void(u64)>,
              std::move_only_function<void(Result<void>)> done) override {
        done({});
    }
    void cancel(u64) override {}
    std::vector<Running> running() override { return {}; }
    std::vector<File> files() override { return {}; }

private:
    std::shared_ptr<Stepped> executor_;
    u64 inodes_ = 0;
};

/// What became of one request.
struct Fate {
    bool told = false;
    std::optional<Error> error;
    AllocationId id;
};

struct Bench {
    explicit Bench(u64 capacity_bytes = 64 * mib) {
        char pattern[] = "/tmp/vramd-fairness-XXXXXX";
        REQUIRE(mkdtemp(pattern) != nullptr);
        folder = pattern;
        device::sim::Backing::Options options;
        options.id = "a";
        options.capacity_bytes = capacity_bytes;
        backing = std::make_unique<device::sim::Backing>(options);
        Ports ports;
        ports.clock = [this] { return now; };
        ports.secret = [this] { return ++secret; };
        ports.vault = std::make_shared<NoVault>();
        ports.executor = executor;
        ports.loading = std::make_shared<AnyModel>(executor);
        ports.transfer = copies;
        std::shared_ptr<device::Device> opened = backing->open();
        ports.devices.push_back({"a", capacity_bytes, opened->facts().granularity_bytes, opened});
        Options core_options;
        core_options.state_directory = folder / "ledger";
        core_options.life = "test";
        core_options.ledger_segment_bytes = mib;
        core = std::make_unique<Runner>(std::move(core_options), std::move(ports));
        REQUIRE(core->recover().has_value());
        settle();
    }
    ~Bench() {
        core->stop(0);
        core.reset();
        std::error_code ignored;  // A folder under /tmp that stays behind harms nobody.
        std::filesystem::remove_all(folder, ignored);
    }
    void settle() {
        do executor->run(now.monotonic_ns);
        while (copies->step());
    }
    void pass(u64 ns) {
        now.monotonic_ns += ns;
        now.wall_ns += ns;
        settle();
    }
    /// Asks; the fate is told when there is one.
    std::shared_ptr<Fate> ask(const std::string& owner, u64 size_bytes, u64 timeout_ns = 0, Priority priority = Priority::normal) {
        auto fate = std::make_shared<Fate>();
        AllocateCommand command;
        command.caller = {owner, Role::user};
        command.size_bytes = size_bytes;
        command.priority = priority;
        core->allocate(command, timeout_ns, [fate](Result<Allocated> result) {
            CHECK(!fate->told);
            fate->told = true;
            if (result) fate->id = result->record.id;
            if (!result) fate->error = result.error();
        });
        settle();
        return fate;
    }
    void free(const std::string& owner, AllocationId id) {
        core->free({{owner, Role::user}, id}, false, [](const Result<Freed>& freed) { CHECK(freed.has_value()); });
        settle();
    }
    void load(const std::string& name, u64 size_bytes) {
        LoadModelCommand command;
        command.caller = {"me", Role::user};
        command.request.name = name;
        command.request.path = std::to_string(size_bytes);
        REQUIRE(core->load_model(command, {}).has_value());
        pass(ns_per_second);
    }

    Moment now{1000 * ns_per_second, 1000 * ns_per_second};
    u64 secret = 0;
    std::filesystem::path folder;
    std::shared_ptr<Stepped> executor = std::make_shared<Stepped>();
    std::shared_ptr<transfer::Engine> copies =
        std::make_shared<transfer::Engine>(transfer::Options{.mode = transfer::Options::Mode::stepped});
    std::unique_ptr<device::sim::Backing> backing;
    std::unique_ptr<Runner> core;
};
constexpr u64 large = 50 * mib, small = 9 * mib, long_time = 3600 * ns_per_second;

/// A stream of small requests, each of which comes before an older one goes. How many of at most `rounds` got theirs before the fate was
/// told.
u64 overtakers(Bench& bench, const Fate& fate, Priority priority, u64 rounds) {
    std::deque<AllocationId> held;
    const auto free_oldest = [&] {
        bench.free("stream", held.front());
        held.pop_front();
    };
    u64 served = 0;
    for (u64 i = 0; i < rounds && !fate.told; ++i) {
        const auto next = bench.ask("stream", small, 0, priority);
        if (!next->id) continue;
        held.push_back(next->id);
        ++served;
        if (held.size() == 3) free_oldest();
    }
    while (!held.empty()) free_oldest();
    return served;
}
}  // namespace

TEST_CASE("a large request that waits is overtaken by at most eight small ones") {
    Bench bench;
    const auto first = bench.ask("stream", small);
    const auto second = bench.ask("stream", small);
    const auto third = bench.ask("stream", small);
    const auto fate = bench.ask("me", large, long_time);
    REQUIRE(!fate->told);
    bench.free("stream", first->id);
    CHECK(overtakers(bench, *fate, Priority::normal, 8) == 8);
    CHECK(!fate->told);
    CHECK(overtakers(bench, *fate, Priority::normal, 100) == 0);
    bench.free("stream", second->id);
    bench.free("stream", third->id);
    REQUIRE(fate->told);
    CHECK(fate->id);
}

TEST_CASE("urgent ones pass for longer, but not for ever") {
    Bench bench;
    const auto holder = bench.ask("stream", small);
    const auto other = bench.ask("stream", 2 * small);
    const auto fate = bench.ask("me", large, long_time, Priority::low);
    REQUIRE(!fate->told);
    bench.free("stream", holder->id);
    const u64 passed = overtakers(bench, *fate, Priority::critical, 200);
    CHECK(passed == 32);  // Eight for each step from low to above critical.
    bench.free("stream", other->id);
    CHECK(fate->id);
}

TEST_CASE("whose room is kept for another still gets what lies in its own arena, and all get theirs when the large one's time ends") {
    Bench bench;
    const auto tiny = bench.ask("stream", 4096);
    const auto holder = bench.ask("stream", 2 * small);
    const auto fate = bench.ask("me", large, 100 * ns_per_second);
    REQUIRE(!fate->told);
    CHECK(overtakers(bench, *fate, Priority::normal, 100) == 8);
    REQUIRE(!fate->told);
    CHECK(bench.ask("stream", 4096)->id);
    const auto refused = bench.ask("stream", small);
    REQUIRE(refused->error);
    CHECK(refused->error->code == Code::insufficient_memory);
    CHECK(refused->error->detail.find("waited longer") != std::string::npos);
    const auto behind = bench.ask("you", small, long_time);
    CHECK(!behind->told);
    bench.pass(101 * ns_per_second);
    REQUIRE(fate->told);
    CHECK(fate->error->code == Code::timed_out);
    REQUIRE(behind->told);
    CHECK(behind->id);
    CHECK(tiny->id);
    CHECK(holder->id);
}

TEST_CASE("those that wait get room by priority, and among equals by age") {
    Bench bench;
    const auto holder = bench.ask("you", 60 * mib);
    const auto low = bench.ask("low", 40 * mib, long_time, Priority::low);
    const auto old = bench.ask("old", 40 * mib, long_time);
    const auto young = bench.ask("young", 40 * mib, long_time);
    const auto urgent = bench.ask("urgent", 40 * mib, long_time, Priority::critical);
    bench.free("you", holder->id);
    CHECK(urgent->told);
    CHECK(!old->told);
    bench.free("urgent", urgent->id);
    CHECK(old->told);
    CHECK(!young->told);
    bench.free("old", old->id);
    CHECK(young->told);
    CHECK(!low->told);
    bench.free("young", young->id);
    CHECK(low->id);
}

TEST_CASE("who waits for its own quota is served when it frees something, and keeps no room from others") {
    Bench bench;
    SetLimitsCommand limits;
    limits.caller = {"uid:0", Role::admin};
    limits.device_id = "a";
    limits.change.owner_quotas = std::map<std::string, u64>{{"me", 20 * mib}};
    REQUIRE(bench.core->set_limits(limits, Trial::real).has_value());
    const auto held = bench.ask("me", 15 * mib);
    const auto fate = bench.ask("me", 10 * mib, long_time);
    CHECK(!fate->told);
    const auto never = bench.ask("me", 21 * mib, long_time);
    REQUIRE(never->told);
    CHECK(never->error->code == Code::quota_exceeded);
    Fate unheard;
    CHECK(overtakers(bench, unheard, Priority::normal, 20) == 20);
    bench.free("me", held->id);
    CHECK(fate->id);
}

TEST_CASE("what could never fit is refused at once, whatever its time") {
    Bench bench;
    const auto fate = bench.ask("me", 65 * mib, long_time);
    REQUIRE(fate->told);
    CHECK(fate->error->code == Code::insufficient_memory);
}

TEST_CASE("raised limits serve those that wait for them") {
    Bench bench;
    SetLimitsCommand limits;
    limits.caller = {"uid:0", Role::admin};
    limits.device_id = "a";
    limits.change.max_bytes = 48 * mib;
    REQUIRE(bench.core->set_limits(limits, Trial::real).has_value());
    const auto held = bench.ask("you", 30 * mib);
    const auto fate = bench.ask("me", 20 * mib, long_time);
    CHECK(!fate->told);
    limits.change.max_bytes = 64 * mib;
    const auto tried = bench.core->set_limits(limits, Trial::dry_run);
    REQUIRE(tried);
    CHECK(tried->impact.available_bytes_after == 34 * mib);
    CHECK(bench.core->limits("a")->max_bytes == 48 * mib);
    CHECK(!fate->told);
    REQUIRE(bench.core->set_limits(limits, Trial::real).has_value());
    bench.settle();
    CHECK(fate->id);
    CHECK(held->id);
}

TEST_CASE("models go for who needs the room, those loaded first before the others, and none that is being read") {
    Bench bench;
    bench.load("first", 20 * mib);
    bench.load("second", 20 * mib);
    bench.load("third", 20 * mib);
    const auto reading = bench.core->open_content({"me", Role::user}, bench.core->model("first")->best().allocation, Access::read);
    REQUIRE(reading);
    CHECK(bench.ask("me", 20 * mib)->id);
    CHECK(bench.core->model("first").has_value());
    CHECK(!bench.core->model("second").has_value());
    CHECK(bench.core->model("third").has_value());
}

TEST_CASE("above the emergency threshold models go by themselves, but for the newest") {
    Bench bench;
    SetLimitsCommand limits;
    limits.caller = {"uid:0", Role::admin};
    limits.device_id = "a";
    limits.change.emergency_hundredths = 50'00;
    REQUIRE(bench.core->set_limits(limits, Trial::real).has_value());
    bench.load("first", 10 * mib);
    bench.load("second", 10 * mib);
    CHECK(bench.core->model("first").has_value());
    bench.load("third", 20 * mib);
    CHECK(!bench.core->model("first").has_value());
    CHECK(bench.core->model("third").has_value());
    bench.load("whole", 60 * mib);
    CHECK(bench.core->model("whole").has_value());
    CHECK(bench.core->findings().empty());
}
