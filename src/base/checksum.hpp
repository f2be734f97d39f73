/// One checksum for everything that vramd checks against accident: XXH3 with 64 bits. Not a defence against forgery.
/// Source: xxHash, https://github.com/Cyan4973/xxHash (Debian's libxxhash).
#pragma once
#include <span>

#include "base/types.hpp"

namespace vramd {
/// XXH3_64bits of the bytes, seed 0.
[[nodiscard]] u64 checksum(std::span<const std::byte> bytes);
/// XXH3_64bits with a seed; chains a header's sum into its payload's.
[[nodiscard]] u64 checksum(std::span<const std::byte> bytes, u64 seed);
}  // namespace vramd
