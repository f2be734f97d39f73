#include "cli/model_request.hpp"

#include <filesystem>

namespace vramd::cli {
std::string name_of_file(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
    if (name.ends_with(".index.json")) name.remove_suffix(std::string_view(".index.json").size());
    const std::size_t dot = name.rfind('.');
    return std::string(dot == std::string_view::npos || dot == 0 ? name : name.substr(0, dot));
}

std::string path_for_daemon(const std::string& path) {
    if (!path.starts_with("./") && !path.starts_with("../")) return path;
    std::error_code failed;
    const auto absolute = std::filesystem::canonical(path, failed);
    return failed ? path : absolute.string();
}
}  // namespace vramd::cli
