#include "attach/event_pipes.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace vramd::attach {
namespace {
constexpr int kept_by_kernel_bytes = 64 * 1024;  ///< Of a stream that nobody reads.
}  // namespace

http::Pushed EventPipe::push(std::string_view chunk) {
    {
        const Lock lock(lock_);
        if (gone_ || finished_) return http::Pushed::gone;
        unsent_ += chunk;
    }
    settle();
    const Lock lock(lock_);
    return gone_ ? http::Pushed::gone : http::Pushed::accepted;
}

void EventPipe::finish() {
    {
        const Lock lock(lock_);
        finished_ = true;
    }
    settle();
}

void EventPipe::on_gone(Told told) {
    {
        const Lock lock(lock_);
        gone_told_ = std::move(told);
    }
    settle();
}

void EventPipe::on_drained(Told told) {
    {
        const Lock lock(lock_);
        drained_told_ = std::move(told);
    }
    settle();
}

void EventPipe::look() {
    {
        const Lock lock(lock_);
        pollfd state{socket_.get(), POLLOUT, 0};
        if (poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLERR)) != 0) gone_ = true;
    }
    settle();
}

void EventPipe::end() {
    {
        const Lock lock(lock_);
        (void)shutdown(socket_.get(), SHUT_RDWR);
        gone_ = true;
    }
    settle();
}

bool EventPipe::over() {
    look();
    const Lock lock(lock_);
    return gone_;
}

void EventPipe::send_some() {
    std::size_t sent = 0;
    while (!gone_ && sent < unsent_.size()) {
        const ssize_t taken = ::send(socket_.get(), unsent_.data() + sent, unsent_.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken < 0 && errno == EINTR) continue;
        if (taken < 0 && errno == EAGAIN) break;
        if (taken < 0)
            gone_ = true;
        else
            sent += static_cast<std::size_t>(taken);
    }
    unsent_.erase(0, sent);
}

/// Sends what can be sent, and tells who is to be told.
void EventPipe::settle() {
    Told gone, drained;
    {
        const Lock lock(lock_);
        send_some();
        if (finished_ && unsent_.empty() && !gone_) {
            (void)shutdown(socket_.get(), SHUT_RDWR);  // The client reads its end.
            gone_ = true;
        }
        if (gone_) gone = std::exchange(gone_told_, {});
        if (gone_ || unsent_.empty()) drained = std::exchange(drained_told_, {});
    }
    if (gone) gone();
    if (drained) drained();
}

Result<std::unique_ptr<EventPipes>> EventPipes::open() {
    Fd epoll(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) return std::unexpected(system_error("epoll_create1", errno));
    return std::unique_ptr<EventPipes>(new EventPipes(std::move(epoll)));
}

EventPipes::~EventPipes() {
    for (const auto& [number, pipe] : pipes_) pipe->end();
}

Result<EventPipes::Ends> EventPipes::make() {
    std::array<int, 2> ends{-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return std::unexpected(system_error("socketpair", errno));
    Fd ours(ends[0]);
    Fd theirs(ends[1]);
    (void)setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &kept_by_kernel_bytes, sizeof kept_by_kernel_bytes);
    // There is nothing to say back, so nothing that is not read can pile up here.
    if (shutdown(theirs.get(), SHUT_WR) != 0) return std::unexpected(system_error("shutdown", errno));
    const u64 number = next_++;
    epoll_event event{};
    event.events = EPOLLOUT | EPOLLET;
    event.data.u64 = number;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ours.get(), &event) != 0) return std::unexpected(system_error("epoll_ctl", errno));
    auto pipe = std::make_shared<EventPipe>(std::move(ours));
    pipes_.emplace(number, pipe);
    return Ends{std::move(theirs), std::move(pipe)};
}

void EventPipes::turn() {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
        const auto found = pipes_.find(events[static_cast<std::size_t>(i)].data.u64);
        if (found == pipes_.end() || !found->second->over()) continue;
        (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second->descriptor(), nullptr);  // Whoever streams may hold it yet.
        pipes_.erase(found);
    }
}
}  // namespace vramd::attach
