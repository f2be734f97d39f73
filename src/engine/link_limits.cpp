#include "engine/link_limits.hpp"

#include <fstream>

namespace vramd::engine {
namespace {
constexpr std::string_view form = "vramd-link-limits-1";  // Of the file: this word, copy and zero in bytes per second, nanoseconds of 1970.
}

std::optional<LinkLimits> kept_link_limits(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::string word;
    LinkLimits kept;
    in >> word >> kept.limits.copy_bytes_per_second >> kept.limits.zero_bytes_per_second >> kept.measured_wall_ns;
    if (!in || word != form || kept.limits.copy_bytes_per_second == 0 || kept.limits.zero_bytes_per_second == 0) return std::nullopt;
    return kept;
}

void keep_link_limits(const std::filesystem::path& file, const LinkLimits& limits) {
    std::filesystem::path aside = file;
    aside += ".new";
    {
        std::ofstream out(aside, std::ios::trunc);
        out << form << ' ' << limits.limits.copy_bytes_per_second << ' ' << limits.limits.zero_bytes_per_second << ' '
            << limits.measured_wall_ns << '\n';
        if (!out.flush()) return;
    }
    std::error_code ignored;  // Then the old one stays.
    std::filesystem::rename(aside, file, ignored);
}
}  // namespace vramd::engine
