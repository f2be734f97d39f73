#include "device/sim/sim.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/range.hpp"
#include "device/channel.hpp"

namespace vramd::device::sim {
namespace {
/// A block's memory. Its bytes are shared with mappings, so that they outlive the block as on real hardware.
struct Stored {
    BlockSpec spec;
    std::shared_ptr<std::vector<std::byte>> bytes;
    bool sealed = false;
};

std::vector<BlockSpec> specs_of(const std::map<u64, std::shared_ptr<Stored>>& blocks) {
    std::vector<BlockSpec> specs;
    for (const auto& [key, stored] : blocks) specs.push_back(stored->spec);
    return specs;
}
}  // namespace

struct Backing::State {
    mutable Mutex mutex;
    Options options;
    std::map<u64, std::shared_ptr<Stored>> blocks GUARDED_BY(mutex);
    u64 failing_creates GUARDED_BY(mutex) = 0;
    Code create_failure GUARDED_BY(mutex) = Code::insufficient_memory;
    u64 calls GUARDED_BY(mutex) = 0;
    std::optional<u64> failing_call GUARDED_BY(mutex);
    Code call_failure GUARDED_BY(mutex) = Code::system_failed;
    std::optional<std::string> lost_cause GUARDED_BY(mutex);
    std::optional<u64> told_available GUARDED_BY(mutex);
    bool beginning GUARDED_BY(mutex) = false;
    u64 other_processes_bytes GUARDED_BY(mutex) = 0;

    u64 held_bytes() const REQUIRES(mutex) {
        u64 held = 0;
        for (const auto& [key, stored] : blocks) held += stored->spec.size_bytes;
        return held;
    }
    u64 available_bytes() const REQUIRES(mutex) {
        const u64 taken = held_bytes() + other_processes_bytes;
        return taken >= options.capacity_bytes ? 0 : options.capacity_bytes - taken;
    }
    Result<void> check_lost() const REQUIRES(mutex) {
        if (lost_cause) return refuse(Code::device_lost, options.id, "The device " + options.id + " is lost: " + *lost_cause + ".");
        return {};
    }
    /// Counts a call and answers the failure that was ordered for it.
    Result<void> enter() REQUIRES(mutex) {
        TRY_DO(check_lost());
        const u64 number = calls++;
        if (failing_call != number) return {};
        failing_call.reset();
        return refuse(call_failure, options.id, "The simulated device fails this call, as it was told to.");
    }
    Result<void> check_spec(const BlockSpec& spec) const REQUIRES(mutex) {
        if (spec.key == 0) return refuse(Code::invalid_field, "key", 0, 1);
        if (spec.size_bytes == 0 || spec.size_bytes % options.granularity_bytes != 0)
            return refuse(Code::invalid_field, "sizeBytes", spec.size_bytes, options.granularity_bytes);
        return {};
    }
};

/// Copies at once: a simulation has no other time. Its stage holds what was sent until `wait`, so that who forgets it is found out.
class SimChannel final : public Channel {
public:
    SimChannel(std::shared_ptr<Backing::State> hardware, std::shared_ptr<Stored> stored)
        : hardware_(std::move(hardware)), stored_(std::move(stored)) {}

    u64 size_bytes() const override { return stored_->bytes->size(); }
    Result<void> write(u64 offset_bytes, std::span<const std::byte> from) override {
        TRY(std::byte* const to, enter(offset_bytes, from.size(), Mapping::Access::read_write));
        if (!from.empty()) std::memcpy(to, from.data(), from.size());
        return {};
    }
    Result<void> read(u64 offset_bytes, std::span<std::byte> into) override {
        TRY(const std::byte* const from, enter(offset_bytes, into.size(), Mapping::Access::read_only));
        if (!into.empty()) std::memcpy(into.data(), from, into.size());
        return {};
    }
    Result<void> fill(u64 offset_bytes, u64 size_bytes, std::byte value) override {
        TRY(std::byte* const to, enter(offset_bytes, size_bytes, Mapping::Access::read_write));
        if (size_bytes > 0) std::memset(to, static_cast<int>(value), size_bytes);
        return {};
    }
    Result<void> copy_from(u64 offset_bytes, const Channel& source, u64 source_offset_bytes, u64 size_bytes) override {
        const auto* const other = dynamic_cast<const SimChannel*>(&source);
        if (other == nullptr || other->hardware_ != hardware_)
            return refuse(Code::unsupported, "source", "The source is of another device.");
        TRY(std::byte* const to, enter(offset_bytes, size_bytes, Mapping::Access::read_write));
        TRY_DO(Range::within(other->size_bytes(), source_offset_bytes, size_bytes));
        if (size_bytes > 0) std::memcpy(to, other->stored_->bytes->data() + source_offset_bytes, size_bytes);
        return {};
    }
    Result<std::unique_ptr<Stage>> stage() override;

private:
    class SimStage;
    Result<std::byte*> enter(u64 offset_bytes, u64 size_bytes, Mapping::Access access) {
        const Lock lock(hardware_->mutex);
        TRY_DO(hardware_->enter());
        if (access == Mapping::Access::read_write && stored_->sealed)
            return refuse(Code::conflict, "block", "The memory is sealed for sharing and can no longer be written.");
        TRY_DO(Range::within(stored_->bytes->size(), offset_bytes, size_bytes));
        return stored_->bytes->data() + offset_bytes;
    }

