#include "device/host/kept_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/types.hpp"

namespace vramd::device::host {
namespace {
constexpr u64 file_bytes_max = 256 * kib;

enum class Ends : u8 {
    short_read,  ///< The kernel gives all that fits: less than a buffer's worth is the end, and asking again would have it made anew.
    no_bytes,    ///< A file of many records is given in pieces.
};

/// The whole text; nothing where a read fails.
std::optional<std::string> read_whole(int file, Ends ends) {
    std::string text;
    char buffer[16 * kib];
    while (text.size() < file_bytes_max) {
        const ssize_t got = pread(file, buffer, sizeof buffer, static_cast<off_t>(text.size()));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return std::nullopt;
        text.append(buffer, static_cast<std::size_t>(got));
        if (got == 0 || (ends == Ends::short_read && static_cast<std::size_t>(got) < sizeof buffer)) break;
    }
    return text;
}
}  // namespace

std::shared_ptr<const Fd> KeptFiles::kept(const std::string& path) {
    const Lock lock(mutex_);
    const auto found = files_.find(path);
    return found == files_.end() ? nullptr : found->second;
}

std::string KeptFiles::text(const std::string& path) {
    if (const auto file = kept(path))
        if (auto text = read_whole(file->get(), Ends::short_read)) return *std::move(text);
    auto opened = std::make_shared<const Fd>(::open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC));
    auto text = *opened ? read_whole(opened->get(), Ends::short_read) : std::nullopt;
    const Lock lock(mutex_);
    // An unreadable file and an absent one mean the same: unknown. Neither is kept, so that it is found once it is there.
    if (text)
        files_.insert_or_assign(path, std::move(opened));
    else
        files_.erase(path);
    return text ? *std::move(text) : std::string();
}

std::string KeptFiles::text_once(const std::string& path) const {
    const Fd file(::open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC));
    return file ? read_whole(file.get(), Ends::no_bytes).value_or(std::string()) : std::string();
}
}  // namespace vramd::device::host
