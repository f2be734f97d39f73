/// What a memory device is to the rest of vramd: it makes, adopts, reads out and gives back blocks of physical memory.
///
/// A block is one descriptor's worth of memory. Its maker returns a second descriptor for the keeper, so that a core that dies
/// loses no byte; a restarted core hands that descriptor to `adopt` and goes on with the same key. Keys are the core's: a device
/// invents none. Nothing here knows allocations, owners or limits.
///
/// The same interface must fit memory that the processor cannot see: there `map` answers `unsupported`, `adopt` may import at
/// first use, and an error of the driver ends this device (`device_lost`) and no other.
///
/// Invariants: 1. A new block reads as zero. 2. A key names at most one block; after `release` it names none. 3. Memory that
/// another process may still reach (`share`, `adopt`, `seal_for_sharing`) never enters another block. 4. A mapping outlives the
/// block's release: its memory goes back when the last mapping ends. 5. A device that ends leaves the bytes of its blocks as they are, for
/// the next one to adopt. 6. No lock is held across a system call that can be slow.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace vramd::device {
/// What the memory is for; decides how it is backed.
enum class BlockKind : u8 {
    arena,      ///< Holds many allocations of one owner.
    dedicated,  ///< Holds one large allocation.
    shareable,  ///< Holds one allocation that other owners may read later, through `seal_for_sharing`.
    pinned,     ///< Holds one allocation and never leaves physical memory (host: mlock); can be sealed as a shareable one.
};

/// A block as the ledger knows it.
struct BlockSpec {
    u64 key = 0;         ///< Chosen by the core, never reused; not 0.
    u64 size_bytes = 0;  ///< A multiple of `Facts::granularity_bytes`; not 0.
    BlockKind kind = BlockKind::arena;
    bool operator==(const BlockSpec&) const = default;
};

/// What a descriptor that leaves this process allows its holder.
enum class Sharing : u8 {
    writable,   ///< Everything; refused once the block is sealed.
    read_only,  ///< Reading. On a block that is sealed nobody can get beyond that; on another its maker's own user could.
};

/// What does not change while the device lives.
struct Facts {
    std::string id;                         ///< As in requests: "host0", "a", "cuda0".
    std::string kind;                       ///< "host", "cuda", "d3d12", "sim".
    std::string name;                       ///< The hardware's name where it is known, else empty.
    std::string driver;                     ///< Driver or kernel with its version, else empty.
    std::string uuid;                       ///< Which GPU it is, to every process: "GPU-5a0b…", as nvidia-smi prints it; else empty.
    std::vector<std::string> capabilities;  ///< Sorted lower-camel words, such as "map", "pinned", "sharedRead".
    u64 capacity_bytes = 0;                 ///< As configured: what the core may hand out.
    u64 granularity_bytes = 0;              ///< Block sizes are multiples of this; a power of two.
};

/// One NUMA node of the machine.
struct NumaNode {
    u32 id = 0;
    std::optional<u64> total_bytes;
    std::optional<u64> free_bytes;
    bool operator==(const NumaNode&) const = default;
};

/// What the system offers in large pages. A value is absent where the system does not say.
struct HugePages {
    std::optional<u64> size_bytes;  ///< Of one reserved huge page.
    std::optional<u64> total_count;
    std::optional<u64> free_count;
    std::optional<std::string> shared_memory_policy;  ///< "never", "advise", "always", …: transparent huge pages of shared memory.
    bool operator==(const HugePages&) const = default;
};

/// Pressure stall information: the share of time in which tasks waited for memory, 0–100.
struct Stall {
    double some_10s_percentage = 0;  ///< At least one task waited, mean over 10 s.
    double some_60s_percentage = 0;
    double full_10s_percentage = 0;  ///< All tasks waited at once.
    double full_60s_percentage = 0;
    bool operator==(const Stall&) const = default;
};

enum class Health : u8 {
    good,
    degraded,  ///< Works; `Reading::reasons` says what is wrong.
    lost,      ///< Every call that needs the device answers `device_lost`.
};

/// How much of a reading is wanted: what nobody shows is not read.
enum class Look : u8 {
    whole,
    use,  ///< How much is used and to be had, stall and health; without NUMA nodes, huge pages and other processes' names.
};

/// A process that uses the hardware's memory.
struct ProcessUse {
    u32 pid = 0;                    ///< As this process's pid namespace counts, or the driver, which may stand outside of it.
    std::string name;               ///< As the kernel has it, in printable ASCII; empty: unknown.
    std::optional<u64> used_bytes;  ///< What the driver books to it; memory that it mapped from another is booked to the other.
};