    const std::shared_ptr<Backing::State> hardware_;
    const std::shared_ptr<Stored> stored_;
};

class SimChannel::SimStage final : public Stage {
public:
    explicit SimStage(SimChannel& channel) : channel_(channel), bytes_(stage_bytes_min) {}
    ~SimStage() override { (void)wait(); }
    std::span<std::byte> bytes() override { return bytes_; }
    Result<void> send(u64 offset_bytes, u64 size_bytes, u64 to_bytes) override {
        TRY(const Range part, Range::within(bytes_.size(), offset_bytes, size_bytes));
        TRY_DO(Range::within(channel_.size_bytes(), to_bytes, size_bytes));
        sent_.emplace_back(part, to_bytes);
        return {};
    }
    Result<void> wait() override {
        for (const auto& [part, to] : std::exchange(sent_, {}))
            TRY_DO(channel_.write(to, std::span<const std::byte>(bytes_).subspan(part.offset_bytes(), part.size_bytes())));
        return {};
    }

private:
    SimChannel& channel_;
    std::vector<std::byte> bytes_;
    std::vector<std::pair<Range, u64>> sent_;
};

Result<std::unique_ptr<Stage>> SimChannel::stage() {
    TRY_DO(enter(0, 0, Mapping::Access::read_write));
    return std::make_unique<SimStage>(*this);
}

class SimDevice final : public Device, public Channels {
public:
    explicit SimDevice(std::shared_ptr<Backing::State> hardware) : hardware_(std::move(hardware)) {
        facts_.id = hardware_->options.id;
        facts_.kind = "sim";
        facts_.name = "Simulated memory";
        facts_.capabilities = {"map", "pinned", "sharedRead"};
        if (hardware_->options.reach == Reach::copied) facts_.capabilities = {"copy", "pinned", "sharedAgreed"};
        facts_.capacity_bytes = hardware_->options.capacity_bytes;
        facts_.granularity_bytes = hardware_->options.granularity_bytes;
    }

    const Facts& facts() const override { return facts_; }

    Result<Fd> create(const BlockSpec& spec) override {
        const Lock lock(hardware_->mutex);
        Backing::State& hardware = *hardware_;
        TRY_DO(hardware.enter());
        TRY_DO(hardware.check_spec(spec));
        if (hardware.blocks.contains(spec.key)) return refuse(Code::conflict, "key", spec.key, 0);
        if (hardware.failing_creates > 0) {
            --hardware.failing_creates;
            return refuse(hardware.create_failure, "sizeBytes", spec.size_bytes, hardware.available_bytes());
        }
        if (spec.size_bytes > hardware.available_bytes())
            return refuse(Code::insufficient_memory, "sizeBytes", spec.size_bytes, hardware.available_bytes());
        auto stored = std::make_shared<Stored>(Stored{spec, std::make_shared<std::vector<std::byte>>(spec.size_bytes)});
        hardware.blocks.emplace(spec.key, stored);
        known_.emplace(spec.key, std::move(stored));
        return Fd();
    }

    Result<void> adopt(const BlockSpec& spec, Fd) override {
        const Lock lock(hardware_->mutex);
        TRY_DO(hardware_->check_lost());
        TRY_DO(hardware_->check_spec(spec));
        if (known_.contains(spec.key)) return refuse(Code::conflict, "key", spec.key, 0);
        const auto found = hardware_->blocks.find(spec.key);
        if (found == hardware_->blocks.end()) return refuse(Code::invalid_field, "descriptor", "There is no memory for this block.");
        if (found->second->spec.size_bytes != spec.size_bytes)
            return refuse(Code::invalid_field, "sizeBytes", spec.size_bytes, found->second->spec.size_bytes);
        known_.emplace(spec.key, found->second);
        return {};
    }

    Result<void> release(u64 key) override {
        const Lock lock(hardware_->mutex);
        if (known_.erase(key) == 0) return not_found(key);
        hardware_->blocks.erase(key);
        return {};
    }

    Result<Fd> share(u64 key, Sharing sharing) override {
        const Lock lock(hardware_->mutex);
        TRY_DO(hardware_->check_lost());
        const auto found = known_.find(key);
        if (found == known_.end()) return not_found(key);
        if (sharing == Sharing::writable && found->second->sealed)
            return refuse(Code::conflict, "block", "The memory is sealed for sharing and can no longer be written.");
        return Fd();
    }

    Result<void> seal_for_sharing(u64 key) override {
        const Lock lock(hardware_->mutex);
        TRY_DO(hardware_->enter());
        const auto found = known_.find(key);
        if (found == known_.end()) return not_found(key);
        const BlockKind kind = found->second->spec.kind;
        if (kind != BlockKind::shareable && kind != BlockKind::pinned)
            return refuse(Code::unsupported, "block", "Only a block made to be shareable can be sealed for sharing.");
        found->second->sealed = true;
        return {};
    }

