/// The promises of `Plan`, checked again from outside: for tests and fuzzers, and for whoever receives a plan from another process.
#pragma once
#include "formats/model_file.hpp"

namespace vramd::formats {
/// Success if the plan keeps every promise in model_file.hpp for files of these sizes (in the order of `plan.files`).
/// Errors: `invalid_model`, naming the promise. O(n log n).
[[nodiscard]] Result<void> audit(const Plan& plan, std::span<const u64> file_sizes);
}  // namespace vramd::formats
