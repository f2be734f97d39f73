/// Which process is the keeper behind the socket that a verb speaks to.
#pragma once
#include <sys/types.h>

#include <optional>

#include "cli/session.hpp"

namespace vramd::cli {
/// The process that listens at the daemon's Unix socket, as the kernel says; none where nobody listens at one. Errors: those of
/// `places_of_daemon`.
[[nodiscard]] Told<std::optional<pid_t>> keeper_process(const Wishes& wishes);

/// Whether a process runs the file that is on disk at its program's path now.
enum class Runs {
    file_on_disk,
    another_file,  ///< The file was replaced, or removed, since.
    unseen,        ///< Only root and the process's own user may look.
};
[[nodiscard]] Runs what_runs(pid_t process);
}  // namespace vramd::cli
