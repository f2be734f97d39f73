#include "worker/process.hpp"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/invariant.hpp"

namespace vramd::worker {
namespace {
constexpr int socket_descriptor = 3;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int reports_descriptor = 2;
#else
constexpr int reports_descriptor = -1;
#endif

/// What posix_spawn does in the child and with which attributes; freed with the object.
class SpawnPlan {
public:
    SpawnPlan() {
        posix_spawn_file_actions_init(&actions_);
        posix_spawnattr_init(&attributes_);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
    ~SpawnPlan() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    /// The socket goes first, for a daemon started without standard descriptors may hold it as one of them.
    int prepare(int socket) {
        int failed = posix_spawn_file_actions_adddup2(&actions_, socket, socket_descriptor);
        failed |= posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDWR, 0);
        failed |= posix_spawn_file_actions_adddup2(&actions_, 0, 1);
        if (reports_descriptor < 0) failed |= posix_spawn_file_actions_adddup2(&actions_, 0, 2);
        failed |= posix_spawn_file_actions_addclosefrom_np(&actions_, socket_descriptor + 1);
        sigset_t none;
        sigset_t all;
        sigemptyset(&none);
        sigfillset(&all);
        failed |= posix_spawnattr_setsigmask(&attributes_, &none);
        failed |= posix_spawnattr_setsigdefault(&attributes_, &all);
        failed |=
            posix_spawnattr_setflags(&attributes_, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID));
        return failed;
    }
    [[nodiscard]] const posix_spawn_file_actions_t* actions() const { return &actions_; }
    [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};
}  // namespace

Result<std::string> program_beside(std::string_view name) {
    std::array<char, PATH_MAX> path{};
    const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
    if (size <= 0) return std::unexpected(system_error("readlink(/proc/self/exe)", errno));
    const std::string_view self(path.data(), static_cast<std::size_t>(size));
    return std::string(self.substr(0, self.rfind('/') + 1)) + std::string(name);
}

Result<Process> Process::start(const std::string& program) {
    TRY(auto ends, ipc::Channel::make_pair());
    auto& [ours, theirs] = ends;
    TRY_DO(ours.set_non_blocking());
    SpawnPlan plan;
    if (plan.prepare(theirs.descriptor()) != 0) return std::unexpected(system_error("posix_spawn_file_actions", ENOMEM));
    std::string name = "vramd-worker";
    std::array<char*, 2> arguments = {name.data(), nullptr};
    std::array<char*, 1> environment = {nullptr};
    pid_t pid = 0;
    const int failed = posix_spawn(&pid, program.c_str(), plan.actions(), plan.attributes(), arguments.data(), environment.data());
    if (failed != 0) return std::unexpected(system_error("posix_spawn", failed));
    // No other may reap our child, so its number still means it.
    Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
        const int reason = errno;
        ::kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        return std::unexpected(system_error("pidfd_open", reason));
    }
    return Process(pid, std::move(pidfd), std::move(ours));
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), pidfd_(std::move(other.pidfd_)), channel_(std::move(other.channel_)) {}

Process::~Process() {
    if (pid_ == 0) return;
    kill();
    (void)reap();
}

void Process::kill() const { (void)syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0); }

Process::End Process::reap() {
    INVARIANT(pid_ != 0);
    siginfo_t how{};
    while (waitid(P_PID, static_cast<id_t>(pid_), &how, WEXITED) != 0 && errno == EINTR) {
    }
    pid_ = 0;
    if (how.si_code == CLD_EXITED) return {0, how.si_status};
    return {how.si_status, 0};
}

Error reason_of(const Process::End& end) {
    if (end.signal == 0)
        return {Code::system_failed, "loader", 0, 0,
                "The loading process ended without an answer (exit code " + std::to_string(end.code) + ")."};
    const char* described = sigdescr_np(end.signal);
    const std::string name = described != nullptr ? described : "signal " + std::to_string(end.signal);
    if (end.signal == SIGKILL || end.signal == SIGTERM || end.signal == SIGINT || end.signal == SIGHUP)
        return {Code::system_failed, "loader", 0, 0, "The loading process was ended from outside (" + name + ")."};
    if (end.signal == SIGSYS)
        return {Code::invalid_model, "file", 0, 0, "Reading the file made the loading process try what it may not do; it was stopped."};
    if (end.signal == SIGXCPU)
        return {Code::invalid_model, "file", 0, 0, "Reading the file took more processor time than any model needs."};
    return {Code::invalid_model, "file", 0, 0, "Reading the file made the loading process crash (" + name + ")."};
}
}  // namespace vramd::worker
