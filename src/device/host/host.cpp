#include "device/host/host.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <map>
#include <utility>

#include "base/clock.hpp"
#include "base/mutex.hpp"
#include "base/random.hpp"
#include "device/host/memory.hpp"
#include "device/host/pool.hpp"
#include "device/host/system.hpp"

namespace vramd::device::host {
namespace {
constexpr u64 probe_bytes = 64 * kib;

/// Bytes that creations of all host devices have claimed and not touched yet: what the system says is available still counts them.
std::atomic<u64> claimed_bytes{0};

/// Holds a claim, which shrinks as its memory is touched.
class Claim {
public:
    Claim() = default;
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    ~Claim() { claimed_bytes.fetch_sub(left_.load()); }
    /// Adds to the claims unless they have changed since they were `seen_bytes`: then whoever was first has it, and the caller looks again.
    [[nodiscard]] bool take(u64 bytes, u64 seen_bytes) {
        if (!claimed_bytes.compare_exchange_strong(seen_bytes, seen_bytes + bytes)) return false;
        left_.store(bytes);
        return true;
    }
    void touched(u64 bytes) {
        left_.fetch_sub(bytes);
        claimed_bytes.fetch_sub(bytes);
    }

private:
    std::atomic<u64> left_{0};
};

/// The memory of one key, kept alive by the registry and by mappings; where it goes when the last of them lets go.
struct Block {
    Memory memory;
    std::shared_ptr<Pool> pool;
    std::atomic<bool> reachable_by_others = false;
    std::atomic<bool> released = false;  ///< Else this core only lets go: the keeper holds the memory for the next one.

    Block(Memory taken, std::shared_ptr<Pool> home) : memory(std::move(taken)), pool(std::move(home)) {}
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    ~Block() {
        if (!memory) return;
        memory.unlock();
        if (released && !reachable_by_others && !memory.is_read_only())
            pool->give(std::move(memory));
        else
            pool->discard(std::move(memory));
    }
};

std::string kernel_text() {
    utsname names{};
    if (uname(&names) != 0) return {};
    return std::string(names.sysname) + " " + names.release;
}
u64 page_bytes() { return static_cast<u64>(sysconf(_SC_PAGESIZE)); }
std::unexpected<Error> not_found(u64 key) { return refuse(Code::not_found, "block", key, 0); }

/// Writes through the file and reads through the mapping, then the other way round.
Result<void> copy_and_compare() {
    TRY(const Memory probe, Memory::make(probe_bytes, 0));
    std::array<u64, probe_bytes / sizeof(u64)> there{}, back{};
    SeededRandom random(monotonic_ns());
    for (u64& word : there) word = random.next();
    const auto failed = [](std::string_view call) { return std::unexpected(system_error(call, errno)); };
    if (pwrite(probe.descriptor().get(), there.data(), probe_bytes, 0) != static_cast<ssize_t>(probe_bytes)) return failed("pwrite");
    const auto bytes = probe.bytes();
    const auto differ = [] { return refuse(Code::device_lost, "host", "Bytes written to memory came back changed."); };
    if (!std::ranges::equal(bytes, std::as_bytes(std::span(there)))) return differ();
    std::ranges::reverse(bytes);
    if (pread(probe.descriptor().get(), back.data(), probe_bytes, 0) != static_cast<ssize_t>(probe_bytes)) return failed("pread");
    std::ranges::reverse(std::as_writable_bytes(std::span(back)));
    if (back != there) return differ();
    return {};
}

class HostDevice final : public Device {
public:
    explicit HostDevice(const Options& options)
        : options_(options),
          system_(options.root),
          pool_(std::make_shared<Pool>(
              Pool::Limits{options.pool_max_bytes, options.spare_bytes, options.keep_available_bytes},
              [system = system_] { return system.available_bytes(); }, options.predecessor)) {
        facts_.id = options.id;
        facts_.kind = "host";
        facts_.name = "System memory";
        facts_.driver = kernel_text();
        facts_.capabilities = {"map", "pinned", "sharedRead", "sharedWrite"};
        facts_.capacity_bytes = options.capacity_bytes;
        facts_.granularity_bytes = page_bytes();
    }

    const Facts& facts() const override { return facts_; }

    Result<Fd> create(const BlockSpec& spec) override {
        TRY_DO(check(spec));
        TRY_DO(take_key(spec));
        auto made = make(spec);
        if (made) return *std::move(made);
        const Lock lock(mutex_);
        slots_.erase(spec.key);
        return made;
    }

    Result<void> adopt(const BlockSpec& spec, Fd descriptor) override {
        TRY_DO(check(spec));
        TRY(Memory memory, Memory::adopt(std::move(descriptor), spec.size_bytes));
        std::optional<std::string> reason;
        if (spec.kind == BlockKind::pinned)
            if (const auto locked = memory.lock(); !locked) reason = describe(locked.error());
        auto block = std::make_shared<Block>(std::move(memory), pool_);
        block->reachable_by_others = true;  // Whom an earlier core gave a descriptor is not known here.
        TRY_DO(take_key(spec));
        const Lock lock(mutex_);
        slots_[spec.key].block = std::move(block);
        // The bytes are there: an adopted block is kept though it can no longer be locked, and the health says so.
        if (reason) slots_[spec.key].reason = std::move(reason);
        return {};
    }

