#include "client/watch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>

namespace vramd::client {
std::optional<Error> Watch::begin(const std::shared_ptr<Watch>& watch, std::weak_ptr<Connection> connection) {
    Error error;
    error.code = "system-failed";
    watch->waker_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (watch->waker_.get() < 0) {
        error.message = std::string("eventfd: ") + std::strerror(errno) + ".";
        return error;
    }
    try {
        std::thread([watch, connection = std::move(connection)] { watch->run(connection); }).detach();
    } catch (const std::system_error& failed) {
        error.message = std::string("A thread cannot be made: ") + failed.what() + ".";
        return error;
    }
    return std::nullopt;
}

void Watch::wake() {
    const std::uint64_t one = 1;
    (void)!write(waker_.get(), &one, sizeof one);  // Full: then it is awake.
}

void Watch::set_socket(int socket) {
    auto copy = std::make_shared<const Descriptor>(socket < 0 ? -1 : fcntl(socket, F_DUPFD_CLOEXEC, 0));
    {
        const std::lock_guard lock(lock_);
        socket_ = copy->get() < 0 ? nullptr : std::move(copy);
    }
    wake();
}

void Watch::set_busy(bool busy) {
    {
        const std::lock_guard lock(lock_);
        busy_ = busy;
    }
    if (!busy) wake();
}

void Watch::asked(ReclaimRequest request) {
    {
        const std::lock_guard lock(lock_);
        asked_.push_back(std::move(request));
    }
    wake();
}

void Watch::end() {
    {
        const std::lock_guard lock(lock_);
        over_ = true;
    }
    wake();
}

Watch::Next Watch::next() {
    const std::lock_guard lock(lock_);
    Next next;
    next.over = over_;
    if (!asked_.empty()) {
        next.request = std::move(asked_.front());
        asked_.pop_front();
    }
    if (!busy_) next.socket = socket_;
    return next;
}

void Watch::run(const std::weak_ptr<Connection>& connection) {
    for (;;) {
        const Next now = next();
        if (now.over) return;
        if (now.request) {
            on_reclaim_(*now.request);
            if (const auto there = connection.lock()) there->answer_asked(*now.request);
            continue;
        }
        std::array<pollfd, 2> waits{pollfd{waker_.get(), POLLIN, 0}, pollfd{now.socket ? now.socket->get() : -1, POLLIN, 0}};
        if (poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
        std::uint64_t rung = 0;
        (void)!read(waker_.get(), &rung, sizeof rung);  // Nothing to read is as good.
        if (waits[1].revents != 0)
            if (const auto there = connection.lock()) there->hear();
    }
}
}  // namespace vramd::client
