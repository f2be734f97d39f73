#include "cli/figures.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace vramd::cli {
namespace {
constexpr std::array<std::string_view, 7> units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

template <class... A>
std::string format(const char* pattern, A... values) {
    char text[128];
    const int size = std::snprintf(text, sizeof text, pattern, values...);
    return std::string(text, static_cast<std::size_t>(std::max(size, 0)));
}

/// The power of 1024 that a unit stands for.
std::optional<u32> unit_power(std::string_view unit) {
    std::string lower;
    for (const char c : unit) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    if (lower.empty() || lower == "b") return 0;
    const std::size_t power = std::string_view("kmgtpe").find(lower[0]);
    const std::string_view rest = std::string_view(lower).substr(1);
    if (power == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib")) return std::nullopt;
    return static_cast<u32>(power) + 1;
}
}  // namespace

Result<u64> parse_size(std::string_view text) {
    const auto wrong = [&](const char* why) {
        return refuse(Code::invalid_field, "size", "'" + std::string(text) + "' is not a size: " + why + ". Write 4096, 512MiB or 2G.");
    };
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto [after_number, failed] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    if (failed != std::errc{} || number < 0 || !std::isfinite(number)) return wrong("it does not begin with a number");
    const auto power = unit_power(std::string_view(after_number, static_cast<std::size_t>(end - after_number)));
    if (!power) return wrong("its unit is not known");
    u64 whole = 0;
    // Whole numbers stay exact beyond the 53 bits that a double holds.
    const auto [after_whole, overflowed] = std::from_chars(text.data(), after_number, whole);
    if (after_whole == after_number) {
        if (overflowed != std::errc{}) return wrong("it is too large");
        const u64 factor = u64{1} << (10 * *power);
        if (whole > number_max / factor) return wrong("it is too large");
        return whole * factor;
    }
    const double bytes = std::ldexp(number, static_cast<int>(10 * *power));
    if (bytes > 9.2e18) return wrong("it is too large");
    if (bytes != std::floor(bytes)) return wrong("it is no whole number of bytes");
    return static_cast<u64>(bytes);
}

std::string size_text(u64 bytes) {
    if (bytes < 1024) return std::to_string(bytes) + " B";
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1023.5 && unit + 1 < units.size()) {  // 1023.6 KiB would be rounded to four figures.
        value /= 1024;
        ++unit;
    }
    const char* const pattern = value < 9.995 ? "%.2f " : value < 99.95 ? "%.1f " : "%.0f ";
    return format(pattern, value) + std::string(units[unit]);
}

std::string rate_text(u64 bytes_per_second) { return size_text(bytes_per_second) + "/s"; }

std::string percentage_text(double percentage) { return format("%.1f %%", percentage); }

std::string duration_text(double milliseconds) {
    if (milliseconds < 9.995) return format("%.2f ms", milliseconds);
    if (milliseconds < 999.5) return format("%.0f ms", milliseconds);
    const double seconds = milliseconds / 1000;
    if (seconds < 59.95) return format("%.1f s", seconds);
    const auto whole = static_cast<u64>(seconds + 0.5);
    if (whole < 3600)
        return format("%llu min %llu s", static_cast<unsigned long long>(whole / 60), static_cast<unsigned long long>(whole % 60));
    if (whole < 86'400)
        return format("%llu h %llu min", static_cast<unsigned long long>(whole / 3600), static_cast<unsigned long long>(whole % 3600 / 60));
    return format("%llu d %llu h", static_cast<unsigned long long>(whole / 86'400), static_cast<unsigned long long>(whole % 86'400 / 3600));
}

std::optional<double> parse_time(std::string_view text) {
    std::tm parts{};
    double seconds = 0;
    const std::string copy(text);
    char zone = 0;
    if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%lf%c", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour, &parts.tm_min,
                    &seconds, &zone) != 7 ||
        zone != 'Z')
        return std::nullopt;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    return static_cast<double>(timegm(&parts)) + seconds;
}

std::string relative_time_text(std::string_view time, double now_seconds) {
    const auto seconds = parse_time(time);
    if (!seconds) return std::string(time);
    const double ago = now_seconds - *seconds;
    const auto distance = static_cast<u64>(std::fabs(ago) + 0.5);
    std::string text;
    if (distance == 0) return "now";
    if (distance < 60)
        text = std::to_string(distance) + " s";
    else if (distance < 3600)
        text = std::to_string(distance / 60) + " min";
    else if (distance < 86'400)
        text = std::to_string(distance / 3600) + " h";
    else
        text = std::to_string(distance / 86'400) + " d";
    return ago > 0 ? text + " ago" : "in " + text;
}

std::string bar_text(double percentage, u32 cells) {
    const double share = std::clamp(percentage, 0.0, 100.0) / 100;
    auto filled = static_cast<u32>(share * cells + 0.5);
    if (filled == 0 && share > 0) filled = 1;              // Something is not nothing,
    if (filled == cells && share < 1) filled = cells - 1;  // and not quite full is not full.
    return "[" + std::string(filled, '#') + std::string(cells - filled, '-') + "]";
}
}  // namespace vramd::cli
