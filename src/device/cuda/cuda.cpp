#include "device/cuda/cuda.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <map>
#include <thread>

#include "base/clock.hpp"
#include "device/cuda/trial.hpp"
#include "device/cuda/use.hpp"
#include "device/cuda/watch.hpp"

namespace vramd::device::cuda {
namespace {
constexpr u64 granularity_least_bytes = 2 * mib;
constexpr std::chrono::seconds opening_max{2};
constexpr u64 stock_ns_max = 10 * ns_per_second;
constexpr u64 a_look_ms = 100;
constexpr u64 predecessor_ms_max = 10'000;

std::unexpected<Error> not_found(u64 key) { return refuse(Code::not_found, "block", key, 0); }
u64 less(u64 from, u64 what) { return from - std::min(from, what); }

Facts facts_of(std::string id) {
    Facts facts;
    facts.id = std::move(id);
    facts.kind = "cuda";
    facts.capabilities = {"copy", "pinned", "sharedAgreed"};
    facts.granularity_bytes = granularity_least_bytes;
    return facts;
}
class CudaDevice final : public Device, public Channels {
public:
    explicit CudaDevice(Facts facts) : facts_(std::move(facts)) {}
    /// Finds the GPU, takes its memory into account and begins to watch it. Errors: as `open`.
    [[nodiscard]] Result<void> begin(const Options& options);
    /// The same behind everybody's back.
    void begin_later(const Options& options);
    void be_lost(std::string cause) { settle(std::move(cause)); }

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
    void pin(u64 key, Mapping memory) override {
        if (is_open()) ways_.pins->add(key, std::move(memory));
    }
    void unpin(u64 key) override {
        if (is_open()) ways_.pins->remove(key);
    }
    Result<CopyRates> rates() override {
        TRY_DO(await_open(Patience::none));
        return rates_;
    }

private:
    struct Slot {
        BlockSpec spec;
        std::shared_ptr<Block> block;  ///< Null while it is being made.
    };
    enum class Phase : u8 { opening, open, never_opened };
    [[nodiscard]] Result<void> find_and_enter(const Options& options);
    [[nodiscard]] Result<void> take_stock(const Options& options);
    /// The end of the opening: with a cause, it has failed.
    void settle(std::optional<std::string> cause);
    [[nodiscard]] Result<void> await_open(Patience patience = Patience::wait);
    [[nodiscard]] bool is_open() const {
        const Lock lock(opening_mutex_);
        return phase_ == Phase::open;
    }
    [[nodiscard]] std::optional<std::string> lost_cause() const;
    [[nodiscard]] Result<void> check_lost() const;
    [[nodiscard]] Result<void> check(const BlockSpec& spec) const;
    [[nodiscard]] Result<void> take_key(const BlockSpec& spec);
    [[nodiscard]] Result<std::shared_ptr<Block>> find(u64 key);
    [[nodiscard]] Result<Fd> make(const BlockSpec& spec);
    void begin_to_watch(const Options& options, Watch::Times::First first);

