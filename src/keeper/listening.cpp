#include "keeper/listening.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vramd::keeper {
namespace {
struct UnixAddress {
    sockaddr_un address{};
    socklen_t bytes = 0;
};

UnixAddress unix_address(const std::filesystem::path& path) {
    UnixAddress made;
    made.address.sun_family = AF_UNIX;
    std::memcpy(made.address.sun_path, path.c_str(), path.native().size());  // `resolve_places` has checked that it fits.
    made.bytes = sizeof made.address;
    return made;
}

/// Removes the file of a socket at which nobody listens any more.
Result<void> clear_stale(const std::filesystem::path& path, int type) {
    struct stat facts {};
    if (lstat(path.c_str(), &facts) != 0) return {};
    if (!S_ISSOCK(facts.st_mode)) return refuse(Code::conflict, "--socket", path.native() + " is there and is no socket.");
    const Fd probe(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return std::unexpected(system_error("socket", errno));
    const UnixAddress at = unix_address(path);
    if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&at.address), at.bytes) == 0 || errno != ECONNREFUSED)
        return refuse(Code::conflict, "--socket", "Another process listens at " + path.native() + ".");
    if (unlink(path.c_str()) != 0) return std::unexpected(system_error("unlink", errno));
    return {};
}

Result<Fd> listen_unix(const std::filesystem::path& path, int type) {
    std::error_code ignored;
    std::filesystem::create_directories(path.parent_path(), ignored);  // bind below tells what matters.
    TRY_DO(clear_stale(path, type));
    Fd listener(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener) return std::unexpected(system_error("socket", errno));
    const UnixAddress at = unix_address(path);
    if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&at.address), at.bytes) != 0)
        return refuse(Code::conflict, "--socket", path.native() + ": " + describe(system_error("bind", errno)));
    if (chmod(path.c_str(), 0666) != 0) return std::unexpected(system_error("chmod", errno));
    if (listen(listener.get(), SOMAXCONN) != 0) return std::unexpected(system_error("listen", errno));
    return listener;
}

Result<Fd> listen_tcp(const TcpAddress& at, const std::string& text) {
    Fd listener(socket(at.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener) return std::unexpected(system_error("socket", errno));
    const int on = 1;
    if (setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return std::unexpected(system_error("SO_REUSEADDR", errno));
    if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&at.address), at.address_bytes) != 0 ||
        listen(listener.get(), SOMAXCONN) != 0)
        return refuse(Code::conflict, "--listen", text + ": " + describe(system_error("bind", errno)));
    return listener;
}
}  // namespace

Result<Listeners> listen_at(const Places& places) {
    Listeners listeners;
    if (places.tcp) {
        TRY(listeners.tcp, listen_tcp(*places.tcp, places.listen));
    }
    TRY(listeners.attach_unix, listen_unix(places.attach_socket, SOCK_SEQPACKET));
    TRY(listeners.http_unix, listen_unix(places.http_socket, SOCK_STREAM));
    return listeners;
}

void remove_sockets(const Places& places) {
    (void)unlink(places.attach_socket.c_str());  // Gone already is as good.
    (void)unlink(places.http_socket.c_str());
}
}  // namespace vramd::keeper
