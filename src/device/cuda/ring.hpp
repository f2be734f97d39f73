/// Pinned memory that the GPU's copy engines read and write by themselves, in slots that copies take turns with.
///
/// Why slots of 16 MiB: pinning keeps all other threads' driver calls waiting while it lasts, 0.9 ms for so much; and pieces of that size
/// reach 97 % of the link. Each slot is made when it is first needed. A copy of memory that nobody pinned costs one copy by the processor,
/// which runs while the piece before is on its way.
#pragma once
#include "device/channel.hpp"
#include "device/cuda/context.hpp"

namespace vramd::device::cuda {
/// Thread-safe. Outlives its slots.
class Ring {
public:
    static constexpr u64 slot_bytes = stage_bytes_min;
    static constexpr u64 slots_max = 16;

    explicit Ring(std::shared_ptr<Context> context) : context_(std::move(context)) {}
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    /// A slot with a lane, one's own until it goes; nothing may be under way in it by then.
    class Slot {
    public:
        Slot(Ring& ring, std::byte* memory, Context::LanePointer lane) : ring_(ring), memory_(memory), lane_(std::move(lane)) {}
        ~Slot() { ring_.keep(memory_); }
        Slot(const Slot&) = delete;
        Slot& operator=(const Slot&) = delete;
        [[nodiscard]] std::span<std::byte> bytes() const { return {memory_, slot_bytes}; }
        [[nodiscard]] const Lane& lane() const { return *lane_; }

    private:
        Ring& ring_;
        std::byte* memory_;
        Context::LanePointer lane_;
    };
    /// Waits until one is free. Errors: `insufficient_memory` (none could ever be made), `device_lost`.
    [[nodiscard]] Result<std::unique_ptr<Slot>> take();

private:
    [[nodiscard]] Result<std::byte*> take_memory();
    [[nodiscard]] Result<std::byte*> make();
    void keep(std::byte* memory);

    const std::shared_ptr<Context> context_;
    Mutex mutex_;
    std::condition_variable_any returned_;
    std::vector<std::byte*> free_ GUARDED_BY(mutex_);
    u64 made_ GUARDED_BY(mutex_) = 0;
};
}  // namespace vramd::device::cuda
