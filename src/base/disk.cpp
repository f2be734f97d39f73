#include "base/disk.hpp"

#include <sys/statvfs.h>

#include <cerrno>

namespace vramd {
std::string room_on_disk(const std::filesystem::path& place, u64 needed_bytes, int errno_value) {
    if (errno_value != ENOSPC && errno_value != EDQUOT) return {};
    struct statvfs disk {};
    if (statvfs(place.c_str(), &disk) != 0 && statvfs(place.parent_path().c_str(), &disk) != 0) return {};
    const u64 free_bytes = u64{disk.f_bavail} * disk.f_frsize;
    const bool no_file = disk.f_files > 0 && disk.f_favail == 0;
    std::string text = " " + std::to_string(needed_bytes) + " bytes are needed there and " + std::to_string(free_bytes) + " are free";
    text += no_file ? ", but no further file can be made." : ".";
    return text + " Make room, or choose another state directory.";
}

std::optional<u64> free_on_disk(const std::filesystem::path& place) {
    struct statvfs disk {};
    if (statvfs(place.c_str(), &disk) != 0) return std::nullopt;
    return u64{disk.f_bavail} * disk.f_frsize;
}
}  // namespace vramd
