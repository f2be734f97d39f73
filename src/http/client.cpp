#include "http/client.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "http/client_exchange.hpp"

namespace vramd::http {
namespace {
Error cannot_connect(const Address& address, int reason) {
    const std::string where =
        address.door == Door::unix_socket ? address.socket_path : "http://" + address.host + ":" + std::to_string(address.port);
    return Error{Code::system_failed, "connect", static_cast<u64>(reason), 0,
                 "Nobody answers at " + where + " (" + strerror(reason) + ")."};
}

struct SocketName {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

Result<SocketName> socket_name(const Address& address) {
    SocketName name;
    if (address.door == Door::unix_socket) {
        auto& unix_name = reinterpret_cast<sockaddr_un&>(name.storage);
        if (address.socket_path.empty() || address.socket_path.size() >= sizeof unix_name.sun_path)
            return refuse(Code::invalid_field, "socket", address.socket_path.size(), sizeof unix_name.sun_path - 1);
        unix_name.sun_family = AF_UNIX;
        std::copy(address.socket_path.begin(), address.socket_path.end(), unix_name.sun_path);
        name.size = sizeof unix_name;
        return name;
    }
    const std::string host = address.host == "localhost" ? "127.0.0.1" : address.host;
    auto& v4 = reinterpret_cast<sockaddr_in&>(name.storage);
    if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(address.port);
        name.size = sizeof v4;
        return name;
    }
    auto& v6 = reinterpret_cast<sockaddr_in6&>(name.storage);
    if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1)
        return refuse(Code::invalid_field, "url", "The host '" + address.host + "' is neither localhost nor a numeric address.");
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    name.size = sizeof v6;
    return name;
}

/// A connection that the server ended since its last reply is readable, with nothing to read.
bool still_open(const Fd& socket) {
    char byte = 0;
    return socket && recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

Result<Fd> connect_to(const Address& address, u64 wait_ms, int stop_descriptor) {
    TRY(const SocketName name, socket_name(address));
    Fd socket(::socket(name.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return std::unexpected(system_error("socket", errno));
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&name.storage), name.size) != 0) {
        if (errno != EINPROGRESS) return std::unexpected(cannot_connect(address, errno));
        pollfd waiting[] = {{socket.get(), POLLOUT, 0}, {stop_descriptor, POLLIN, 0}};  // poll passes over a descriptor of -1.
        if (poll(waiting, std::size(waiting), static_cast<int>(std::min<u64>(wait_ms, 3'600'000))) <= 0)
            return std::unexpected(cannot_connect(address, ETIMEDOUT));
        if (waiting[1].revents != 0) return refuse(Code::cancelled, "connect", "The caller stopped waiting.");
        int reason = 0;
        socklen_t size = sizeof reason;
        if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &reason, &size) != 0) reason = errno;
        if (reason != 0) return std::unexpected(cannot_connect(address, reason));
    }
    const int on = 1;
    if (address.door == Door::tcp) (void)setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // Slower without it, no more.
    return socket;
}
}  // namespace

Result<Address> parse_address(std::string_view text) {
    Address address;
    constexpr std::string_view unix_scheme = "unix:", http_scheme = "http://";
    const std::string given(text);
    if (text.starts_with(unix_scheme)) text.remove_prefix(unix_scheme.size());
    if (text.starts_with('/')) {
        address.door = Door::unix_socket;
        address.socket_path = text;
        return address;
    }
    if (text.starts_with(http_scheme)) text.remove_prefix(http_scheme.size());
    if (text.ends_with('/')) text.remove_suffix(1);
    address.host = "localhost";
    address.port = 80;
    std::size_t colon = text.rfind(':');
    if (text.starts_with('[')) {
        const std::size_t bracket = text.find(']');
        if (bracket == std::string_view::npos) return refuse(Code::invalid_field, "url", "'" + given + "' has an open bracket.");
        address.host = text.substr(1, bracket - 1);
        if (colon < bracket) colon = std::string_view::npos;
    } else {
        address.host = text.substr(0, colon);
    }
    if (colon != std::string_view::npos) {
        const std::string_view port = text.substr(colon + 1);
        const auto [stopped, failed] = std::from_chars(port.data(), port.data() + port.size(), address.port);
        if (port.empty() || failed != std::errc{} || stopped != port.data() + port.size() || address.port == 0)
            return refuse(Code::invalid_field, "url", "'" + given + "' does not end with a port from 1 to 65535.");
    }
    if (address.host.empty() || address.host.find('/') != std::string::npos)
        return refuse(Code::invalid_field, "url", "'" + given + "' is not an address like http://127.0.0.1:7070 or unix:/path.");
    return address;
}

std::string percent_encoded(std::string_view text) {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("-._~").contains(c);
        if (plain) {
            out += c;
            continue;
        }
        out += '%';
        out += digits[static_cast<u8>(c) >> 4];
        out += digits[static_cast<u8>(c) & 15];
    }
    return out;
}

Result<void> Client::open(u64 wait_ms_max, int stop_descriptor) {
    if (still_open(socket_)) return {};
    TRY(socket_, connect_to(address_, wait_ms_max, stop_descriptor));
    return {};
}

Result<ClientReply> Client::exchange(ClientRequest request) {
    TRY_DO(open(request.wait_ms_max, request.stop_descriptor));
    ClientExchange exchange(socket_.get(), address_, request);
    auto reply = exchange.run();
    if (!reply || !exchange.reusable()) socket_.reset();
    return reply;
}
}  // namespace vramd::http
