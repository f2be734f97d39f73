/// The folders that models may be loaded from, and the way from a caller's path to an open file beneath one.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/ports.hpp"

namespace vramd::engine {
/// A model file, open, and the folder that it lies in (for its shards and external data).
struct OpenModel {
    std::string name;  ///< Without folders.
    Fd file;
    Fd folder;
};

/// Immutable; safe to share between threads.
class ModelFolders {
public:
    /// The folders as the operator named them; those that do not exist are passed over at each use, so that they may come later.
    explicit ModelFolders(std::vector<std::filesystem::path> folders);

    /// `path` is relative to one of the folders (the first that has it), or absolute beneath one. The kernel resolves it (openat2), with
    /// no way out by links or "..". Errors: `path_not_allowed`, `not_found`, `system_failed`.
    [[nodiscard]] Result<OpenModel> open(std::string_view path) const;

    /// Every model file beneath the folders, by folder and path. Links are not followed; at most `files_max` files, `depth_max` deep.
    [[nodiscard]] std::vector<Loading::File> files() const;
    static constexpr std::size_t files_max = 10'000;
    static constexpr int depth_max = 8;

private:
    std::vector<std::filesystem::path> folders_;
};
}  // namespace vramd::engine
