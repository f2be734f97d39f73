/// A GPU put to the test: whether bytes come back from it as they went there, and how fast its own copies are. Room-internal.
#pragma once
#include "device/cuda/channel.hpp"

namespace vramd::device::cuda {
/// Writes and reads back 64 KiB at the beginning of the channel's block, which are one's own meanwhile. True if they are the same.
/// Errors: `device_lost`.
[[nodiscard]] Result<bool> keeps_bytes(CudaChannel& channel);

/// Copies and fills for some 60 ms in all, in 128 MiB of the GPU's memory, more than its caches hold; of that, work on this memory alone,
/// which holds up others' kernels, some 15 ms. `spare_bytes`: what nobody could be refused for it.
/// Errors: `insufficient_memory`, `device_lost`, `system_failed`.
[[nodiscard]] Result<CopyRates> measure_rates(const CudaChannel::Ways& ways, u64 spare_bytes);
}  // namespace vramd::device::cuda
