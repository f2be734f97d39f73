/// Fills and copies large runs of memory without reading what they overwrite first.
///
/// An ordinary store fetches its cache line before it changes it; for megabytes that are written once, that is a third to a half of the
/// traffic. Non-temporal stores skip it: measured here 2.3 times memset and 1.5 times memcpy (docs/notes/0002-host-memory.md). The bytes
/// are not left in the cache, so small pieces, which are likely read soon, go through memset and memcpy. Where the processor is not x86-64
/// all do.
#pragma once
#include <cstddef>
#include <span>

#include "base/types.hpp"

namespace vramd::device {
/// From this size on the stores are non-temporal.
inline constexpr u64 stream_min_bytes = mib;

/// Sets every byte to `value`. The stores are done (ordered before later ones of this thread) when it returns.
void stream_fill(std::span<std::byte> target, std::byte value);
/// Copies `source` to `target`, which do not overlap and have one size.
void stream_copy(std::span<std::byte> target, std::span<const std::byte> source);
}  // namespace vramd::device
