#include "keeper/message.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace vramd::keeper {
namespace {
using ControlBuffer = std::array<std::byte, CMSG_SPACE(sizeof(int) * descriptors_max)>;
constexpr std::size_t message_bytes_max = sizeof(Message) + body_bytes(Kind::blocks);

bool kind_known(Kind kind) { return kind >= Kind::take_over && kind <= Kind::blocks; }

void collect_descriptors(msghdr& header, std::vector<Fd>& descriptors) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof descriptor);
            descriptors.emplace_back(descriptor);
        }
    }
}
}  // namespace

Result<void> send_message(const Fd& socket, const Message& head, std::span<const std::byte> body, std::span<const int> descriptors) {
    std::array<std::byte, message_bytes_max> bytes{};
    std::memcpy(bytes.data(), &head, sizeof head);
    std::ranges::copy(body, bytes.begin() + sizeof head);
    iovec part{bytes.data(), sizeof head + body_bytes(head.kind)};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) ControlBuffer control{};
    if (!descriptors.empty()) {
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
    }
    while (sendmsg(socket.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return refuse(Code::busy, "link", "The other side does not read its messages.");
        return std::unexpected(system_error("sendmsg", errno));
    }
    return {};
}

Result<Received> receive_message(const Fd& socket, Packet& packet) {
    std::array<std::byte, message_bytes_max> bytes{};
    alignas(cmsghdr) ControlBuffer control{};
    iovec part{bytes.data(), bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got = recvmsg(socket.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Received::nothing;
    if (got < 0 && errno == ECONNRESET) return Received::closed;
    if (got < 0) return std::unexpected(system_error("recvmsg", errno));
    packet.descriptors.clear();
    collect_descriptors(header, packet.descriptors);
    if (got == 0) return Received::closed;
    const std::size_t size = static_cast<std::size_t>(got);
    std::memcpy(&packet.head, bytes.data(), sizeof packet.head);
    const Message& head = packet.head;
    if (size < sizeof head || head.magic != message_magic || head.version != message_version || !kind_known(head.kind) ||
        size != sizeof head + body_bytes(head.kind) || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return refuse(Code::malformed_request, "message", "A message between keeper and core is malformed.");
    std::memcpy(packet.body.data(), bytes.data() + sizeof head, size - sizeof head);
    return Received::packet;
}
}  // namespace vramd::keeper
