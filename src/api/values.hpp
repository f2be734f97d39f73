/// Numbers and times as answers show them, exact in both directions: no floating point anywhere in the books or on the wire.
#pragma once
#include <compare>
#include <string>

#include "base/types.hpp"

namespace vramd::api {
/// A decimal number with a fixed count of decimals, kept as an integer of its smallest unit.
template <class Tag, u32 Decimals, u64 UnitsMax>
struct Fixed {
    static constexpr u32 decimals = Decimals;
    static constexpr u64 units_max = UnitsMax;
    u64 units = 0;
    auto operator<=>(const Fixed&) const = default;
};

/// 0.00 to 100.00, in hundredths.
using Percentage = Fixed<struct PercentageTag, 2, 100'00>;
/// A duration in milliseconds with three decimals, in microseconds.
using Milliseconds = Fixed<struct MillisecondsTag, 3, number_max>;
/// MiB with two decimals, in hundredths; the worker's `…Mb` fields.
using Mebibytes = Fixed<struct MebibytesTag, 2, number_max>;
/// A rate or ratio with two decimals, in hundredths.
using Rate = Fixed<struct RateTag, 2, number_max>;

/// `part` of `whole` in hundredths of a percent, rounded down; 0 of 0 is 0. `part` beyond `whole` counts as all of it.
[[nodiscard]] constexpr Percentage percentage_of(u64 part, u64 whole) {
    if (whole == 0) return {};
    return {static_cast<u64>(u128{part < whole ? part : whole} * 100'00 / whole)};
}
[[nodiscard]] constexpr Milliseconds milliseconds_of_ns(u64 duration_ns) { return {duration_ns / 1000}; }
[[nodiscard]] constexpr Mebibytes mebibytes_of(u64 size_bytes) { return {static_cast<u64>(u128{size_bytes} * 100 / mib)}; }

/// A moment in UTC, shown as RFC 3339 with milliseconds. Years 1970 to 9999.
struct Time {
    u64 unix_ms = 0;
    auto operator<=>(const Time&) const = default;
};
[[nodiscard]] constexpr Time time_of_ns(u64 wall_ns) { return {wall_ns / 1'000'000}; }
inline constexpr u64 unix_ms_max = 253'402'300'799'999;  ///< 9999-12-31T23:59:59.999Z
}  // namespace vramd::api
