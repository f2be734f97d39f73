/// How bytes come to a heap and back: through staging buffers, by the device's copy queue. Internal to the room.
#pragma once
#include <atomic>

#include "device/channel.hpp"
#include "device/d3d12/memory.hpp"
#include "device/d3d12/ring.hpp"

namespace vramd::device::d3d12 {
/// A block's memory and whether it may be written still; shared by the device and its channels.
struct Block {
    std::shared_ptr<Memory> memory;
    std::atomic<bool> sealed = false;
};

class HeapChannel final : public Channel {
public:
    /// What copies go by: shared by all channels of a device.
    struct Ways {
        std::shared_ptr<Context> context;
        std::shared_ptr<Ring> ring;
    };
    HeapChannel(const Ways& ways, std::shared_ptr<Block> block) : context_(ways.context), ring_(ways.ring), block_(std::move(block)) {}

    u64 size_bytes() const override { return block_->memory->size_bytes(); }
    Result<void> write(u64 offset_bytes, std::span<const std::byte> from) override;
    Result<void> read(u64 offset_bytes, std::span<std::byte> into) override;
    Result<void> fill(u64 offset_bytes, u64 size_bytes, std::byte value) override;
    Result<void> copy_from(u64 offset_bytes, const Channel& source, u64 source_offset_bytes, u64 size_bytes) override;
    Result<std::unique_ptr<Stage>> stage() override;

private:
    class HeapStage;
    [[nodiscard]] Result<void> check_writable() const;
    [[nodiscard]] Result<void> check_range(u64 offset_bytes, u64 size_bytes) const;
    /// Begins to copy a slot's bytes to the block, or the block's to the slot. The ranges were checked.
    [[nodiscard]] Result<void> begin_to_block(Ring::Slot& slot, u64 slot_bytes, u64 to_bytes, u64 size_bytes);
    [[nodiscard]] Result<void> begin_from_block(Ring::Slot& slot, u64 from_bytes, u64 size_bytes) const;
    [[nodiscard]] Result<void> copy_within(u64 offset_bytes, u64 source_offset_bytes, u64 size_bytes);

    const std::shared_ptr<Context> context_;
    const std::shared_ptr<Ring> ring_;
    const std::shared_ptr<Block> block_;
};
}  // namespace vramd::device::d3d12
