/// Sizes, rates, shares and times as people write and read them.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vramd::cli {
/// "512MiB", "2G", "1.5GiB", "4096": bytes. Units are binary with and without the "i" (K, KB, KiB …), case does not matter.
/// Errors: `invalid_field`, in words.
[[nodiscard]] Result<u64> parse_size(std::string_view text);

/// Three figures and a binary unit: "0 B", "999 B", "1.50 GiB", "15.0 GiB", "150 GiB".
[[nodiscard]] std::string size_text(u64 bytes);
/// size_text per second.
[[nodiscard]] std::string rate_text(u64 bytes_per_second);
/// "12.5 %".
[[nodiscard]] std::string percentage_text(double percentage);
/// "0.42 ms", "310 ms", "4.2 s", "3 min 20 s", "2 h 5 min".
[[nodiscard]] std::string duration_text(double milliseconds);

/// Seconds since 1970 of an RFC 3339 time in UTC ("2026-01-31T08:15:30.250Z"), if it is one.
[[nodiscard]] std::optional<double> parse_time(std::string_view text);
/// "now", "12 s ago", "3 min ago", "in 40 s"; the text itself when it is no time.
[[nodiscard]] std::string relative_time_text(std::string_view time, double now_seconds);

/// `cells` cells wide, filled by `percentage` (0–100, clamped): "[####------]".
[[nodiscard]] std::string bar_text(double percentage, u32 cells);
}  // namespace vramd::cli
