/// Completion of a command line: verbs, flags, and the daemon's live ids and names. Silent, and quick to give up, when the daemon is down.
#pragma once
#include <string>
#include <vector>

namespace vramd::cli {
/// Prints one candidate a line for the last of `words`; those before it are complete. `words` is what stands after "vramctl".
void complete(const std::vector<std::string>& words);
/// The candidates themselves.
[[nodiscard]] std::vector<std::string> completions(const std::vector<std::string>& words);
}  // namespace vramd::cli