/// One look at the device, taken on that call. What is unknown is absent; nothing is estimated.
struct Reading {
    u64 capacity_bytes = 0;                 ///< As configured.
    u64 held_bytes = 0;                     ///< In blocks that have a key.
    u64 pool_bytes = 0;                     ///< Kept for the next blocks; given back when memory runs low.
    u64 returning_bytes = 0;                ///< On their way back to the system, and still in use in its figures.
    std::string memory_type;                ///< "systemMemory", "gpuMemory", "simulated".
    std::string common_memory;              ///< What several devices take from, and whose shortage gets processes killed; empty: neither.
    std::optional<u64> physical_bytes;      ///< The hardware's memory.
    std::optional<u64> os_available_bytes;  ///< What the system could still give (the smallest of MemAvailable and the cgroups' rooms).
    std::optional<u64> system_available_bytes;  ///< Of the hardware's memory alone, whatever a cgroup allows us of it.
    std::optional<u64> other_processes_bytes;   ///< In use on the hardware and not held by a device of this process.
    std::vector<ProcessUse> other_processes;    ///< Who they are, most bytes first; empty where the driver names none.
    std::optional<u64> group_limit_bytes;       ///< The tightest cgroup memory limit over this process.
    std::optional<u64> group_used_bytes;        ///< Use of the group with that limit.
    std::optional<u64> group_available_bytes;   ///< What it still has room for, cache that the kernel drops first counted in.
    std::optional<u64> pinned_bytes;            ///< Of other devices' memory that this one reads by itself, locked for it so far.
    std::vector<NumaNode> numa_nodes;
    HugePages huge_pages;
    std::optional<Stall> stall;
    Health health = Health::good;
    std::vector<std::string> reasons;  ///< Sentences; empty when the health is good.
};

/// A block's bytes as this process sees them. Copies share one mapping; the bytes stay valid while any copy lives, through the
/// block's release too. What lies there may change under a reader wherever another process can write it.
class Mapping {
public:
    enum class Access : u8 { read_write, read_only };
    Mapping() = default;
    /// `keep_alive` ends the mapping when its last copy goes.
    Mapping(std::shared_ptr<const void> keep_alive, std::span<std::byte> bytes, Access access)
        : keep_alive_(std::move(keep_alive)), bytes_(bytes), access_(access) {}

    [[nodiscard]] std::span<const std::byte> read() const { return bytes_; }
    /// Errors: `conflict` once the block has been sealed for sharing before this mapping was taken.
    [[nodiscard]] Result<std::span<std::byte>> write() const {
        if (access_ == Access::read_only)
            return refuse(Code::conflict, "block", "The memory is sealed for sharing and can no longer be written.");
        return bytes_;
    }
    [[nodiscard]] u64 size_bytes() const { return bytes_.size(); }

private:
    std::shared_ptr<const void> keep_alive_;
    std::span<std::byte> bytes_;
    Access access_ = Access::read_only;
};

/// One device. All calls may come from any thread at once; calls for one key must not overlap each other, except `map`.
class Device {
public:
    Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    virtual ~Device() = default;

    /// Never changes; valid as long as the device.
    [[nodiscard]] virtual const Facts& facts() const = 0;

    /// Makes a block that reads as zero and is backed by memory to its last byte. May take long (first touch): call it off the
    /// engine's lock. Returns a descriptor of its own for the keeper; where a device has none, the `Fd` is empty.
    /// Errors: `invalid_field` (size 0 or not a multiple of the granularity), `conflict` (the key is taken), `insufficient_memory`
    /// (value: asked, limit: what the system has), `limit_exceeded` (pinned: RLIMIT_MEMLOCK, in words), `unsupported`, `device_lost`.
    [[nodiscard]] virtual Result<Fd> create(const BlockSpec& spec) = 0;

    /// Takes a block back after a restart. Its size and seals are checked, its bytes are left as they are.
    /// Errors: `conflict` (the key is taken), `invalid_field` (the descriptor is not this block), `device_lost`.
    [[nodiscard]] virtual Result<void> adopt(const BlockSpec& spec, Fd descriptor) = 0;

    /// Gives the block's memory to the pool, or to the system where another process may still reach it. Quick: zeroing for the
    /// next owner happens elsewhere. Errors: `not_found`. A lost device still releases.
    [[nodiscard]] virtual Result<void> release(u64 key) = 0;

    /// A descriptor for another process (a client, a loader). From here on the block counts as reachable from outside and is
    /// never pooled. Errors: `not_found`, `conflict` (writable, of a sealed block), `unsupported`, `device_lost`.
    [[nodiscard]] virtual Result<Fd> share(u64 key, Sharing sharing) = 0;

    /// Makes the block unwritable for every descriptor and every mapping made from now on, for ever; verified before it returns.
    /// The caller first ends whoever may hold a writable mapping (a loader), for existing ones stay writable.
    /// Errors: `not_found`, `unsupported` (the kind is neither `shareable` nor `pinned`, or the device cannot), `limit_exceeded` (pinned
    /// memory could not be locked anew), `device_lost`.
    [[nodiscard]] virtual Result<void> seal_for_sharing(u64 key) = 0;

    /// The block's bytes, for devices whose capabilities have "map". Errors: `not_found`, `unsupported`, `device_lost`.
    [[nodiscard]] virtual Result<Mapping> map(u64 key) = 0;

    /// The present state. A few small file reads; never waits for a block.
    [[nodiscard]] virtual Reading read(Look look) = 0;
    [[nodiscard]] Reading read() { return read(Look::whole); }

    /// Gives at least so many of the bytes that are kept for the next blocks back to the system, as far as there are any, and keeps none
    /// anew for a second. Answers how many are back. May wait for what is being freed.
    virtual u64 give_back(u64 bytes) = 0;

    /// A real small copy through the device, compared. Errors: `device_lost`, with the cause.
    [[nodiscard]] virtual Result<void> health_check() = 0;

    /// All blocks with a key, sorted by key; for the audit of registry against books.
    [[nodiscard]] virtual std::vector<BlockSpec> blocks() = 0;
};
}  // namespace vramd::device