    Result<void> release(u64 key) override {
        Slot going;  // Ends after the lock: its memory may go to the pool.
        const Lock lock(mutex_);
        const auto found = slots_.find(key);
        if (found == slots_.end() || !found->second.block) return not_found(key);
        going = std::move(found->second);
        going.block->released = true;
        slots_.erase(found);
        return {};
    }

    Result<Fd> share(u64 key, Sharing sharing) override {
        TRY(const auto block, find(key));
        block->reachable_by_others = true;
        if (sharing == Sharing::read_only) return block->memory.read_only_descriptor();
        if (block->memory.is_read_only())
            return refuse(Code::conflict, "block", "The memory is sealed for sharing and can no longer be written.");
        return block->memory.descriptor().duplicate();
    }

    Result<void> seal_for_sharing(u64 key) override {
        TRY(const auto block, find(key));
        const auto kind = kind_of(key);
        if (kind != BlockKind::shareable && kind != BlockKind::pinned)
            return refuse(Code::unsupported, "block", "Only a block made to be shareable can be sealed for sharing.");
        if (block->memory.is_read_only()) return {};
        block->reachable_by_others = true;
        TRY(Memory sealed, block->memory.seal_contents());
        if (kind == BlockKind::pinned) {
            block->memory.unlock();  // First: a lock is a mapping's, and the limit counts both.
            TRY_DO(sealed.lock());
        }
        auto read_only = std::make_shared<Block>(std::move(sealed), pool_);
        const Lock lock(mutex_);
        const auto found = slots_.find(key);
        if (found == slots_.end()) return not_found(key);
        found->second.block = std::move(read_only);  // Mappings made before keep the old one.
        return {};
    }

    Result<Mapping> map(u64 key) override {
        TRY(auto block, find(key));
        const auto bytes = block->memory.bytes();
        const auto access = block->memory.is_read_only() ? Mapping::Access::read_only : Mapping::Access::read_write;
        return Mapping(std::move(block), bytes, access);
    }

    using Device::read;
    Reading read(Look look) override;
    u64 give_back(u64 bytes) override { return pool_->give_back(bytes); }

    Result<void> health_check() override {
        TRY_DO(check_lost());
        auto checked = copy_and_compare();
        if (!checked && checked.error().code == Code::device_lost) {
            const Lock lock(mutex_);
            lost_cause_ = describe(checked.error());
        }
        return checked;
    }

    std::vector<BlockSpec> blocks() override {
        const Lock lock(mutex_);
        std::vector<BlockSpec> specs;
        for (const auto& [key, slot] : slots_)
            if (slot.block) specs.push_back(slot.spec);
        return specs;
    }

private:
    struct Slot {
        BlockSpec spec;
        std::shared_ptr<Block> block;       ///< Null while it is being made.
        std::optional<std::string> reason;  ///< What is wrong with it, for the health.
    };

    Result<void> check_lost() {
        const Lock lock(mutex_);
        if (lost_cause_) return refuse(Code::device_lost, facts_.id, *lost_cause_);
        return {};
    }
    Result<void> check(const BlockSpec& spec) {
        TRY_DO(check_lost());
        if (spec.key == 0) return refuse(Code::invalid_field, "key", 0, 1);
        if (spec.size_bytes == 0 || spec.size_bytes > number_max || spec.size_bytes % facts_.granularity_bytes != 0)
            return refuse(Code::invalid_field, "sizeBytes", spec.size_bytes, facts_.granularity_bytes);
        return {};
    }
    Result<void> take_key(const BlockSpec& spec) {
        const Lock lock(mutex_);
        if (!slots_.try_emplace(spec.key, Slot{spec, nullptr, std::nullopt}).second) return refuse(Code::conflict, "key", spec.key, 0);
        return {};
    }
    Result<std::shared_ptr<Block>> find(u64 key) {
        const Lock lock(mutex_);
        if (lost_cause_) return refuse(Code::device_lost, facts_.id, *lost_cause_);
        const auto found = slots_.find(key);
        if (found == slots_.end() || !found->second.block) return not_found(key);
        return found->second.block;
    }
    std::optional<BlockKind> kind_of(u64 key) {
        const Lock lock(mutex_);
        const auto found = slots_.find(key);
        if (found == slots_.end()) return std::nullopt;
        return found->second.spec.kind;
    }

    /// Fills the slot of a key that this call has taken.
    Result<Fd> make(const BlockSpec& spec) {
        Memory memory;
        if (auto pooled = pool_->take(spec.size_bytes)) {
            memory = *std::move(pooled);
        } else {
            TRY(memory, make_fresh(spec.size_bytes));
        }
        if (spec.kind == BlockKind::pinned) TRY_DO(memory.lock());
        auto block = std::make_shared<Block>(std::move(memory), pool_);
        TRY(Fd for_keeper, block->memory.descriptor().duplicate());
        const Lock lock(mutex_);
        slots_[spec.key].block = std::move(block);
        return for_keeper;
    }

