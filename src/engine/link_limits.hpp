/// What the machine's links can do, kept in a file beside the ledger: measuring takes all processors for a moment, so a restart tells the
/// last figures, with their date, until it has measured anew.
#pragma once
#include <filesystem>
#include <optional>

#include "transfer/engine.hpp"

namespace vramd::engine {
struct LinkLimits {
    transfer::Limits limits;
    u64 measured_wall_ns = 0;
};
/// The figures that `keep_link_limits` wrote; nothing where there are none or the file is not of its form.
[[nodiscard]] std::optional<LinkLimits> kept_link_limits(const std::filesystem::path& file);
/// Writes them aside and renames. A file that cannot be written is no loss: the next start measures.
void keep_link_limits(const std::filesystem::path& file, const LinkLimits& limits);
}  // namespace vramd::engine
