/// The loading process: takes one job from its socket, gives up its rights, parses, reads into the lent memory, answers, ends.
///
/// The job's request comes from the core and is trusted; the files are not. Everything that looks at file content runs behind the
/// confinement. The request's fields (docs: ipc/messages.hpp `worker_protocol`):
///   main_name text · files u64 (further ones) · names_checksum u64 (`names_checksum` of their names) · parent, uid, cpu_seconds,
///   address_space_bytes u64 · required u64 (1: seccomp or nothing) · load also: offset_bytes, size_bytes, verify u64 (1: checksum)
/// Descriptors with the request: table memory, main file, for load the block's memory. Then as many `files` notifications as it takes,
/// each with up to `frame_fds_max` further files, in order.
#pragma once
#include "ipc/frame.hpp"

namespace vramd::loader {
/// Serves the one job. Answers the process's exit code: 0 if an answer (also one that refuses) was sent, else 1.
[[nodiscard]] int serve(ipc::Channel channel);
}  // namespace vramd::loader
