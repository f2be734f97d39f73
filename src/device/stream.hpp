/// Fills and copies large runs of memory without reading what they overwrite first.
///
/// An ordinary store fetches its cache line before it changes it; for megabytes that are written once, that is a third to a half of the
/// traffic. Non-temporal stores skip it: measured 2.3 times memset and 1.5 times memcpy on one processor, as fast as memset on another
/// (docs/notes/0002-host-memory.md). The bytes are not left in the cache, so small pieces, which are likely read soon, go through memset
/// and memcpy. Where the processor is not x86-64 all do.
#pragma once
#include <cstddef>
#include <span>

#include "base/types.hpp"

namespace vramd::device {
/// From this size on the stores are non-temporal.
inline constexpr u64 stream_min_bytes = mib;

inline constexpr u64 line_bytes = 64;

/// One way to fill whole cache lines past the cache.
struct LineFill {
    enum class Values : u8 { any, zero };
    const char* name = "";
    Values values = Values::any;  ///< Which values it can fill with.
    /// Fills `bytes`, a multiple of `line_bytes`, from `lines` on, which is a multiple of it too. Its stores are ordered when it returns.
    void (*fill)(std::byte* lines, u64 bytes, std::byte value) = nullptr;
};
/// The ways that this processor has, the best one first; none where it is not x86-64. Valid for ever.
[[nodiscard]] std::span<const LineFill> line_fills();

/// Sets every byte to `value`. The stores are done (ordered before later ones of this thread) when it returns.
void stream_fill(std::span<std::byte> target, std::byte value);
/// Copies `source` to `target`, which do not overlap and have one size.
void stream_copy(std::span<std::byte> target, std::span<const std::byte> source);
}  // namespace vramd::device
