#include "keeper/core_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/clock.hpp"
#include "keeper/log.hpp"

namespace vramd::keeper {
namespace {
constexpr int core_socket_number = 3;
constexpr int predecessor_number = 4;

/// Both are the child's own: above all others first, so that neither overwrites what the other is made of.
void inherit(int descriptor, int number, const char* variable) {
    (void)dup2(descriptor, number);  // A core without its socket says so itself.
    (void)setenv(variable, std::to_string(number).c_str(), 1);
}

[[noreturn]] void become_core(const Settings& settings, Mode mode, int socket, int predecessor) {
    constexpr int above = 16;
    const int own_socket = fcntl(socket, F_DUPFD_CLOEXEC, above);
    const int own_predecessor = predecessor >= 0 ? fcntl(predecessor, F_DUPFD_CLOEXEC, above) : -1;
    inherit(own_socket, core_socket_number, "VRAMD_KEEPER_FD");
    if (own_predecessor >= 0) inherit(own_predecessor, predecessor_number, "VRAMD_PREDECESSOR_FD");
    (void)dup2(STDERR_FILENO, STDOUT_FILENO);
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, nullptr);
    (void)signal(SIGPIPE, SIG_DFL);
    export_places(settings.places);
    for (const char* const variable : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE"}) (void)unsetenv(variable);
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

Result<CoreProcess> start_core(const Settings& settings, Mode mode, const CoreProcess* ending) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return std::unexpected(system_error("socketpair", errno));
    CoreProcess core;
    core.socket = Fd(ends[0]);
    const Fd cores(ends[1]);
    core.started_ns = monotonic_ns();
    core.pid = fork();
    if (core.pid < 0) return std::unexpected(system_error("fork", errno));
    if (core.pid == 0) become_core(settings, mode, cores.get(), ending == nullptr ? -1 : ending->ended.get());
    core.ended = Fd(static_cast<int>(syscall(SYS_pidfd_open, core.pid, 0)));
    if (!core.ended) {
        const int reason = errno;
        (void)kill(core.pid, SIGKILL);
        (void)waitpid(core.pid, nullptr, 0);
        return std::unexpected(system_error("pidfd_open", reason));
    }
    return core;
}

bool was_killed_and_ends(pid_t pid) {
    // proc(5): after the name in brackets the state, then numbers; of these the 7th are the flags and the 50th is the status of its end.
    constexpr int flags_place = 7;
    constexpr int status_place = 50;
    constexpr u64 flag_exiting = 4;
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    std::istringstream words(text.substr(std::min(text.size(), text.rfind(')') + 1)));
    const auto number = [](const std::string& word) {
        u64 value = 0;
        (void)std::from_chars(word.data(), word.data() + word.size(), value);
        return value;
    };
    u64 flags = 0;
    int status = 0;
    std::string word;
    for (int place = 1; words >> word; ++place) {
        if (place == flags_place) flags = number(word);
        if (place == status_place) status = static_cast<int>(number(word));
    }
    return (flags & flag_exiting) != 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

std::string describe_status(int status) {
    if (WIFSIGNALED(status)) return "was killed by signal " + std::to_string(WTERMSIG(status));
    return "exited with code " + std::to_string(WEXITSTATUS(status));
}
}  // namespace vramd::keeper
