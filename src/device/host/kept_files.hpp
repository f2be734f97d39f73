/// Small text files of the kernel that are looked at again and again: each is opened once and then read from its start.
///
/// Why: a status call reads a dozen of them, and opening costs several times what reading does, but for /proc/meminfo. A
/// descriptor whose file went (a control group that was removed and made again) is opened anew. Thread-safe.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/mutex.hpp"

namespace vramd::device::host {
class KeptFiles {
public:
    /// Paths are below `root` ("" for the real ones). Keeps one descriptor for each path ever asked for: callers ask for a fixed few.
    explicit KeptFiles(std::string root) : root_(std::move(root)) {}
    /// The file's text as it is now, at most its first 256 KiB; empty where it cannot be read.
    [[nodiscard]] std::string text(const std::string& path);
    /// The same, of any length of records, for a file that is read once: its descriptor is not kept.
    [[nodiscard]] std::string text_once(const std::string& path) const;

private:
    [[nodiscard]] std::shared_ptr<const Fd> kept(const std::string& path);
    const std::string root_;
    Mutex mutex_;
    std::map<std::string, std::shared_ptr<const Fd>> files_ GUARDED_BY(mutex_);
};
}  // namespace vramd::device::host