    Result<Mapping> map(u64 key) override {
        const Lock lock(hardware_->mutex);
        TRY_DO(hardware_->enter());
        const auto found = known_.find(key);
        if (found == known_.end()) return not_found(key);
        if (hardware_->options.reach == Reach::copied)
            return refuse(Code::unsupported, "block", "The processor cannot see this memory; its bytes are read and written by copies.");
        const auto& bytes = found->second->bytes;
        return Mapping(bytes, *bytes, found->second->sealed ? Mapping::Access::read_only : Mapping::Access::read_write);
    }

    Result<std::shared_ptr<Channel>> open_channel(u64 key, Patience patience) override {
        const Lock lock(hardware_->mutex);
        if (hardware_->options.reach == Reach::mapped)
            return refuse(Code::unsupported, "block", "The device's memory is reached by mapping it.");
        if (hardware_->beginning && patience == Patience::none)
            return refuse(Code::busy, hardware_->options.id, "The simulated device is not ready yet.");
        TRY_DO(hardware_->enter());
        const auto found = known_.find(key);
        if (found == known_.end()) return not_found(key);
        return std::make_shared<SimChannel>(hardware_, found->second);
    }

    void pin(u64, Mapping) override {}  // It reads all memory by itself.
    void unpin(u64) override {}
    Result<CopyRates> rates() override { return refuse(Code::unsupported, facts_.id, "A simulated device has no speed."); }

    using Device::read;
    u64 give_back(u64) override { return 0; }  // It has no pool.

    Reading read(Look) override {
        const Lock lock(hardware_->mutex);
        Reading reading;
        reading.capacity_bytes = hardware_->options.capacity_bytes;
        for (const auto& [key, stored] : known_) reading.held_bytes += stored->spec.size_bytes;
        reading.memory_type = "simulated";
        reading.common_memory = hardware_->options.common_memory;
        reading.physical_bytes = hardware_->options.capacity_bytes;
        reading.os_available_bytes = hardware_->told_available.value_or(hardware_->available_bytes());
        reading.system_available_bytes = reading.os_available_bytes;
        reading.other_processes_bytes = hardware_->other_processes_bytes;
        if (hardware_->lost_cause) {
            reading.health = Health::lost;
            reading.reasons.push_back("The device is lost: " + *hardware_->lost_cause + ".");
        }
        return reading;
    }

    Result<void> health_check() override {
        const Lock lock(hardware_->mutex);
        return hardware_->check_lost();
    }

    std::vector<BlockSpec> blocks() override {
        const Lock lock(hardware_->mutex);
        return specs_of(known_);
    }

private:
    static std::unexpected<Error> not_found(u64 key) { return refuse(Code::not_found, "block", key, 0); }

    const std::shared_ptr<Backing::State> hardware_;
    Facts facts_;
    std::map<u64, std::shared_ptr<Stored>> known_;  // Under the hardware's mutex.
};

Backing::Backing(Options options) : state_(std::make_shared<State>()) { state_->options = std::move(options); }

std::unique_ptr<Device> Backing::open() { return std::make_unique<SimDevice>(state_); }

void Backing::fail_creates(u64 count, Code code) {
    const Lock lock(state_->mutex);
    state_->failing_creates = count;
    state_->create_failure = code;
}

void Backing::fail_call(u64 nth, Code code) {
    const Lock lock(state_->mutex);
    state_->failing_call = state_->calls + nth;
    state_->call_failure = code;
}

void Backing::lose(std::string cause) {
    const Lock lock(state_->mutex);
    state_->lost_cause = std::move(cause);
}

void Backing::restore() {
    const Lock lock(state_->mutex);
    state_->lost_cause.reset();
}

void Backing::be_beginning() {
    const Lock lock(state_->mutex);
    state_->beginning = true;
}

void Backing::lie_about_available(std::optional<u64> bytes) {
    const Lock lock(state_->mutex);
    state_->told_available = bytes;
}

void Backing::set_other_processes(u64 bytes) {
    const Lock lock(state_->mutex);
    state_->other_processes_bytes = bytes;
}

Result<void> Backing::flip_bit(u64 key, u64 offset_bytes, u32 bit) {
    const Lock lock(state_->mutex);
    const auto found = state_->blocks.find(key);
    if (found == state_->blocks.end()) return refuse(Code::not_found, "block", key, 0);
    std::vector<std::byte>& bytes = *found->second->bytes;
    if (offset_bytes >= bytes.size()) return refuse(Code::out_of_range, "offsetBytes", offset_bytes, bytes.size());
    bytes[offset_bytes] ^= std::byte{1} << (bit % 8);
    return {};
}

std::vector<BlockSpec> Backing::blocks() const {
    const Lock lock(state_->mutex);
    return specs_of(state_->blocks);
}

Result<void> Backing::drop(u64 key) {
    const Lock lock(state_->mutex);
    if (state_->blocks.erase(key) == 0) return refuse(Code::not_found, "block", key, 0);
    return {};
}

u64 Backing::calls() const {
    const Lock lock(state_->mutex);
    return state_->calls;
}
}  // namespace vramd::device::sim
