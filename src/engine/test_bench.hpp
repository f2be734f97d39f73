/// For the engine's tests of who gets what in which order: a simulated device, with every thread's work done in the test's own, in the
/// order it was posted: the same each time.
#pragma once
#include <doctest/doctest.h>
#include <stdlib.h>

#include <charconv>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <utility>

#include "base/random.hpp"
#include "device/sim/sim.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
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
        (void)std::from_chars(path.data(), path.data() + path.size(), inspection.memory_bytes);  // As the test wrote it.
        inspection.identity.inode = ++inodes_;
        executor_->post([inspection, done = std::move(done)]() mutable { done(inspection); });  // As a process: never at once.
    }
    void load(u64, const std::string&, const Inspection&, Destination, std::move_only_function<void(u64)>,
              std::move_only_function<void(Result<void>)> done) override {
        if (!takes_time) return done({});
        loading_ = std::move(done);
    }
    void end_load() { std::exchange(loading_, nullptr)({}); }
    [[nodiscard]] bool loads() const { return static_cast<bool>(loading_); }
    bool takes_time = false;  ///< A load ends when the test says so.
    void cancel(u64) override {}
    std::vector<Running> running() override { return {}; }
    std::vector<File> files() override { return {}; }

private:
    std::shared_ptr<Stepped> executor_;
    std::move_only_function<void(Result<void>)> loading_;
    u64 inodes_ = 0;
};

/// What became of one request.
struct Fate {
    bool told = false;
    std::optional<Error> error;
    AllocationId id;
};

/// And of one load.
struct LoadFate {
    OperationId id;
    bool told = false;
    std::optional<Error> error;
    [[nodiscard]] bool succeeded() const { return told && !error; }
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
        ports.loading = loading;
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
    void load(const std::string& name, u64 size_bytes, bool held = false) {
        LoadModelCommand command;
        command.caller = {"me", Role::user};
        command.request.name = name;
        command.request.path = std::to_string(size_bytes);
        command.held = held;
        const auto started = core->load_model(command, {});
        REQUIRE(started.has_value());
        loads = *started;
        pass(ns_per_second);
    }

    /// Begins a load for a client, and tells how it ended.
    std::shared_ptr<LoadFate> begin_load(const std::string& name, u64 size_bytes, u64 session = 0, Priority priority = Priority::normal) {
        auto fate = std::make_shared<LoadFate>();
        LoadModelCommand command;
        command.caller = {"me", Role::user, {}, session};
        command.request.name = name;
        command.request.path = std::to_string(size_bytes);
        command.request.priority = priority;
        command.held = session != 0;
        const auto started = core->load_model(command, [fate](Result<report::OperationTold> ended) {
            CHECK(!fate->told);
            fate->told = true;
            if (ended) fate->error = ended->error;
        });
        REQUIRE(started.has_value());
        fate->id = *started;
        settle();
        return fate;
    }

    OperationId loads;  ///< The load that was begun last.
    Moment now{1000 * ns_per_second, 1000 * ns_per_second};
    u64 secret = 0;
    std::filesystem::path folder;
    std::shared_ptr<Stepped> executor = std::make_shared<Stepped>();
    std::shared_ptr<AnyModel> loading = std::make_shared<AnyModel>(executor);
    std::shared_ptr<transfer::Engine> copies =
        std::make_shared<transfer::Engine>(transfer::Options{.mode = transfer::Options::Mode::stepped});
    std::unique_ptr<device::sim::Backing> backing;
    std::unique_ptr<Runner> core;
};
}  // namespace vramd::engine
