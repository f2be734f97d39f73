/// Opening the further files that a model names, without following the name anywhere else.
///
/// The name comes from an untrusted file. The kernel resolves it beneath a folder with no `..` above it, no link of any kind, no magic
/// link, and what is found must be a regular file. Source: openat2(2).
#pragma once
#include <string_view>

#include "base/fd.hpp"

namespace vramd::worker {
/// The regular file `relative_name` beneath the folder `dir_fd`, read-only, close-on-exec. Never blocks on a FIFO or a device.
/// Errors: `path_not_allowed` (absolute, "..", a link on the way, not a regular file, empty, over 4 KiB, NUL inside), `not_found`,
/// `system_failed`.
[[nodiscard]] Result<Fd> open_beneath(int dir_fd, std::string_view relative_name);
}  // namespace vramd::worker
