#include "formats/relative_name.hpp"

#include <algorithm>

#include "formats/limits.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
Result<std::string> relative_name(std::string_view place, std::string_view name) {
    if (name.empty()) return invalid(place, "the name of a further file is empty");
    if (name.size() > file_name_bytes_max) return beyond(place, "the length of a file name", name.size(), file_name_bytes_max);
    if (!is_text(name)) return invalid(place, "the name of a further file is not valid UTF-8");
    if (name.front() == '/') return invalid(place, "the file name '", name, "' is absolute; it must be relative to the model's folder");
    std::string path;
    while (!name.empty()) {
        const auto part = name.substr(0, name.find('/'));
        name.remove_prefix(std::min(name.size(), part.size() + 1));
        if (part.empty() || part == ".") continue;
        if (part == "..") return invalid(place, "the file name leaves the model's folder with '..'");
        for (const char c : part)
            if (static_cast<u8>(c) < 0x20 || c == 0x7f || c == '\\')
                return invalid(place, "the file name holds a backslash or a control character");
        if (!path.empty()) path += '/';
        path += part;
    }
    if (path.empty()) return invalid(place, "the file name names a folder, not a file");
    return path;
}

Result<u32> FileNames::index_of(std::string_view place, std::string_view name) {
    TRY(auto path, relative_name(place, name));
    if (const auto known = indices_.find(path); known != indices_.end()) return known->second;
    if (names_.size() == files_max) return beyond(place, "the number of further files", files_max + 1, files_max);
    names_.push_back(path);
    const u32 index = static_cast<u32>(names_.size());
    indices_.emplace(std::move(path), index);
    return index;
}
}  // namespace vramd::formats
