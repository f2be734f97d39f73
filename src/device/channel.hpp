/// A way to the bytes of a block that the processor cannot see: the device's own copies.
///
/// A device whose `map` answers `unsupported` is a `Channels` too. What it copies has arrived when a call returns, and nothing of the block
/// or of the caller's memory is touched by the device any more: so a block can be unmapped once its last channel and stage are gone,
/// without a wait. A call that outlasts the device's patience makes it lost.
///
/// Invariants: 1. A channel keeps its block's memory alive, through the block's release too. 2. Calls on distinct ranges may run at once.
/// 3. No byte outside the asked range is written.
#pragma once
#include <memory>
#include <span>

#include "device/device.hpp"

namespace vramd::device {
/// Memory that the device's copy engine reads by itself, lent by it. Filled by the caller, then sent piece by piece.
class Stage {
public:
    Stage() = default;
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;
    /// Waits for what was sent.
    virtual ~Stage() = default;
    /// Aligned to a page; what was there before may be anything.
    [[nodiscard]] virtual std::span<std::byte> bytes() = 0;
    /// Begins to bring [`offset_bytes`, + `size_bytes`) of this memory to `to_bytes` of the block: unchanged until `wait`.
    /// Errors: `out_of_range`, `device_lost`.
    [[nodiscard]] virtual Result<void> send(u64 offset_bytes, u64 size_bytes, u64 to_bytes) = 0;
    /// Returns when all that was sent has arrived. Errors: `device_lost`.
    [[nodiscard]] virtual Result<void> wait() = 0;
};

/// The bytes of one block. All calls may come from any thread. Errors of all: `out_of_range`, `device_lost`.
class Channel {
public:
    Channel() = default;
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    virtual ~Channel() = default;
    [[nodiscard]] virtual u64 size_bytes() const = 0;
    /// Errors: `conflict` once the block is sealed for sharing.
    [[nodiscard]] virtual Result<void> write(u64 offset_bytes, std::span<const std::byte> from) = 0;
    [[nodiscard]] virtual Result<void> read(u64 offset_bytes, std::span<std::byte> into) = 0;
    /// Errors: `conflict` once the block is sealed for sharing.
    [[nodiscard]] virtual Result<void> fill(u64 offset_bytes, u64 size_bytes, std::byte value) = 0;
    /// Bytes of another block of the same device, or of this one where both ranges do not overlap.
    /// Errors: `unsupported` (the source is of another device), `conflict` once this block is sealed for sharing.
    [[nodiscard]] virtual Result<void> copy_from(u64 offset_bytes, const Channel& source, u64 source_offset_bytes, u64 size_bytes) = 0;
    /// Memory to be filled and sent into this block; waits until some is free. The channel outlives it.
    /// Errors: `conflict` once the block is sealed for sharing, `insufficient_memory`.
    [[nodiscard]] virtual Result<std::unique_ptr<Stage>> stage() = 0;
};
/// What every stage holds at least.
inline constexpr u64 stage_bytes_min = 16 * mib;

/// What a device's own copies reach at best, in bytes per second.
struct CopyRates {
    u64 from_system = 0;
    u64 to_system = 0;
    u64 within = 0;  ///< Bytes copied, each read once and written once.
    u64 fill = 0;
    bool operator==(const CopyRates&) const = default;
};

/// Whether a device that is still beginning is waited for.
enum class Patience : u8 { wait, none };

/// What a device without "map" is beside `Device`.
class Channels {
public:
    Channels() = default;
    Channels(const Channels&) = delete;
    Channels& operator=(const Channels&) = delete;
    virtual ~Channels() = default;
    /// Errors: `not_found`, `device_lost`, `busy` (it is not ready yet, and there was no patience, or not enough).
    [[nodiscard]] virtual Result<std::shared_ptr<Channel>> open_channel(u64 key, Patience patience) = 0;
    /// Lets the device read this memory of another device by itself, as far as it can, so that copies of it cost less: in the background,
    /// and kept mapped until `unpin`. `key` is the block's on its own device.
    virtual void pin(u64 key, Mapping memory) = 0;
    /// Lets go of it soon; nothing if there is none.
    virtual void unpin(u64 key) = 0;
    /// As they were measured when it began, before anybody used it.
    /// Errors: `unsupported`, `busy` (it is not ready yet), `insufficient_memory` (there was none to spare), `device_lost`.
    [[nodiscard]] virtual Result<CopyRates> rates() = 0;
};

/// Whether the processor sees the device's memory: then it is reached by `map`, and by no channel.
[[nodiscard]] bool is_seen(const Device& device);

/// Errors: `unsupported` (its memory is seen through `map`), and as `Channels::open_channel`.
[[nodiscard]] Result<std::shared_ptr<Channel>> channel_to(Device& device, u64 key, Patience patience = Patience::wait);

/// As `Channels::pin` and `unpin`; nothing for a device whose memory the processor sees.
void pin_for(Device& device, u64 key, const Mapping& memory);
void unpin_for(Device& device, u64 key);
/// As `Channels::rates`; `unsupported` for a device whose memory the processor sees.
[[nodiscard]] Result<CopyRates> rates_of(Device& device);
}  // namespace vramd::device
