/// A process that has begun the NVIDIA driver and does nothing else. While it lives any other process on the machine begins the driver three times faster
/// (docs/notes/0010-a-death-is-heard.md), so the cores that follow one another have their GPUs sooner. It holds no memory of theirs and no context.
#pragma once
#include <filesystem>

#include "base/types.hpp"

namespace vramd::program {
/// What the program is called with to become one, as its only argument.
inline constexpr const char* primer_argument = "--gpu-primer";

/// Starts one for this keeper's life unless one runs: a lock on a file beside the ledger tells. It is no child of this process and ends with the keeper.
/// That none could be started is no loss but of time.
void start_primer(const std::filesystem::path& state_directory, i32 keeper_pid);

/// The primer's own life: returns when the keeper has ended, or at once where there is no driver. Takes what `start_primer` gave it.
int be_primer();
}  // namespace vramd::program
