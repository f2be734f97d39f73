/// What the engine needs from the world, each as narrow as the engine's use of it: real ones in `vramd-core`, deterministic ones in the
/// simulation (on device/sim, where a crash is the loss of everything but the ledger's file, the vault and the device's backing).
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "core/relief.hpp"
#include "device/device.hpp"
#include "terms/model.hpp"
#include "transfer/engine.hpp"

namespace vramd::engine {
/// Where one descriptor per block outlives the core: the keeper.
class Vault {
public:
    virtual ~Vault() = default;
    /// Returns once the descriptor is safe. Thread-safe; may block for the keeper's answer.
    [[nodiscard]] virtual Result<void> store(BlockKey key, u64 size_bytes, const Fd& memory) = 0;
    [[nodiscard]] virtual Result<void> drop(BlockKey key) = 0;
};

/// Runs work away from the caller's thread.
class Executor {
public:
    virtual ~Executor() = default;
    virtual void post(std::move_only_function<void()> work) = 0;
    /// Runs `work` after the monotonic clock passes `deadline_ns`; the simulation moves its own clock.
    virtual void post_at(u64 deadline_ns, std::move_only_function<void()> work) = 0;
};

/// Reads model files in processes of their own.
class Loading {
public:
    virtual ~Loading() = default;
    using Inspected = std::move_only_function<void(Result<Inspection>)>;
    /// Finds the path beneath the model folders and reads its header. Errors: path_not_allowed, not_found, invalid_model, timed_out.
    virtual void inspect(u64 job, const std::string& path, Inspected done) = 0;
    struct Destination {
        Fd memory;         ///< The block's memory; given to the loader and then closed here.
        u64 offset_bytes;  ///< Where the model's bytes begin in it.
        u64 size_bytes;
        device::Device* device = nullptr;  ///< The block by name, for a loader without descriptors (the simulation's).
        BlockKey block = 0;
    };
    /// Loads into the lent memory. `progress` is told bytes landed. When `done` is called the loader's process is gone.
    virtual void load(u64 job, const std::string& path, const Inspection& expected, Destination into,
                      std::move_only_function<void(u64 bytes)> progress, std::move_only_function<void(Result<void>)> done) = 0;
    /// Ends a job early; its `done` is called with `cancelled`. No effect if it is over.
    virtual void cancel(u64 job) = 0;
    struct Running {
        u64 job;
        i32 pid;
        std::string what;
    };
    [[nodiscard]] virtual std::vector<Running> running() = 0;
    struct File {
        std::string path;
        std::string folder;
        u64 file_bytes;
        u64 inode;
        u64 modified_ns;
    };
    /// Model files beneath the folders (safetensors, index files, gguf, onnx); blocks for the directory walk.
    [[nodiscard]] virtual std::vector<File> files() = 0;
};

struct ConfiguredDevice {
    std::string device_id;
    u64 capacity_bytes = 0;
    u64 granule_bytes = 4096;
    std::shared_ptr<device::Device> device;
    /// Makes and releases its blocks, where a driver that hangs must hold up nobody else; null: the common one.
    std::shared_ptr<Executor> executor = nullptr;
};

/// A block by its device.
struct BlockOf {
    device::Device* device;
    BlockKey key;
};

/// A block that outlived the last core.
struct KeptBlock {
    BlockKey key = 0;
    u64 size_bytes = 0;
    Fd memory;
};

/// What the last start took and found.
struct RecoveryTold {
    u64 replayed_events = 0;
    u64 replay_ns = 0;
    u64 adopted_blocks = 0;
    u64 adopt_ns = 0;
    u64 total_ns = 0;
    u64 undone = 0;                     ///< Allocations nobody was told of.
    std::vector<std::string> findings;  ///< Torn tails, lost blocks: a sentence each.
};

/// Whether the core changes nothing from its start on, and who wished so: `--read-only`, or the keeper after repeated failures.
enum class ReadOnly : u8 { no, asked, after_failures };

struct Options {
    std::string state_directory;
    std::string boot_id;
    std::string life;  ///< Of the memory (ledger::Options::life): the machine's boot and the keeper's life.
    std::string version;
    i32 keeper_pid = 0;
    u64 generation = 0;
    u64 started_wall_ns = 0;  ///< Of the keeper.
    ReadOnly read_only = ReadOnly::no;
    u64 ledger_segment_bytes = 16 * mib;
    std::string cache_device_id;  ///< Where the RAM cache is; empty: nowhere.
    u64 cache_max_bytes = 0;      ///< Of copies that are loaded nowhere for use.
    EvictionOrder eviction = EvictionOrder::fifo;
    Watermarks watermarks = no_watermarks;
    u64 sample_every_ns = 0;  ///< How often pressure is looked at; 0: never by itself.
    core::ReliefMarks relief = core::no_relief;
};

struct Ports {
    std::function<Moment()> clock = read_clocks;
    std::function<u64()> secret;
    std::shared_ptr<Vault> vault;
    std::shared_ptr<Executor> executor;
    std::shared_ptr<Loading> loading;
    std::shared_ptr<transfer::Engine> transfer;
    std::function<Result<transfer::Limits>()> measure_limits;  ///< Run once after the start, on the executor; may be empty.
    std::vector<ConfiguredDevice> devices;
    std::vector<KeptBlock> kept;
};
}  // namespace vramd::engine
