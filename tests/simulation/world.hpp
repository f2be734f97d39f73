/// The simulated world: everything that the engine needs, deterministic, and split into what a crash of the core takes and what it does
/// not (the ledger's files, the vault, the devices' backing, the model files).
#pragma once
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/choices.hpp"
#include "device/sim/sim.hpp"
#include "engine/runner.hpp"

namespace vramd::simulation {
/// Runs posted work only when stepped, in an order that the choices pick: real threads promise none.
class SteppedExecutor final : public engine::Executor {
public:
    void post(std::move_only_function<void()> work) override { due_.push_back(std::move(work)); }
    void post_at(u64 deadline_ns, std::move_only_function<void()> work) override { later_.emplace(deadline_ns, std::move(work)); }
    /// Runs one piece of work that is due; false if there is none.
    bool step(Choices& choices, u64 now_ns);

private:
    std::deque<std::move_only_function<void()>> due_;
    std::multimap<u64, std::move_only_function<void()>> later_;
};

/// The keeper's table. Outlives crashes; may refuse on order.
class SimVault final : public engine::Vault {
public:
    Result<void> store(BlockKey key, u64 size_bytes, const Fd&) override;
    Result<void> drop(BlockKey key) override;
    std::map<BlockKey, u64> blocks;
    u64 failures = 0;                      ///< So many of the next stores are refused.
    std::function<void(BlockKey)> let_go;  ///< Told of each drop: memory that no core knows ends with it.
};

/// A model file of the simulation: its bytes follow from its seed.
struct ModelFile {
    u64 size_bytes = 0;
    u64 seed = 0;
    u64 version = 1;  ///< Changes with its content.
};
[[nodiscard]] std::byte model_byte(const ModelFile& file, u64 offset);

/// Loader processes: jobs that advance when stepped.
class SimLoading final : public engine::Loading {
public:
    explicit SimLoading(const std::map<std::string, ModelFile>& files) : files_(files) {}
    void inspect(u64 job, const std::string& path, Inspected done) override;
    void load(u64 job, const std::string& path, const Inspection& expected, Destination into, std::move_only_function<void(u64)> progress,
              std::move_only_function<void(Result<void>)> done) override;
    void cancel(u64 job) override;
    std::vector<Running> running() override { return {}; }
    std::vector<File> files() override { return {}; }
    /// Advances one job; false if there is none.
    bool step(Choices& choices);

private:
    struct Job {
        std::string path;
        bool cancelled = false;
        Inspected inspected;
        Inspection expected;
        Destination into{};
        u64 landed = 0;
        std::move_only_function<void(u64)> progress;
        std::move_only_function<void(Result<void>)> loaded;
    };
    void end(std::map<u64, Job>::iterator at, Result<void> result);
    const std::map<std::string, ModelFile>& files_;
    std::map<u64, Job> jobs_;
};

/// One machine with its daemon. Not synchronised: everything happens in the caller's thread.
class World {
public:
    World(u64 seed, std::map<std::string, u64> capacities_then, u64 cache_max_bytes_then, core::ReliefMarks relief_then);
    ~World();

    engine::Runner& core() { return *core_; }
    /// Does one piece of what is due (effects, copies, loading); false if nothing was.
    bool step(Choices& choices);
    /// The same of what was posted to the executor alone.
    bool step_posted(Choices& choices) { return executor_->step(choices, now_ns()); }
    void advance_ns(u64 ns) { now_.monotonic_ns += ns, now_.wall_ns += ns; }
    [[nodiscard]] u64 now_ns() const { return now_.monotonic_ns; }
    /// The core dies here and another starts. Answers what is wrong with the replay (nothing, if all is well).
    [[nodiscard]] std::vector<std::string> crash();
    /// What does not agree between books, devices and vault once nothing is under way.
    [[nodiscard]] std::vector<std::string> leaks();

    /// No ordered fault strikes any more.
    void disarm();

    std::map<std::string, u64> capacities;  ///< As configured at the next start.
    u64 cache_max_bytes = 0;                ///< The same of the RAM cache, on "a".
    core::ReliefMarks relief;               ///< For "a", which is the whole of its machine.
    std::map<std::string, ModelFile> files;
    std::vector<std::unique_ptr<device::sim::Backing>> backings;
    std::shared_ptr<SimVault> vault = std::make_shared<SimVault>();
    u64 flips = 0;  ///< So many of the next verified copies meet a flipped bit.
    u64 epoch = 0;  ///< Core starts so far: an answer of an older one is nobody's.

private:
    void start();
    std::filesystem::path folder_;
    Moment now_{1'700'000'000 * ns_per_second, 1000 * ns_per_second};
    SeededRandom secrets_;
    std::shared_ptr<SteppedExecutor> executor_;
    std::shared_ptr<SimLoading> loading_;
    std::shared_ptr<transfer::Engine> transfer_;
    std::unique_ptr<engine::Runner> core_;
};
}  // namespace vramd::simulation
