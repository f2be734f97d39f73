#include "cli/version.hpp"

namespace vramd::cli {
// VRAMD_VERSION is defined for this file alone (cmake/programs.cmake), so that a new version compiles one file.
std::string_view own_version() { return VRAMD_VERSION; }
}  // namespace vramd::cli
