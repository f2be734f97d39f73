#include "base/checksum.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace vramd {
u64 checksum(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }
u64 checksum(std::span<const std::byte> bytes, u64 seed) { return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed); }
}  // namespace vramd
