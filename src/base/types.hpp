/// The integer names that every room uses, and nothing else.
#pragma once
#include <cstddef>
#include <cstdint>

namespace vramd {
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
__extension__ using u128 = unsigned __int128;

inline constexpr u64 kib = 1024;
inline constexpr u64 mib = 1024 * kib;
inline constexpr u64 gib = 1024 * mib;
/// A page of memory, on every machine that this is built for.
inline constexpr u64 page_bytes = 4 * kib;

/// The largest byte count or number that a request may name (contract: 0 … 2^63 − 1).
inline constexpr u64 number_max = (u64{1} << 63) - 1;

/// `value` rounded up to a multiple of `step` (> 0). The caller keeps the result below 2^64.
[[nodiscard]] constexpr u64 round_up(u64 value, u64 step) { return (value + step - 1) / step * step; }
/// `value` rounded down to a multiple of `step` (> 0).
[[nodiscard]] constexpr u64 round_down(u64 value, u64 step) { return value / step * step; }
/// The quotient rounded up.
[[nodiscard]] constexpr u64 div_ceil(u64 value, u64 divisor) { return value / divisor + (value % divisor != 0 ? 1 : 0); }
}  // namespace vramd
