/// vramctl from its command line to its exit code.
#pragma once

namespace vramd::cli {
/// Runs the verb that argv names. Returns the process's exit code (failure.hpp).
[[nodiscard]] int run(int argc, const char* const* argv);
}  // namespace vramd::cli
