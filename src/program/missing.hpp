/// What this process is not given and would need, in words for who operates it: said at a keeper's first start. `vramctl doctor` tells the
/// same of the place where it is run; in a container that is another.
#pragma once
#include <string>
#include <vector>

namespace vramd::program {
/// A sentence with its remedy for each: locked memory, open files, Landlock. Empty: nothing is missing.
[[nodiscard]] std::vector<std::string> what_is_missing();
}  // namespace vramd::program
