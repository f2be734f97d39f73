/// One loading process as the kernel sees it: made, watched by pidfd, ended, reaped.
#pragma once
#include <sys/types.h>

#include <string>

#include "base/fd.hpp"
#include "ipc/frame.hpp"

namespace vramd::worker {
/// The program beside the running one. Errors: `system_failed`.
[[nodiscard]] Result<std::string> program_beside(std::string_view name);

/// A child process and the socket to it. Ended and reaped at the latest by the destructor (which then waits for the kernel).
class Process {
public:
    /// Starts `program` with no argument, no environment, its own session, /dev/null as descriptors 0–2 (sanitizer builds keep 2, for their
    /// reports) and the socket as 3; every other descriptor is closed. The thread that calls must outlive the process: its end is the
    /// process' end (PR_SET_PDEATHSIG). The channel does not block. Errors: `system_failed`.
    [[nodiscard]] static Result<Process> start(const std::string& program);
    Process(Process&& other) noexcept;
    Process& operator=(Process&&) = delete;
    ~Process();

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] int pidfd() const { return pidfd_.get(); }  ///< Readable once every thread of it is gone.
    [[nodiscard]] const ipc::Channel& channel() const { return channel_; }
    /// SIGKILL. Idempotent; the end shows at `pidfd`.
    void kill() const;
    /// How it ended, in words, and whether it was its own doing. Waits for the end. Once.
    struct End {
        int signal = 0;  ///< 0: it exited.
        int code = 0;
    };
    [[nodiscard]] End reap();

private:
    Process(pid_t pid, Fd pidfd, ipc::Channel channel) : pid_(pid), pidfd_(std::move(pidfd)), channel_(std::move(channel)) {}
    pid_t pid_ = 0;  ///< 0: reaped, or moved from.
    Fd pidfd_;
    ipc::Channel channel_;
};

/// Why a process that gave no answer ended, as its job's error: `invalid_model` where the file made it crash or break a rule,
/// `system_failed` where somebody else ended it.
[[nodiscard]] Error reason_of(const Process::End& end);
}  // namespace vramd::worker
