/// For the engine's tests: a daemon's insides on the machine's own memory, with real threads, a vault in this process and loads on order.
#pragma once
#include <doctest/doctest.h>
#include <stdlib.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <thread>

#include "base/random.hpp"
#include "device/host/host.hpp"
#include "engine/runner.hpp"
#include "engine/threads.hpp"

namespace vramd::engine {
inline const Caller admin{"uid:0", Role::admin};
inline const Caller me{"me", Role::user};
inline const Caller other{"other", Role::user};

/// Holds descriptors as the keeper does, in this process.
class HoldingVault final : public Vault {
public:
    std::function<void()> before_store;
    Result<void> store(BlockKey key, u64 size_bytes, const Fd& memory) override {
        if (before_store) before_store();
        TRY(Fd copy, memory.duplicate());
        const Lock lock(lock_);
        blocks_.insert_or_assign(key, std::pair(size_bytes, std::move(copy)));
        return {};
    }
    Result<void> drop(BlockKey key) override {
        const Lock lock(lock_);
        if (blocks_.erase(key) == 0) return refuse(Code::not_found, "block", key, 0);
        return {};
    }
    std::vector<KeptBlock> kept() {
        const Lock lock(lock_);
        std::vector<KeptBlock> list;
        for (const auto& [key, block] : blocks_) list.push_back({key, block.first, *block.second.duplicate()});
        return list;
    }

private:
    Mutex lock_;
    std::map<BlockKey, std::pair<u64, Fd>> blocks_ GUARDED_BY(lock_);
};

/// For tests that load nothing.
class NothingToLoad final : public Loading {
public:
    void inspect(u64, const std::string&, Inspected done) override { done(refuse(Code::not_found, "/path", "There is no such file.")); }
    void load(u64, const std::string&, const Inspection&, Destination, std::move_only_function<void(u64)>,
              std::move_only_function<void(Result<void>)> done) override {
        done(refuse(Code::not_found, "/path", "There is no such file."));
    }
    void cancel(u64) override {}
    std::vector<Running> running() override { return {}; }
    std::vector<File> files() override { return {}; }
};

/// One model file whose loads do what the test says, in the caller's thread.
class ScriptedLoading final : public Loading {
public:
    void inspect(u64, const std::string&, Inspected done) override { done(inspection); }
    void load(u64 job, const std::string&, const Inspection&, Destination, std::move_only_function<void(u64)>,
              std::move_only_function<void(Result<void>)> done) override {
        if (before_load) before_load();
        job_ = job;
        done_ = std::move(done);
        loads += 1;
        if (ends_at_once) end({});
    }
    void cancel(u64 job) override {
        if (done_ && job == job_) end(refuse(Code::cancelled, "operation", "The load was cancelled."));
    }
    std::vector<Running> running() override { return {}; }
    std::vector<File> files() override { return found; }
    void end(Result<void> result) {
        auto done = std::move(done_);
        done_ = nullptr;
        done(std::move(result));
    }

    Result<Inspection> inspection = Inspection{ModelFormat::gguf, {1, 2, 5000, 3, 4}, 5000, 5000, {{"weight", "u8", {5000}, 0, 5000}}};
    std::function<void()> before_load;
    std::atomic<int> loads = 0;
    bool ends_at_once = true;
    std::vector<File> found;

private:
    u64 job_ = 0;
    std::move_only_function<void(Result<void>)> done_;
};

/// One daemon's insides, without its doors.
struct Daemon {
    explicit Daemon(u64 capacity_bytes = 64 * mib) : capacities{{"a", capacity_bytes}} {
        char pattern[] = "/tmp/vramd-engine-XXXXXX";
        REQUIRE(mkdtemp(pattern) != nullptr);
        folder = pattern;
        start();
    }
    ~Daemon() {
        end();
        std::error_code ignored;  // A folder under /tmp that stays behind harms nobody.
        std::filesystem::remove_all(folder, ignored);
    }
    void start() {
        threads = std::make_shared<Threads>(4);
        Ports ports;
        ports.secret = random_secret;
        ports.vault = vault;
        ports.executor = threads;
        ports.loading = loading;
        auto copies = std::make_shared<transfer::Engine>(transfer_options);
        transfer = copies.get();
        ports.transfer = std::move(copies);
        for (const auto& [id, capacity] : capacities) {
            device::host::Options host;
            host.id = id;
            host.capacity_bytes = capacity;
            host.pool_max_bytes = capacity / 4;
            std::shared_ptr<device::Device> device = std::move(device::host::open(host).value());
            ports.devices.push_back({id, capacity, device->facts().granularity_bytes, device});
        }
        ports.kept = vault->kept();
        Options options;
        options.state_directory = folder / "ledger";
        options.life = "test";
        options.ledger_segment_bytes = ledger_segment_bytes;
        options.read_only = read_only ? ReadOnly::after_failures : ReadOnly::no;
        core = std::make_unique<Runner>(std::move(options), std::move(ports));
        REQUIRE(core->recover().has_value());
    }
    void end() {
        core->stop(0);
        threads->stop();
        core.reset();
    }
    Result<Allocated> allocate(const std::string& owner, u64 size_bytes, u64 timeout_ns = 0) {
        std::promise<Result<Allocated>> answer;
        AllocateCommand command;
        command.caller = {owner, Role::user};
        command.size_bytes = size_bytes;
        core->allocate(std::move(command), timeout_ns, [&answer](Result<Allocated> result) { answer.set_value(std::move(result)); });
        return answer.get_future().get();
    }
    Result<Freed> free(const std::string& owner, AllocationId id, bool force = false) {
        std::promise<Result<Freed>> answer;
        core->free({{owner, Role::user}, id}, force, [&answer](Result<Freed> result) { answer.set_value(std::move(result)); });
        return answer.get_future().get();
    }
    Result<Moved> clear(ClearRequest request) {
        std::promise<Result<Moved>> answer;
        core->clear(std::move(request), [&answer](Result<Moved> result) { answer.set_value(std::move(result)); });
        return answer.get_future().get();
    }
    Result<Moved> copy(CopyRequest request) {
        std::promise<Result<Moved>> answer;
        core->copy(std::move(request), [&answer](Result<Moved> result) { answer.set_value(std::move(result)); });
        return answer.get_future().get();
    }

    /// Loads "m"; how the operation ended.
    Result<report::OperationTold> load() {
        std::promise<Result<report::OperationTold>> answer;
        LoadModelCommand command;
        command.caller = admin;
        command.request.name = "m";
        command.request.path = "m.gguf";
        const auto started =
            core->load_model(command, [&answer](Result<report::OperationTold> told) { answer.set_value(std::move(told)); });
        if (!started) return std::unexpected(started.error());
        auto future = answer.get_future();
        if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) std::abort();  // The promise would outlive its future.
        return future.get();
    }

    std::map<std::string, u64> capacities;
    bool read_only = false;
    transfer::Options transfer_options{};
    transfer::Engine* transfer = nullptr;  ///< The core's: for tests that step it.
    u64 ledger_segment_bytes = mib;
    std::shared_ptr<Loading> loading = std::make_shared<NothingToLoad>();
    std::filesystem::path folder;
    std::shared_ptr<HoldingVault> vault = std::make_shared<HoldingVault>();
    std::shared_ptr<Threads> threads;
    std::unique_ptr<Runner> core;
};
}  // namespace vramd::engine