    Facts facts_;
    mutable Mutex opening_mutex_;
    std::condition_variable_any settled_;
    Phase phase_ GUARDED_BY(opening_mutex_) = Phase::opening;
    std::optional<std::string> never_opened_ GUARDED_BY(opening_mutex_);
    // Once it is open; they do not change then.
    std::shared_ptr<Context> context_;
    CudaChannel::Ways ways_;
    std::optional<UseReader> use_;
    std::shared_ptr<Block> probe_;  ///< Of this process: its descriptor is the one that stays open, its bytes are the health check's.
    u64 own_bytes_ = context_bytes;
    Result<CopyRates> rates_ = refuse(Code::unsupported, "cuda", "Only a first start measures.");
    Mutex mutex_;
    std::map<u64, Slot> slots_ GUARDED_BY(mutex_);
    Mutex probe_mutex_;
    std::optional<Watch> watch_;
    std::jthread opening_;
};

/// While it is being opened it is not lost.
std::optional<std::string> CudaDevice::lost_cause() const {
    {
        const Lock lock(opening_mutex_);
        if (phase_ != Phase::open) return never_opened_;
    }
    return context_->lost_cause();
}

Result<void> CudaDevice::check_lost() const {
    if (auto cause = lost_cause()) return refuse(Code::device_lost, facts_.id, *std::move(cause));
    return {};
}

void CudaDevice::settle(std::optional<std::string> cause) {
    {
        const Lock lock(opening_mutex_);
        phase_ = cause ? Phase::never_opened : Phase::open;
        never_opened_ = std::move(cause);
    }
    settled_.notify_all();
}

/// A driver begins within a second, or something is wrong with it: whoever waits longer than that is told so.
Result<void> CudaDevice::await_open(Patience patience) {
    {
        std::unique_lock lock(opening_mutex_);
        const auto most = patience == Patience::wait ? opening_max : std::chrono::seconds(0);
        if (!settled_.wait_for(lock, most, [this] { return phase_ != Phase::opening; }))
            return refuse(Code::busy, facts_.id, "The GPU's driver is not ready yet; it takes some tenths of a second after a start.");
    }
    return check_lost();
}

Result<void> CudaDevice::check(const BlockSpec& spec) const {
    if (spec.key == 0) return refuse(Code::invalid_field, "key", 0, 1);
    if (spec.size_bytes == 0 || spec.size_bytes > number_max || spec.size_bytes % facts_.granularity_bytes != 0)
        return refuse(Code::invalid_field, "sizeBytes", spec.size_bytes, facts_.granularity_bytes);
    return {};
}

Result<void> CudaDevice::take_key(const BlockSpec& spec) {
    const Lock lock(mutex_);
    if (!slots_.try_emplace(spec.key, Slot{spec, nullptr}).second) return refuse(Code::conflict, "key", spec.key, 0);
    return {};
}

Result<std::shared_ptr<Block>> CudaDevice::find(u64 key) {
    TRY_DO(check_lost());
    const Lock lock(mutex_);
    const auto found = slots_.find(key);
    if (found == slots_.end() || !found->second.block) return not_found(key);
    return found->second.block;
}

Result<void> CudaDevice::begin(const Options& options) {
    TRY_DO(find_and_enter(options));
    TRY_DO(take_stock(options));
    if (options.predecessor) (void)options.predecessor->await(predecessor_ms_max);
    settle(std::nullopt);
    TRY_DO(health_check());
    // Now or never: later somebody uses it. In what is free beyond all that it may be asked for.
    rates_ = measure_rates(ways_, less(use_->look(stock_ns_max).value_or(Use{}).free_bytes, facts_.capacity_bytes));
    begin_to_watch(options, Watch::Times::First::pause);
    return {};
}

void CudaDevice::begin_later(const Options& options) {
    opening_ = std::jthread([this, options](const std::stop_token& stop) {
        auto begun = find_and_enter(options);
        if (begun) begun = take_stock(options);
        while (options.predecessor && !stop.stop_requested() && !options.predecessor->await(a_look_ms)) {
        }
        settle(begun ? std::nullopt : std::optional(describe(begun.error())));
        if (begun) begin_to_watch(options, Watch::Times::First::look);
    });
}

Result<void> CudaDevice::find_and_enter(const Options& options) {
    TRY(const auto libraries, Libraries::open());
    TRY(Gpu gpu, find_gpu(*libraries, options.which));
    if (options.known && gpu.index != options.known->index)
        return refuse(Code::device_lost, facts_.id, "The GPU is number " + std::to_string(gpu.index) + " now.");
    if (!options.known) {
        facts_ = facts_of("cuda" + std::to_string(gpu.index));
        facts_.name = gpu.name;
        facts_.uuid = gpu.uuid;
        facts_.driver = libraries->version;
    }
    TRY(context_, Context::make(libraries, std::move(gpu), options.lost, options.patience_ns));
    ways_ = {context_, std::make_shared<Ring>(context_), std::make_shared<Pins>(context_)};
    return {};
}

Result<void> CudaDevice::take_stock(const Options& options) {
    use_.emplace(context_);
    AllocationProperties properties;
    properties.location.id = context_->gpu().number;
    std::size_t granularity = 0;
    TRY_DO(context_->check("cuMemGetAllocationGranularity", context_->driver().granularity(&granularity, &properties, 0)));
    const u64 granularity_bytes = std::max<u64>(granularity, granularity_least_bytes);
    probe_ = std::make_shared<Block>();
    TRY(probe_->memory, Memory::make(context_, granularity_bytes));
    if (const auto own = use_->own_bytes()) own_bytes_ = *own;  // Nothing but the context and the probe is there yet.
    if (options.known) return {};
    facts_.granularity_bytes = granularity_bytes;
    const auto use = use_->look(stock_ns_max);
    if (!use) return refuse(Code::device_lost, facts_.id, "The GPU does not tell how much memory it has free.");
    if (options.size.unit == Size::Unit::bytes && options.size.amount > use->total_bytes)
        return refuse(Code::invalid_field, "--device",
                      "--device: " + facts_.id + " has " + std::to_string(use->total_bytes) + " bytes of memory, not " +
                          std::to_string(options.size.amount) + ".");
    const u64 kept = std::min(options.kept_bytes, less(use->total_bytes, use->free_bytes));
    TRY(facts_.capacity_bytes, resolve_size(options.size, use->free_bytes + kept, facts_.granularity_bytes));
    return {};
}

/// A GPU can fail while nobody uses it: somebody has to look. What a look finds is kept, and told.
void CudaDevice::begin_to_watch(const Options& options, Watch::Times::First first) {
    watch_.emplace([this] { (void)health_check(); }, Watch::Times{options.look_every_ns, options.patience_ns, first},
                   [this] { (void)context_->lose_in_silence(); });
}

Result<Fd> CudaDevice::create(const BlockSpec& spec) {
    TRY_DO(await_open());
    TRY_DO(check(spec));
    TRY_DO(take_key(spec));
    auto made = make(spec);
    if (made) return made;
    const Lock lock(mutex_);
    slots_.erase(spec.key);
    return made;
}

Result<Fd> CudaDevice::make(const BlockSpec& spec) {
    auto block = std::make_shared<Block>();
    auto memory = Memory::make(context_, spec.size_bytes);
    if (!memory && memory.error().code == Code::insufficient_memory) {
        const auto use = use_->look();
        return refuse(Code::insufficient_memory, "sizeBytes", spec.size_bytes, use ? use->free_bytes : 0);
    }
    if (!memory) return std::unexpected(memory.error());
    block->memory = *std::move(memory);
    TRY(Fd for_keeper, block->memory->descriptor());
    const Lock lock(mutex_);
    slots_[spec.key].block = std::move(block);
    return for_keeper;
}

Result<void> CudaDevice::adopt(const BlockSpec& spec, Fd descriptor) {
    TRY_DO(check(spec));
    if (fcntl(descriptor.get(), F_GETFD) < 0) return std::unexpected(system_error("fcntl", errno));
    auto block = std::make_shared<Block>();
    block->memory = Memory::adopt(spec.size_bytes, std::move(descriptor));
    TRY_DO(take_key(spec));
    const Lock lock(mutex_);
    slots_[spec.key].block = std::move(block);
    return {};
}

Result<void> CudaDevice::release(u64 key) {
    Slot going;  // Ends after the lock: giving memory back takes the driver a while.
    const Lock lock(mutex_);
    const auto found = slots_.find(key);
    if (found == slots_.end() || !found->second.block) return not_found(key);
    going = std::move(found->second);
    slots_.erase(found);
    return {};
}

Result<Fd> CudaDevice::share(u64 key, Sharing sharing) {
    TRY(const auto block, find(key));
    if (sharing == Sharing::writable && block->sealed)
        return refuse(Code::conflict, "block", "The memory is sealed for sharing and can no longer be written.");
    return block->memory->descriptor();
}

Result<void> CudaDevice::seal_for_sharing(u64 key) {
    TRY(const auto block, find(key));
    const Lock lock(mutex_);
    const auto found = slots_.find(key);
    if (found == slots_.end()) return not_found(key);
    const BlockKind kind = found->second.spec.kind;
    if (kind != BlockKind::shareable && kind != BlockKind::pinned)
        return refuse(Code::unsupported, "block", "Only a block made to be shareable can be sealed for sharing.");
    block->sealed = true;
    return {};
}

Result<Mapping> CudaDevice::map(u64 key) {
    TRY_DO(find(key));
    return refuse(Code::unsupported, "block", "The processor cannot see a GPU's memory; its bytes are read and written by copies.");
}

Result<std::shared_ptr<Channel>> CudaDevice::open_channel(u64 key, Patience patience) {
    TRY(auto block, find(key));
    TRY_DO(await_open(patience));
    TRY(const Address address, block->memory->address(context_));
    return std::make_shared<CudaChannel>(ways_, std::move(block), address);
}

Reading CudaDevice::read(Look look) {
    Reading reading;
    reading.capacity_bytes = facts_.capacity_bytes;
    reading.memory_type = "gpuMemory";
    {
        const Lock lock(mutex_);
        for (const auto& [key, slot] : slots_)
            if (slot.block) reading.held_bytes += slot.spec.size_bytes;
    }
    const bool opened = is_open();
    if (const auto use = opened ? use_->look(look == Look::whole) : std::nullopt) {
        reading.physical_bytes = use->total_bytes;
        reading.os_available_bytes = use->free_bytes;
        reading.system_available_bytes = use->free_bytes;
        if (use->used_bytes) reading.other_processes_bytes = less(*use->used_bytes, reading.held_bytes + own_bytes_);
        reading.other_processes = others_of(use->processes);
    }
    if (opened) reading.reasons = use_->reasons();
    if (opened) reading.pinned_bytes = ways_.pins->pinned_bytes();
    if (!reading.reasons.empty()) reading.health = Health::degraded;
    if (auto cause = lost_cause()) {
        reading.health = Health::lost;
        reading.reasons.push_back(*std::move(cause));
    }
    return reading;
}

Result<void> CudaDevice::health_check() {
    TRY_DO(await_open());
    const Lock lock(probe_mutex_);  // One at a time: the probe's bytes are one's own meanwhile.
    TRY(const Address address, probe_->memory->address(context_));
    CudaChannel channel(ways_, probe_, address);
    TRY(const bool same, keeps_bytes(channel));
    if (!same) return context_->lose("Bytes written to the GPU came back changed.");
    return {};
}

std::vector<BlockSpec> CudaDevice::blocks() {
    const Lock lock(mutex_);
    std::vector<BlockSpec> specs;
    for (const auto& [key, slot] : slots_)
        if (slot.block) specs.push_back(slot.spec);
    return specs;
}
}  // namespace

Result<std::unique_ptr<Device>> open(const Options& options) {
    Libraries::prepare_environment();
    if (options.known) {
        Facts facts = facts_of("cuda" + std::to_string(options.known->index));
        facts.name = options.known->name;
        facts.driver = options.known->driver;
        facts.uuid = options.known->uuid;
        facts.capacity_bytes = options.known->capacity_bytes;
        facts.granularity_bytes = options.known->granularity_bytes;
        auto device = std::make_unique<CudaDevice>(std::move(facts));
        device->begin_later(options);
        return device;
    }
    auto device = std::make_unique<CudaDevice>(Facts{});
    TRY_DO(device->begin(options));
    return device;
}

Known known_of(const Device& device) {
    const Facts& facts = device.facts();
    int index = 0;
    constexpr std::string_view kind = "cuda";  // And then its number.
    (void)std::from_chars(facts.id.data() + kind.size(), facts.id.data() + facts.id.size(), index);
    return {index, facts.name, facts.driver, facts.uuid, facts.capacity_bytes, facts.granularity_bytes};
}

std::unique_ptr<Device> stand_in(std::string id, const Error& cause) {
    auto device = std::make_unique<CudaDevice>(facts_of(std::move(id)));
    device->be_lost(describe(cause));
    return device;
}
}  // namespace vramd::device::cuda
