#include "base/fd.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace vramd {
Fd& Fd::operator=(Fd&& other) noexcept {
    if (this != &other) {
        reset();
        descriptor_ = other.release();
    }
    return *this;
}

void Fd::reset() {
    if (descriptor_ >= 0) close(descriptor_);
    descriptor_ = -1;
}

Result<Fd> Fd::duplicate() const {
    const int copy = fcntl(descriptor_, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) return std::unexpected(system_error("fcntl(F_DUPFD_CLOEXEC)", errno));
    return Fd(copy);
}
}  // namespace vramd
