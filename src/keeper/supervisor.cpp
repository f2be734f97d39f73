#include "keeper/supervisor.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "base/clock.hpp"
#include "keeper/log.hpp"

namespace vramd::keeper {
namespace {
constexpr std::string_view beat_text = "WATCHDOG=1";

u64 number_of(const Environment& environment, const char* name) {
    const char* const text = environment(name);
    u64 number = 0;
    if (text != nullptr) (void)std::from_chars(text, text + std::strlen(text), number);  // What is no number is 0: not wanted.
    return number;
}
}  // namespace

void Supervisor::find(const Environment& environment) {
    const char* const path = environment("NOTIFY_SOCKET");
    if (path == nullptr || std::strlen(path) < 2 || std::strlen(path) >= sizeof address_.sun_path) return;
    address_.sun_family = AF_UNIX;
    std::memcpy(address_.sun_path, path, std::strlen(path));
    address_bytes_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
    if (address_.sun_path[0] == '@') address_.sun_path[0] = '\0';
    connect_anew();
    store_max_ = number_of(environment, "FDSTORE");
    const u64 watched_pid = number_of(environment, "WATCHDOG_PID");
    if (watched_pid == 0 || watched_pid == static_cast<u64>(getpid())) beat_every_ns_ = number_of(environment, "WATCHDOG_USEC") * 1000 / 2;
    if (beat_every_ns_ > 0) beat_at_ns_ = monotonic_ns() + beat_every_ns_;
}

/// A connected socket, for only of such a one does poll(2) tell when the manager takes the next datagram.
void Supervisor::connect_anew() {
    socket_ = Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket_ && connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address_), address_bytes_) != 0) socket_.reset();
}

void Supervisor::tell(const std::string& state) { post({state, {}, -1}); }

void Supervisor::keep(const std::string& name, const Fd& descriptor, Rank rank) {
    if (address_bytes_ == 0 || store_max_ == 0 || has(name)) return;
    if (rank == Rank::common && names_.size() + 1 >= store_max_) {
        if (!told_full_)
            log("the service manager keeps " + std::to_string(store_max_) +
                " descriptors (FileDescriptorStoreMax); memory beyond that ends with this process");
        told_full_ = true;
        beyond_[name] = descriptor.get();
        return;
    }
    if (rank == Rank::first)
        first_ = name;
    else
        names_.insert(name);
    post({"FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, name, descriptor.get()});
}

void Supervisor::let_go(const std::string& name) {
    if (beyond_.erase(name) > 0 || !has(name)) return;
    names_.erase(name);
    if (first_ == name) first_.clear();
    const auto on_its_way = std::ranges::find_if(waiting_, [&](const Datagram& one) { return one.name == name; });
    if (on_its_way != waiting_.end())
        waiting_.erase(on_its_way);
    else
        post({"FDSTOREREMOVE=1\nFDNAME=" + name, {}, -1});
    if (beyond_.empty() || names_.size() + 1 >= store_max_) return;
    const auto [next, descriptor] = *beyond_.begin();
    beyond_.erase(beyond_.begin());
    names_.insert(next);
    post({"FDSTORE=1\nFDPOLL=0\nFDNAME=" + next, next, descriptor});
}

void Supervisor::post(Datagram datagram) {
    if (address_bytes_ == 0) return;
    waiting_.push_back(std::move(datagram));
    flush();
}

int Supervisor::send_one(const Datagram& datagram) const {
    iovec text{const_cast<char*>(datagram.text.data()), datagram.text.size()};
    msghdr message{};
    message.msg_iov = &text;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (datagram.descriptor >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(head), &datagram.descriptor, sizeof(int));
    }
    return sendmsg(socket_.get(), &message, MSG_NOSIGNAL) >= 0 ? 0 : errno;
}

void Supervisor::flush() {
    while (!waiting_.empty()) {
        const Datagram& next = waiting_.front();
        int failed = socket_ ? send_one(next) : ENOTCONN;
        if (failed == EAGAIN || failed == EWOULDBLOCK) return;
        if (failed != 0) {  // The manager was started again, and listens at a new socket.
            connect_anew();
            failed = socket_ ? send_one(next) : ENOTCONN;
            if (failed == EAGAIN || failed == EWOULDBLOCK) return;
        }
        if (failed != 0 && next.descriptor >= 0) log("the service manager does not keep " + next.name + ": " + std::strerror(failed));
        waiting_.pop_front();  // A manager that does not listen is no reason not to serve.
    }
}

void Supervisor::settle(u64 wait_ns_max) {
    const u64 until_ns = monotonic_ns() + wait_ns_max;
    flush();
    for (u64 now_ns = monotonic_ns(); !waiting_.empty() && now_ns < until_ns; now_ns = monotonic_ns()) {
        pollfd wait{socket_.get(), POLLOUT, 0};
        if (poll(&wait, 1, static_cast<int>(div_ceil(until_ns - now_ns, ns_per_ms))) > 0) flush();
    }
}

void Supervisor::beat(u64 now_ns) {
    if (!beat_at_ns_ || now_ns < *beat_at_ns_) return;
    beat_at_ns_ = now_ns + beat_every_ns_;
    if (std::ranges::none_of(waiting_, [](const Datagram& one) { return one.text == beat_text; })) tell(std::string(beat_text));
}
}  // namespace vramd::keeper
