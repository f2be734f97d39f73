#include "attach/overdue.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/clock.hpp"

namespace vramd::attach {
namespace {
/// SO_PEERPIDFD of Linux 6.5, which older headers do not know: a pidfd of the very process that connected.
constexpr int peer_pidfd_option = 77;

std::unexpected<Error> gone() {
    return refuse(Code::conflict, "peer",
                  "The process that connected is gone, and another one, which vramd does not know, has its connection.");
}

/// When the process with this number began, by CLOCK_BOOTTIME, rounded down to the kernel's tick.
std::optional<u64> began_ns(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text, '\0');  // All of it: the name may hold the end of a line, or anything else.
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream fields(text.substr(name_end + 1));
    std::string passed_over;
    for (int field = 3; field < 22; ++field) fields >> passed_over;
    u64 ticks = 0;
    if (!(fields >> ticks)) return std::nullopt;
    return ticks * (ns_per_second / static_cast<u64>(sysconf(_SC_CLK_TCK)));
}

Result<Fd> process_of(const ipc::Channel& channel, pid_t pid, u64 connected_ns) {
    int descriptor = -1;
    socklen_t size = sizeof descriptor;
    if (getsockopt(channel.descriptor(), SOL_SOCKET, peer_pidfd_option, &descriptor, &size) == 0) return Fd(descriptor);
    return process_numbered(pid, connected_ns);
}
}  // namespace

void Overdue::see(const std::vector<Keeping>& kept, u64 now_ns) {
    std::map<std::pair<u64, u64>, Seen> seen;
    for (const Keeping& keeping : kept) {
        const std::pair key(keeping.connection, keeping.zombie.id.serial);
        const auto before = seen_.find(key);
        seen.emplace(key, Seen{keeping, before == seen_.end() ? now_ns : before->second.since_ns});
    }
    seen_ = std::move(seen);
}

std::vector<Keeping> Overdue::take_due(u64 now_ns) {
    std::vector<Keeping> due;
    for (auto& [key, seen] : seen_) {
        if (now_ns - seen.since_ns < grace_ns_) continue;
        seen.since_ns = now_ns;
        due.push_back(seen.keeping);
    }
    return due;
}

Result<Fd> process_numbered(pid_t pid, u64 before_ns) {
    Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!process && (errno == ESRCH || errno == EINVAL || errno == ENOENT)) return gone();  // The latter two: a thread's number now.
    if (!process) return std::unexpected(system_error("pidfd_open", errno));
    // Read after the opening. Were it that of another process by now, which then began later, the one that was opened is gone.
    const auto began = began_ns(pid);
    if (!began || *began > before_ns) return gone();
    return process;
}

Result<void> end_peer(const ipc::Channel& channel, pid_t pid, u64 connected_ns) {
    if (pid <= 0) return refuse(Code::unsupported, "peer", "It runs in a pid namespace that vramd does not see into.");
    if (pid == 1) return refuse(Code::unsupported, "peer", "All other processes would end with it.");
    if (pid == getpid() || pid == getppid()) return refuse(Code::unsupported, "peer", "It is vramd itself.");
    const auto process = process_of(channel, pid, connected_ns);
    // In this order: a process that is going closes its sockets before it is gone.
    std::array<pollfd, 2> looks = {{{process ? process->get() : -1, POLLIN, 0}, {channel.descriptor(), POLLRDHUP, 0}}};
    int looked = -1;
    do looked = poll(looks.data(), looks.size(), 0);
    while (looked < 0 && errno == EINTR);
    if (looked < 0) return std::unexpected(system_error("poll", errno));
    if (looks[1].revents != 0) return refuse(Code::not_found, "peer", "The connection is hung up.");
    if (!process) return std::unexpected(process.error());
    if (looks[0].revents != 0) return gone();
    if (syscall(SYS_pidfd_send_signal, process->get(), SIGKILL, nullptr, 0) == 0) return {};
    if (errno == EPERM) return refuse(Code::forbidden, "peer", "The user that vramd runs as may not end it.");
    if (errno == ESRCH) return refuse(Code::not_found, "peer", "It is gone.");
    return std::unexpected(system_error("pidfd_send_signal", errno));
}

std::string process_name(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    std::getline(file, name);
    for (char& letter : name)
        if (letter < ' ' || letter > '~') letter = '?';  // It is the process's own choice: the log stays one line, without escapes.
    return name.empty() ? "?" : name;
}
}  // namespace vramd::attach
