#include "device/d3d12/d3d12.hpp"

#include <algorithm>
#include <map>

#include "device/d3d12/trial.hpp"

namespace vramd::device::d3d12 {
namespace {
constexpr u64 predecessor_ms_max = 10'000;

std::unexpected<Error> not_found(u64 key) { return refuse(Code::not_found, "block", key, 0); }
u64 less(u64 from, u64 what) { return from - std::min(from, what); }

std::vector<std::string> capabilities_of(const Adapter& adapter, const Traits& traits) {
    std::vector<std::string> words{"copy"};
    if (adapter.tells_budget) words.emplace_back("memoryBudget");
    if (adapter.is_software) words.emplace_back("software");
    if (traits.is_uma) words.emplace_back("uma");
    return words;
}

class HeapDevice final : public Device, public Channels {
public:
    explicit HeapDevice(const Options& options) : options_(options) {}
    /// Errors: as `open`.
    [[nodiscard]] Result<void> begin();

    const Facts& facts() const override { return facts_; }
    Result<Fd> create(const BlockSpec& spec) override;
    Result<void> adopt(const BlockSpec& spec, Fd descriptor) override;
    Result<void> release(u64 key) override;
    Result<Fd> share(u64 key, Sharing sharing) override;
    Result<void> seal_for_sharing(u64 key) override;
    Result<Mapping> map(u64 key) override;
    using Device::read;
    Reading read(Look look) override;
    u64 give_back(u64) override { return 0; }  // It keeps no pool.
    Result<void> health_check() override;
    std::vector<BlockSpec> blocks() override;
    Result<std::shared_ptr<Channel>> open_channel(u64 key, Patience patience) override;
    void pin(u64, Mapping) override {}  // All bytes go by way of staging buffers here.
    void unpin(u64) override {}
    Result<CopyRates> rates() override { return rates_; }

private:
    struct Slot {
        BlockSpec spec;
        std::shared_ptr<Block> block;  ///< Null while it is being made.
    };
    [[nodiscard]] Result<void> check(const BlockSpec& spec) const;
    [[nodiscard]] Result<std::shared_ptr<Block>> find(u64 key);
    [[nodiscard]] Result<std::shared_ptr<Block>> make(const BlockSpec& spec);
    [[nodiscard]] std::optional<u64> free_bytes() const;
    [[nodiscard]] bool is_of_system() const { return context_->traits().is_uma || context_->adapter().is_software; }

