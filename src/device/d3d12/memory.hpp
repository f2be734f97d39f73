/// One heap of a device's own memory, and the buffers placed on it by which its bytes are reached. Internal to the room.
///
/// A buffer covers at most a GiB: drivers make none of 4 GiB and more. Neither runtime refuses a buffer at a wrong offset or beyond the
/// heap's end (seen with both), so it is done here.
#pragma once
#include <algorithm>

#include "device/d3d12/context.hpp"

namespace vramd::device::d3d12 {
/// What a placed buffer begins at a multiple of (D3D12_DEFAULT_RESOURCE_PLACEMENT_ALIGNMENT); heaps are so many bytes too.
inline constexpr u64 placement_bytes = 64 * kib;

/// A buffer's description.
[[nodiscard]] D3D12_RESOURCE_DESC buffer_of(u64 size_bytes, D3D12_RESOURCE_FLAGS flags);

/// A buffer on [`offset_bytes`, + `size_bytes`) of a heap of `heap_bytes`.
/// Errors: `invalid_field` (the offset is no multiple of `placement_bytes`, or the size 0), `out_of_range`, as `Context::check`.
[[nodiscard]] Result<Com<ID3D12Resource>> place(Context& context, ID3D12Heap& heap, u64 heap_bytes, u64 offset_bytes, u64 size_bytes);

/// Thread-safe. Its memory goes back when it ends.
class Memory {
public:
    static constexpr u64 window_bytes = gib;
    /// What is in it may be anything. Errors: `insufficient_memory`, `device_lost`, `system_failed`.
    [[nodiscard]] static Result<std::shared_ptr<Memory>> make(std::shared_ptr<Context> context, u64 size_bytes);
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
    /// The buffer that a byte lies in, where in it, and how many bytes follow it there at most. `offset_bytes` is below the size.
    struct Place {
        ID3D12Resource* buffer;
        u64 offset_bytes;
        u64 room_bytes;
    };
    [[nodiscard]] Place at(u64 offset_bytes) const {
        const u64 in_window = offset_bytes % window_bytes;
        return {windows_[offset_bytes / window_bytes].get(), in_window, std::min(window_bytes - in_window, size_bytes_ - offset_bytes)};
    }

private:
    Memory(std::shared_ptr<Context> context, u64 size_bytes) : context_(std::move(context)), size_bytes_(size_bytes) {}
    const std::shared_ptr<Context> context_;
    const u64 size_bytes_;
    Com<ID3D12Heap> heap_;
    std::vector<Com<ID3D12Resource>> windows_;
};
}  // namespace vramd::device::d3d12
