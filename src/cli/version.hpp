/// This program's version, as CMake's project() has it.
#pragma once
#include <string_view>

namespace vramd::cli {
[[nodiscard]] std::string_view own_version();
}  // namespace vramd::cli
