#include "base/predecessor.hpp"

#include <poll.h>

#include <cerrno>

namespace vramd {
bool Predecessor::await(u64 ms_max) const {
    if (!ended_) return true;
    pollfd wait{ended_.get(), POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>(ms_max));
    return ready > 0 || (ready < 0 && errno != EINTR);
}
}  // namespace vramd
