#include "ipc/frame.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace vramd::ipc {
namespace {
constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(int) * frame_fds_max);

/// All descriptors of a received control area, owned, so that each way out of the caller closes them.
std::vector<Fd> take_descriptors(msghdr& message) {
    std::vector<Fd> fds;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
            fds.emplace_back(fd);
        }
    }
    return fds;
}
}  // namespace

Result<std::pair<Channel, Channel>> Channel::make_pair() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return std::unexpected(system_error("socketpair", errno));
    return std::pair(Channel(Fd(ends[0])), Channel(Fd(ends[1])));
}

Result<void> Channel::send(std::string_view text, std::span<const int> fds) const {
    if (text.empty() || text.size() > frame_bytes_max) return refuse(Code::too_large, "frame", text.size(), frame_bytes_max);
    if (fds.size() > frame_fds_max) return refuse(Code::too_large, "descriptors", fds.size(), frame_fds_max);
    iovec part{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<unsigned char, control_bytes> control{};
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    ssize_t sent = -1;
    do sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent == static_cast<ssize_t>(text.size())) return {};
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return refuse(Code::busy, "frame", "The peer does not take its messages.");
    return std::unexpected(system_error("sendmsg", sent < 0 ? errno : EIO));
}

Result<Received> Channel::receive(Descriptors descriptors) const {
    std::array<char, frame_bytes_max> bytes;  // Not zeroed: only what came is read.
    alignas(cmsghdr) std::array<unsigned char, control_bytes> control{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptors == Descriptors::taken) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
    }
    ssize_t taken = -1;
    do taken = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    while (taken < 0 && errno == EINTR);
    if (taken < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Received{};
    if (taken < 0 && errno == ECONNRESET) return Received{Received::Kind::closed, {}, {}};
    if (taken < 0) return std::unexpected(system_error("recvmsg", errno));

    std::vector<Fd> fds = take_descriptors(message);
    if ((message.msg_flags & MSG_CTRUNC) != 0) {
        return refuse(Code::malformed_request, "descriptors", "A message came with descriptors that may not come with it.");
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) return refuse(Code::malformed_request, "frame", "A message is longer than 64 KiB.");
    // The kernel answers 0 for an empty packet as for an end; both end the conversation, so the difference need not be known.
    if (taken == 0) return Received{Received::Kind::closed, {}, {}};
    return Received{Received::Kind::frame, std::string(bytes.data(), static_cast<std::size_t>(taken)), std::move(fds)};
}

Result<void> Channel::set_non_blocking() const {
    const int flags = fcntl(socket_.get(), F_GETFL);
    if (flags < 0 || fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK) != 0) return std::unexpected(system_error("fcntl(F_SETFL)", errno));
    return {};
}

Result<Peer> Channel::peer() const {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return std::unexpected(system_error("getsockopt(SO_PEERCRED)", errno));
    return Peer{credentials.pid, credentials.uid, credentials.gid};
}
}  // namespace vramd::ipc
