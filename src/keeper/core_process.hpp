/// The core as the keeper sees it: a process, the pidfd that tells of its end, and the socket to it. Room-internal.
#pragma once
#include <sys/types.h>

#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "keeper/keeper.hpp"

namespace vramd::keeper {
struct CoreProcess {
    pid_t pid = -1;
    Fd ended;  ///< A pidfd: readable when it has ended.
    Fd socket;
    u64 started_ns = 0;
    bool served = false;  ///< It said `ready`.
};

enum class Mode : u8 { normal, read_only };
/// `ending`: the core before it, which is still ending; the new one gets its pidfd and waits with what must not meet it (`Predecessor`).
/// Starts `settings.core_program` with the keeper's own arguments, `after_failures_flag` appended in that mode; its standard output is the
/// keeper's stderr, for the ready line is the only thing on stdout. Errors: `system_failed`.
[[nodiscard]] Result<CoreProcess> start_core(const Settings& settings, Mode mode, const CoreProcess* ending);

/// Whether the process was killed by SIGKILL and runs no instruction any more, though it is not to be reaped yet: as /proc tells, which may
/// also tell nothing. Of a process that closed its end of the socket.
[[nodiscard]] bool was_killed_and_ends(pid_t pid);

/// The status that a child could not execute its program with.
inline constexpr int exit_not_executed = 127;

/// "was killed by signal 9", "exited with code 1".
[[nodiscard]] std::string describe_status(int status);
}  // namespace vramd::keeper