    Result<Memory> make_fresh(u64 size_bytes) {
        Memory memory;
        u64 touched_bytes = 0;
        if (auto spare = pool_->take_spare(size_bytes)) {
            memory = *std::move(spare);
            touched_bytes = memory.size_bytes();
        }
        Claim claim;
        TRY_DO(find_room(size_bytes - std::min(size_bytes, touched_bytes), claim));
        if (memory) {
            TRY_DO(memory.resize(size_bytes));
        } else {
            TRY(memory, Memory::make(size_bytes, huge_page_bytes_for(size_bytes)));
        }
        TRY_DO(memory.touch(touched_bytes, [&](u64 bytes) { claim.touched(bytes); }));
        TRY_DO(memory.seal_size());
        return memory;
    }

    /// Refuses what would drive the system out of memory: the kernel would then kill somebody instead of refusing.
    Result<void> find_room(u64 size_bytes, Claim& claim) {
        while (true) {
            const u64 claimed = claimed_bytes.load();
            const auto available = system_.available_bytes();
            const u64 spoken_for = claimed + options_.keep_available_bytes;
            const u64 room = available ? *available - std::min(*available, spoken_for) : size_bytes;
            if (room >= size_bytes) {
                if (claim.take(size_bytes, claimed)) return {};
            } else if (pool_->give_way(size_bytes - room) == 0) {
                return refuse(Code::insufficient_memory, "sizeBytes", size_bytes, room);
            }
        }
    }

    u64 huge_page_bytes_for(u64 size_bytes) const {
        if (options_.reserved_huge_pages == ReservedHugePages::leave) return 0;
        const HugePages pages = system_.huge_pages(system_.memory());
        if (!pages.size_bytes || !pages.free_count || size_bytes % *pages.size_bytes != 0) return 0;
        return *pages.free_count >= size_bytes / *pages.size_bytes ? *pages.size_bytes : 0;
    }

    const Options options_;
    const System system_;
    const std::shared_ptr<Pool> pool_;
    Facts facts_;
    Mutex mutex_;
    std::map<u64, Slot> slots_ GUARDED_BY(mutex_);
    std::optional<std::string> lost_cause_ GUARDED_BY(mutex_);
};

Reading HostDevice::read(Look look) {
    Reading reading;
    reading.capacity_bytes = facts_.capacity_bytes;
    reading.memory_type = "systemMemory";
    reading.common_memory = "system";
    reading.pool_bytes = pool_->bytes();
    reading.returning_bytes = pool_->returning_bytes();  // Before the system's figures: what has just gone is in neither.
    const MemInfo info = system_.memory();
    reading.physical_bytes = info.total_bytes;
    const auto group = system_.group();
    reading.os_available_bytes = available_bytes_of(info, group);
    reading.system_available_bytes = info.available_bytes;
    if (info.total_bytes && info.available_bytes) {
        const u64 in_use = *info.total_bytes - std::min(*info.total_bytes, *info.available_bytes);
        reading.other_processes_bytes = in_use - std::min(in_use, Memory::process_bytes());
    }
    if (group) {
        reading.group_limit_bytes = group->limit_bytes;
        reading.group_used_bytes = group->used_bytes;
        reading.group_available_bytes = group->room_bytes;
    }
    if (look == Look::whole) {
        reading.numa_nodes = system_.numa_nodes();
        reading.huge_pages = system_.huge_pages(info);
    }
    reading.stall = system_.stall();
    if (reading.os_available_bytes && *reading.os_available_bytes < options_.keep_available_bytes)
        reading.reasons.push_back("The system has " + std::to_string(*reading.os_available_bytes) +
                                  " bytes of memory left; new blocks are refused below " + std::to_string(options_.keep_available_bytes) +
                                  ".");
    const Lock lock(mutex_);
    for (const auto& [key, slot] : slots_) {
        if (slot.block) reading.held_bytes += slot.spec.size_bytes;
        if (slot.reason) reading.reasons.push_back(*slot.reason);
    }
    if (lost_cause_) reading.reasons.push_back(*lost_cause_);
    reading.health = lost_cause_ ? Health::lost : reading.reasons.empty() ? Health::good : Health::degraded;
    return reading;
}
}  // namespace

Result<std::unique_ptr<Device>> open(const Options& options) {
    if (options.capacity_bytes == 0 || options.capacity_bytes > number_max || options.capacity_bytes % page_bytes() != 0)
        return refuse(Code::invalid_field, "capacityBytes", options.capacity_bytes, page_bytes());
    return std::make_unique<HostDevice>(options);
}

std::optional<u64> available_bytes(const std::string& root) { return System(root).available_bytes(); }
}  // namespace vramd::device::host
