#include "cli/keeper_process.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include "base/fd.hpp"

namespace vramd::cli {
namespace {
/// Who listens at the socket, as the kernel says: the keeper, whose number in the daemon's own words may be another (a container's).
Result<pid_t> who_listens(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.size() >= sizeof name.sun_path) return refuse(Code::invalid_field, "--socket", path.size(), sizeof name.sun_path - 1);
    path.copy(name.sun_path, path.size());
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return std::unexpected(system_error("socket", errno));
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
        return std::unexpected(system_error("connect", errno));
    ucred listener{};
    socklen_t size = sizeof listener;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0)
        return std::unexpected(system_error("SO_PEERCRED", errno));
    return listener.pid;
}
}  // namespace

Told<std::optional<pid_t>> keeper_process(const Wishes& wishes) {
    TRY(const std::vector<http::Address> places, places_of_daemon(wishes));
    for (const http::Address& place : places) {
        if (place.door != http::Door::unix_socket) continue;
        const auto listener = who_listens(place.socket_path);
        if (listener && *listener > 0) return *listener;
    }
    return std::nullopt;
}
}  // namespace vramd::cli
