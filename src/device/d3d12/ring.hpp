/// Staging buffers with a command list each, which copies take turns with. Internal to the room.
#pragma once
#include <span>

#include "device/channel.hpp"
#include "device/d3d12/context.hpp"

namespace vramd::device::d3d12 {
/// Thread-safe. Outlives its slots.
class Ring {
public:
    static constexpr u64 slot_bytes = stage_bytes_min;
    enum class Way : u8 {
        up,      ///< On an upload heap: written by the processor, read by the device.
        down,    ///< On a readback heap, the other way round.
        within,  ///< On a default heap, which the processor does not see.
    };
    static constexpr std::size_t ways = 3;
    /// Of each way; up for all who read files at once.
    static constexpr std::array<u64, ways> slots_max{8, 4, 2};

    explicit Ring(std::shared_ptr<Context> context) : context_(std::move(context)) {}
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    struct Slot {
        Way way = Way::up;
        Com<ID3D12Resource> buffer;
        u64 begin_bytes = 0;          ///< Where in the buffer its bytes begin: at a page's border, which a driver's need not be.
        std::byte* mapped = nullptr;  ///< Of `up` alone: where the processor sees `begin_bytes`, for as long as it lives.
        Lane lane;

        [[nodiscard]] std::span<std::byte> bytes() const { return {mapped, slot_bytes}; }
    };
    struct GiveBack {
        Ring* ring = nullptr;
        void operator()(Slot* slot) const { ring->keep(slot); }
    };
    using SlotPointer = std::unique_ptr<Slot, GiveBack>;
    /// One's own until it goes; nothing may be under way in it by then. Waits until one is free.
    /// Errors: `insufficient_memory` (none could ever be made), `device_lost`, `system_failed`.
    [[nodiscard]] Result<SlotPointer> take(Way way);

private:
    [[nodiscard]] Result<std::unique_ptr<Slot>> make(Way way);
    void keep(Slot* slot);
    void end(Slot& slot);

    const std::shared_ptr<Context> context_;
    Mutex mutex_;
    std::condition_variable_any returned_;
    std::array<std::vector<std::unique_ptr<Slot>>, ways> free_ GUARDED_BY(mutex_);
    std::array<u64, ways> made_ GUARDED_BY(mutex_){};
};
}  // namespace vramd::device::d3d12
