/// How a loading process gives up its rights, before it looks at the first byte of a model file.
///
/// Two steps, for threads must exist before the door closes (clone is not allowed behind it) and Landlock binds only threads that are made
/// after it. Every loosening is a named line in confine.cpp.
///
/// Behind both steps a process can: read the files it was lent, map and unmap plain memory, wait, answer on its socket, and end. It cannot
/// open, create, name or execute anything, make a socket, a process or a descriptor, signal others, or map executable memory; a call that
/// is not on the list kills it with SIGSYS. Sources: seccomp(2), landlock(7), prctl(2), getrlimit(2).
#pragma once
#include <sys/types.h>

#include "base/result.hpp"

namespace vramd::loader {
struct Limits {
    u64 address_space_bytes = 0;  ///< Everything mapped, lent memory included. Not set in sanitizer builds, whose shadow needs terabytes.
    u64 cpu_seconds = 0;          ///< SIGXCPU past this.
    uid_t uid = 65534;            ///< User and group to become, when root.
    pid_t parent = 0;             ///< Who must still be the parent; its death kills this process.
};
/// Whether a kernel without seccomp (or a refused change of user) is an error.
enum class Strictness : u8 { required, available };

/// True where the program is built with a sanitizer. Such a build is confined less, visibly in confine.cpp: its runtime may write, sleep
/// and make pipes, and has no limit of address space and descriptors. It is for tests, never for service.
[[nodiscard]] bool sanitizer_build();

/// First step, before any thread: limits (no core dump, no file growth), no new privileges, another user, death with the parent, Landlock
/// with no rule at all. Answers Landlock's ABI, 0 where the kernel has none. Errors: `unsupported`, `system_failed`.
[[nodiscard]] Result<u64> drop_rights(const Limits& limits, Strictness strictness);
/// Second step, after the last thread was made: no new descriptor, no new process, and the list of system calls, for all threads at once.
/// True if seccomp holds. Errors: `unsupported` (required, and the kernel has none), `system_failed`.
[[nodiscard]] Result<bool> close_door(Strictness strictness);
}  // namespace vramd::loader