    const Options options_;
    Facts facts_;
    std::shared_ptr<Context> context_;
    HeapChannel::Ways ways_;
    std::shared_ptr<Block> probe_;  ///< For the health check.
    Result<CopyRates> rates_ = refuse(Code::unsupported, "d3d12", "Nothing was measured.");
    Mutex mutex_;
    std::map<u64, Slot> slots_ GUARDED_BY(mutex_);
    Mutex probe_mutex_;
    Mutex making_mutex_;  ///< One block at a time: what is free counts a new block's memory only once it was written.
};

Result<void> HeapDevice::begin() {
    std::shared_ptr<Runtime> runtime = options_.runtime;
    if (!runtime) {
        TRY(runtime, Runtime::open());
    }
    TRY(Adapter adapter, runtime->find(options_.which));
    TRY(context_, Context::make(std::move(runtime), std::move(adapter), options_.patience_ns));
    ways_ = {context_, std::make_shared<Ring>(context_)};
    facts_.id = "d3d12-" + std::to_string(context_->adapter().index);
    facts_.kind = "d3d12";
    facts_.name = context_->adapter().name;
    facts_.driver = context_->adapter().driver;
    facts_.capabilities = capabilities_of(context_->adapter(), context_->traits());
    facts_.granularity_bytes = placement_bytes;
    probe_ = std::make_shared<Block>();
    TRY(probe_->memory, Memory::make(context_, placement_bytes));
    TRY_DO(health_check());
    rates_ = measure_rates(ways_);
    TRY_DO(context_->check_lost());
    if (options_.predecessor) (void)options_.predecessor->await(predecessor_ms_max);
    const u64 total_bytes = context_->memory().total_bytes;
    if (options_.size.unit == Size::Unit::bytes && options_.size.amount > total_bytes)
        return refuse(Code::invalid_field, "--device",
                      facts_.id + " (" + facts_.name + ") has " + std::to_string(total_bytes) + " bytes of memory, not " +
                          std::to_string(options_.size.amount) + ".");
    TRY(facts_.capacity_bytes, resolve_size(options_.size, free_bytes().value_or(total_bytes), placement_bytes));
    return {};
}

/// What a block could be made of now; absent where neither the driver nor the system says.
std::optional<u64> HeapDevice::free_bytes() const {
    const AdapterMemory memory = context_->memory();
    std::optional<u64> free = memory.free_bytes;
    if (!is_of_system() || !options_.system_available) return free;
    if (const auto of_system = options_.system_available()) free = std::min(free.value_or(*of_system), *of_system);
    if (free) free = std::min(*free, memory.total_bytes);
    return free;
}

Result<void> HeapDevice::check(const BlockSpec& spec) const {
    TRY_DO(context_->check_there());
    if (spec.key == 0) return refuse(Code::invalid_field, "key", 0, 1);
    if (spec.size_bytes == 0 || spec.size_bytes > number_max || spec.size_bytes % placement_bytes != 0)
        return refuse(Code::invalid_field, "sizeBytes", spec.size_bytes, placement_bytes);
    if (spec.kind == BlockKind::pinned)
        return refuse(Code::unsupported, "allocationType",
                      "This device pins no memory: its runtime does not say what is kept resident (MakeResident does nothing there).");
    return {};
}

Result<std::shared_ptr<Block>> HeapDevice::find(u64 key) {
    TRY_DO(context_->check_lost());
    const Lock lock(mutex_);
    const auto found = slots_.find(key);
    if (found == slots_.end() || !found->second.block) return not_found(key);
    return found->second.block;
}

Result<Fd> HeapDevice::create(const BlockSpec& spec) {
    TRY_DO(check(spec));
    {
        const Lock lock(mutex_);
        if (!slots_.try_emplace(spec.key, Slot{spec, nullptr}).second) return refuse(Code::conflict, "key", spec.key, 0);
    }
    auto made = make(spec);
    const Lock lock(mutex_);
    if (!made) {
        slots_.erase(spec.key);
        return std::unexpected(std::move(made).error());
    }
    slots_[spec.key].block = *std::move(made);
    return Fd();
}

/// A heap is granted whatever there is; its memory is taken when it is first written (seen with Mesa). So what there is is asked before.
Result<std::shared_ptr<Block>> HeapDevice::make(const BlockSpec& spec) {
    const Lock lock(making_mutex_);
    if (const auto free = free_bytes()) {
        const u64 room = less(*free, is_of_system() ? options_.keep_available_bytes : 0);
        if (spec.size_bytes > room) return refuse(Code::insufficient_memory, "sizeBytes", spec.size_bytes, room);
    }
    auto block = std::make_shared<Block>();
    auto memory = Memory::make(context_, spec.size_bytes);
    if (!memory && memory.error().code == Code::insufficient_memory)
        return refuse(Code::insufficient_memory, "sizeBytes", spec.size_bytes, free_bytes().value_or(0));
    if (!memory) return std::unexpected(std::move(memory).error());
    block->memory = *std::move(memory);
    TRY_DO(HeapChannel(ways_, block).fill(0, spec.size_bytes, std::byte{0}));
    return block;
}

Result<void> HeapDevice::adopt(const BlockSpec&, Fd) {
    return refuse(Code::invalid_field, "descriptor",
                  "Direct3D 12 memory ends with the process that made it: there is nothing to take back.");
}

Result<void> HeapDevice::release(u64 key) {
    Slot going;  // Ends after the lock: giving memory back takes the driver a while.
    const Lock lock(mutex_);
    const auto found = slots_.find(key);
    if (found == slots_.end() || !found->second.block) return not_found(key);
    going = std::move(found->second);
    slots_.erase(found);
    return {};
}

Result<Fd> HeapDevice::share(u64 key, Sharing) {
    TRY_DO(find(key));
    return refuse(
        Code::unsupported, "block",
        "This device's memory cannot be given to another process: its runtime (vkd3d) makes no shared handles. Its bytes are read and "
        "written by content, copy and transfer.");
}

Result<void> HeapDevice::seal_for_sharing(u64 key) {
    TRY(const auto block, find(key));
    const Lock lock(mutex_);
    const auto found = slots_.find(key);
    if (found == slots_.end()) return not_found(key);
    if (found->second.spec.kind != BlockKind::shareable)
        return refuse(Code::unsupported, "block", "Only a block made to be shareable can be sealed for sharing.");
    block->sealed = true;
    return {};
}

Result<Mapping> HeapDevice::map(u64 key) {
    TRY_DO(find(key));
    return refuse(Code::unsupported, "block", "The processor cannot see a default heap; its bytes are read and written by copies.");
}

Result<std::shared_ptr<Channel>> HeapDevice::open_channel(u64 key, Patience) {
    TRY(auto block, find(key));
    return std::make_shared<HeapChannel>(ways_, std::move(block));
}

Reading HeapDevice::read(Look) {
    Reading reading;
    reading.capacity_bytes = facts_.capacity_bytes;
    reading.memory_type = is_of_system() ? "systemMemory" : "gpuMemory";
    if (is_of_system()) reading.common_memory = "system";
    {
        const Lock lock(mutex_);
        for (const auto& [key, slot] : slots_)
            if (slot.block) reading.held_bytes += slot.spec.size_bytes;
    }
    (void)context_->check_there();  // A removal is found out here too, and told below.
    if (auto cause = context_->lost_cause()) {
        reading.health = Health::lost;
        reading.reasons.push_back(*std::move(cause));
        return reading;
    }
    reading.physical_bytes = context_->memory().total_bytes;
    reading.os_available_bytes = free_bytes();
    // What is the system's is judged with the system's own device: an adapter's heap is no part of it that could be full by itself.
    if (!is_of_system()) reading.system_available_bytes = reading.os_available_bytes;
    return reading;
}

Result<void> HeapDevice::health_check() {
    const Lock lock(probe_mutex_);  // One at a time: the probe's bytes are one's own meanwhile.
    HeapChannel channel(ways_, probe_);
    TRY(const bool same, keeps_bytes(channel));
    if (!same) return context_->lose("Bytes written to it came back changed.");
    return {};
}

std::vector<BlockSpec> HeapDevice::blocks() {
    const Lock lock(mutex_);
    std::vector<BlockSpec> specs;
    for (const auto& [key, slot] : slots_)
        if (slot.block) specs.push_back(slot.spec);
    return specs;
}
}  // namespace

void prepare_environment() { Runtime::prepare_environment(); }

Result<std::unique_ptr<Device>> open(const Options& options) {
    auto device = std::make_unique<HeapDevice>(options);
    TRY_DO(device->begin());
    return device;
}
}  // namespace vramd::device::d3d12
