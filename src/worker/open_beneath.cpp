#include "worker/open_beneath.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace vramd::worker {
namespace {
constexpr std::size_t name_bytes_max = 4096;
constexpr std::size_t name_shown_max = 200;  // In a refusal.

std::unexpected<Error> not_allowed(std::string_view why) { return refuse(Code::path_not_allowed, "path", std::string(why)); }
}  // namespace

Result<Fd> open_beneath(int dir_fd, std::string_view relative_name) {
    if (relative_name.empty() || relative_name.size() >= name_bytes_max) return not_allowed("A file's name must have 1 to 4095 bytes.");
    if (relative_name.find('\0') != std::string_view::npos) return not_allowed("A file's name must not hold a NUL.");
    const std::string name(relative_name);
    const std::string shown = name.substr(0, name_shown_max);
    open_how how{};
    // Not blocking, or a FIFO would hold the caller until somebody writes.
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const auto opened = static_cast<int>(syscall(SYS_openat2, dir_fd, name.c_str(), &how, sizeof how));
    if (opened < 0) {
        switch (errno) {
            case EXDEV:
                return not_allowed(
                    "A name that the model gives leads out of its folder.");  // It may be any path of the machine: it is not told again.
            case ELOOP:
                return not_allowed("The name " + shown + " leads over a link, which is not followed.");
            case ENXIO:
            case ENODEV:
                return not_allowed("The name is not that of a regular file.");
            case ENOENT:
            case ENOTDIR:
                return refuse(Code::not_found, "path", "The file " + shown + ", which the model names, is not in its folder.");
            case EACCES:
            case EPERM:
                return not_allowed("The daemon's user may not read the file " + shown + ".");
            default:
                return std::unexpected(system_error("openat2", errno));
        }
    }
    Fd file(opened);
    struct stat facts {};
    if (fstat(file.get(), &facts) != 0) return std::unexpected(system_error("fstat", errno));
    if (!S_ISREG(facts.st_mode)) return not_allowed("The name is not that of a regular file.");
    return file;
}
}  // namespace vramd::worker
