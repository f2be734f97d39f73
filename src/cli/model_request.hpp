/// What is said of a model file to the daemon.
#pragma once
#include <string>
#include <string_view>

namespace vramd::cli {
/// The file's name without folder and ending.
[[nodiscard]] std::string name_of_file(std::string_view path);
/// The path as the daemon is to see it: "./x" and "../x" are meant from where the user stands, not from the model folder.
[[nodiscard]] std::string path_for_daemon(const std::string& path);
}  // namespace vramd::cli
