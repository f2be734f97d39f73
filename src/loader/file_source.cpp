#include "loader/file_source.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.hpp"

namespace vramd::loader {
Result<FileState> state_of(int fd) {
    struct stat facts {};
    // The plain call, for glibc's fstat asks by path (newfstatat), which the confinement does not allow.
    if (syscall(SYS_fstat, fd, &facts) != 0) return std::unexpected(system_error("fstat", errno));
    if (!S_ISREG(facts.st_mode)) return refuse(Code::invalid_model, "file", "The model is not a regular file.");
    return FileState{static_cast<u64>(facts.st_size),
                     static_cast<u64>(facts.st_mtim.tv_sec) * ns_per_second + static_cast<u64>(facts.st_mtim.tv_nsec)};
}

Result<void> FileSource::read(u64 offset_bytes, std::span<std::byte> into) {
    while (!into.empty()) {
        const ssize_t got = pread(fd_, into.data(), into.size(), static_cast<off_t>(offset_bytes));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return std::unexpected(system_error("pread", errno));
        if (got == 0) return refuse(Code::invalid_model, "file", "The file became shorter while it was being read.");
        offset_bytes += static_cast<u64>(got);
        into = into.subspan(static_cast<std::size_t>(got));
    }
    return {};
}
}  // namespace vramd::loader
