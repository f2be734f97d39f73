/// Trial copies: whether the device keeps bytes, and how fast it copies them. Internal to the room.
#pragma once
#include "device/d3d12/channel.hpp"

namespace vramd::device::d3d12 {
/// Writes random bytes through the channel, which is at least 64 KiB long, and whether they come back. Errors: of the channel.
[[nodiscard]] Result<bool> keeps_bytes(HeapChannel& channel);

/// By copies of staging buffers alone, as nobody else uses the device. Errors: `insufficient_memory`, `device_lost`, `system_failed`.
[[nodiscard]] Result<CopyRates> measure_rates(const HeapChannel::Ways& ways);
}  // namespace vramd::device::d3d12
