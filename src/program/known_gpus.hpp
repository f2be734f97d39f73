/// What a core found out about its GPUs, for the next cores of the same keeper: with it they serve before the driver has begun.
///
/// A file beside the ledger, written whole: the word `vramd-gpus-2` and the keeper's life, then a line for each GPU with fields between
/// tabs: how it was asked for, index, capacity and granularity in bytes, name, driver, UUID. A file that is not of this life, or cannot be read,
/// is none.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "device/cuda/cuda.hpp"

namespace vramd::program {
/// By how each was asked for: `asked_as`.
using KnownGpus = std::map<std::string, device::cuda::Known>;

/// The setting that a GPU comes of, in one word: another size is another question.
[[nodiscard]] std::string asked_as(const device::Spec& spec);
[[nodiscard]] KnownGpus read_known_gpus(const std::filesystem::path& file, u64 life);
/// What cannot be written is found out anew by the next core.
void keep_known_gpus(const std::filesystem::path& file, u64 life, const KnownGpus& gpus);
}  // namespace vramd::program
