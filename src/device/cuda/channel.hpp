/// How bytes come to GPU memory and back: through the ring's slots, piece by piece, so that the processor copies one piece while the GPU
/// copies the one before. Internal to the room.
#pragma once
#include <atomic>

#include "device/channel.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/pins.hpp"
#include "device/cuda/ring.hpp"

namespace vramd::device::cuda {
/// A block's memory and whether it may be written still; shared by the device and its channels.
struct Block {
    std::shared_ptr<Memory> memory;
    std::atomic<bool> sealed = false;
};

class CudaChannel final : public Channel {
public:
    /// What copies go by: shared by all channels of a device.
    struct Ways {
        std::shared_ptr<Context> context;
        std::shared_ptr<Ring> ring;
        std::shared_ptr<Pins> pins;
    };
    CudaChannel(const Ways& ways, std::shared_ptr<Block> block, Address address)
        : context_(ways.context), ring_(ways.ring), pins_(ways.pins), block_(std::move(block)), address_(address) {}

    u64 size_bytes() const override { return block_->memory->size_bytes(); }
    Result<void> write(u64 offset_bytes, std::span<const std::byte> from) override;
    Result<void> read(u64 offset_bytes, std::span<std::byte> into) override;
    Result<void> fill(u64 offset_bytes, u64 size_bytes, std::byte value) override;
    Result<void> copy_from(u64 offset_bytes, const Channel& source, u64 source_offset_bytes, u64 size_bytes) override;
    Result<std::unique_ptr<Stage>> stage() override;

private:
    class CudaStage;
    [[nodiscard]] Result<void> check_writable() const;
    [[nodiscard]] Result<Address> at(u64 offset_bytes, u64 size_bytes) const;
    [[nodiscard]] Result<void> write_pinned(const Pin& pin, Address to, std::span<const std::byte> from);
    [[nodiscard]] Result<void> read_pinned(const Pin& pin, Address from, std::span<std::byte> into);
    [[nodiscard]] Result<void> write_slot(const Ring::Slot& slot, Address to, std::span<const std::byte> from);
    [[nodiscard]] Result<void> read_slot(const Ring::Slot& slot, Address from, std::span<std::byte> into);
    /// Nothing of the lane is under way after this, whatever `done` says.
    [[nodiscard]] Result<void> settle(const Lane& lane, StreamPointer stream, Result<void> done);

    const std::shared_ptr<Context> context_;
    const std::shared_ptr<Ring> ring_;
    const std::shared_ptr<Pins> pins_;
    const std::shared_ptr<Block> block_;
    const Address address_;
};
}  // namespace vramd::device::cuda
