#include "cli/keeper_process.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <filesystem>

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

Runs what_runs(pid_t process) {
    const std::string folder = "/proc/" + std::to_string(process);
    std::error_code error;
    std::string path = std::filesystem::read_symlink(folder + "/exe", error);
    struct stat running {};
    if (error || stat((folder + "/exe").c_str(), &running) != 0) return Runs::unseen;
    if (const std::string_view gone = " (deleted)"; path.ends_with(gone)) path.resize(path.size() - gone.size());
    struct stat on_disk {};
    if (stat((folder + "/root" + path).c_str(), &on_disk) != 0)  // Its own root: a container's path is not ours.
        return errno == ENOENT ? Runs::another_file : Runs::unseen;
    return running.st_dev == on_disk.st_dev && running.st_ino == on_disk.st_ino ? Runs::file_on_disk : Runs::another_file;
}
}  // namespace vramd::cli
