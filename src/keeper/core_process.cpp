#include "keeper/core_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "base/clock.hpp"
#include "keeper/log.hpp"

namespace vramd::keeper {
namespace {
constexpr int core_socket_number = 3;

[[noreturn]] void become_core(const Settings& settings, Mode mode, int socket) {
    if (socket == core_socket_number)
        (void)fcntl(socket, F_SETFD, 0);
    else
        (void)dup2(socket, core_socket_number);  // A core without its socket says so itself.
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, nullptr);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setenv("VRAMD_KEEPER_FD", std::to_string(core_socket_number).c_str(), 1);
    export_places(settings.places);
    std::string program = settings.core_program;
    std::string read_only(after_failures_flag);
    std::vector<char*> arguments{program.data()};
    arguments.insert(arguments.end(), settings.arguments.begin() + 1, settings.arguments.end());
    if (mode == Mode::read_only) arguments.push_back(read_only.data());
    arguments.push_back(nullptr);
    execv(settings.core_program.c_str(), arguments.data());
    log(settings.core_program + ": " + describe(system_error("execv", errno)));
    _exit(exit_not_executed);
}
}  // namespace

Result<CoreProcess> start_core(const Settings& settings, Mode mode) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return std::unexpected(system_error("socketpair", errno));
    CoreProcess core;
    core.socket = Fd(ends[0]);
    const Fd cores(ends[1]);
    core.started_ns = monotonic_ns();
    core.pid = fork();
    if (core.pid < 0) return std::unexpected(system_error("fork", errno));
    if (core.pid == 0) become_core(settings, mode, cores.get());
    core.ended = Fd(static_cast<int>(syscall(SYS_pidfd_open, core.pid, 0)));
    if (!core.ended) {
        const int reason = errno;
        (void)kill(core.pid, SIGKILL);
        (void)waitpid(core.pid, nullptr, 0);
        return std::unexpected(system_error("pidfd_open", reason));
    }
    return core;
}

std::string describe_status(int status) {
    if (WIFSIGNALED(status)) return "was killed by signal " + std::to_string(WTERMSIG(status));
    return "exited with code " + std::to_string(WEXITSTATUS(status));
}
}  // namespace vramd::keeper
