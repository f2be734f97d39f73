/// Who keeps memory that was freed by force, for how long already, and the end of such a process where the operator wants it.
///
/// The table is a value: it is told what is so and what time it is. Ending is apart from it, and wary: a pid is a number that the kernel
/// gives to somebody else once its process is gone, so what is killed is a process that was pinned first and shown to be the peer after.
/// Source: pidfd_open(2), pidfd_send_signal(2), unix(7), proc(5).
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/attachment.hpp"
#include "ipc/frame.hpp"

namespace vramd::attach {
/// A connection that holds memory which was freed.
struct Keeping {
    u64 connection = 0;
    engine::ZombieTold zombie;
    bool operator==(const Keeping&) const = default;
};

/// Which connection has held which zombie since when. Not synchronised.
class Overdue {
public:
    explicit Overdue(u64 grace_ns) : grace_ns_(grace_ns) {}
    /// All that is so now. What was so before and is not any more is forgotten.
    void see(const std::vector<Keeping>& kept, u64 now_ns);
    /// Those whose grace is over, by connection; what is told of here has all of it again, so it is told once in each.
    [[nodiscard]] std::vector<Keeping> take_due(u64 now_ns);

private:
    struct Seen {
        Keeping keeping;
        u64 since_ns = 0;
    };
    u64 grace_ns_;
    std::map<std::pair<u64, u64>, Seen> seen_;  ///< By connection and the allocation's serial, which is never another's.
};

/// Ends the process that made this connection (SIGKILL); it need not be gone yet when this returns. `pid` is the connection's peer, which
/// had begun before `connected_ns` (of `monotonic_ns`).
/// Errors, and then nothing was done: `not_found` (the connection is hung up: its process is gone or going), `conflict` (its process is
/// gone, and another one has the connection), `forbidden` (this daemon may not signal it), `unsupported` (no pid of this namespace, pid 1,
/// or this daemon itself), `system_failed`.
[[nodiscard]] Result<void> end_peer(const ipc::Channel& channel, pid_t pid, u64 connected_ns);

/// A pidfd of the process with this number, if it had begun before `before_ns`. Errors: `conflict` (it is gone), `system_failed`.
[[nodiscard]] Result<Fd> process_numbered(pid_t pid, u64 before_ns);

/// What the process calls itself, fit for a line of the log; "?" where that cannot be read.
[[nodiscard]] std::string process_name(pid_t pid);
}  // namespace vramd::attach
