/// A model file's tensors without a daemon: the same confined loading process reads the header, for a file on this disk is as untrusted
/// here as there.
#pragma once
#include <string>

#include "cli/failure.hpp"

namespace vramd::cli {
/// Whether the word means a file: it has a '/' in it, or such a file is there. A loaded model's name means the model otherwise.
[[nodiscard]] bool means_file(const std::string& word);

/// JSON {file, format, memoryBytes, tensorBytes, items [{name, dtype, shape, offsetBytes, sizeBytes}]}, the items as the daemon tells them;
/// memoryBytes is what a load takes. Shards and external data are found beneath the file's own folder. Blocks, at most 20 s. Errors: not
/// found (no file, no vramd-worker beside this program), failed (no model, with the reader's reason).
[[nodiscard]] Told<std::string> describe_model_file(const std::string& path);
}  // namespace vramd::cli
