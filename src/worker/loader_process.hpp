/// Loading processes, the core's side: one fresh, confined process per job reads one model's files and nothing else.
///
/// Why a process: model files are untrusted and their parsers are the service's largest attack surface. A job's process holds a socket,
/// the job's files, the memory lent to it, and no other right; when it dies, only its job fails.
///
/// Invariants
/// - A callback comes exactly once as `done`, after the process is dead and reaped and its descriptors and mappings are gone: the memory
///   may be sealed in `done`. No `progress` comes after `done`.
/// - All callbacks run on the one thread of `Loaders`, none under its lock; they must be short, and may call any method but `shutdown`.
/// - What a process says is hostile: tables are copied, then checked; progress is monotonic and at most the total; a process that floods,
///   lies about lengths or sends descriptors is killed and its job fails.
/// - After a failed load the lent range may hold any bytes: it is scrubbed or dropped, never given out.
/// - Descriptors of a job are closed when its last reference goes; `Loaders` lets go of its own before `done`.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/range.hpp"
#include "ipc/tensor_table.hpp"
#include "terms/model.hpp"

namespace vramd::worker {
/// A further file of a model, under the name by which the main file asks for it. A job's others are those of `needed_files`, in its order.
struct NamedFile {
    std::string name;
    Fd fd;
};
/// A model's open files, read-only. Shared, so that an inspection's files serve the load too. Not changed while a job uses it.
struct ModelFiles {
    std::string main_name;  ///< The file's own name (no folders); only a hint at its format.
    Fd main;
    std::vector<NamedFile> others;
};
using SharedFiles = std::shared_ptr<const ModelFiles>;

/// What the headers say.
struct Inspection {
    /// Checked facts. `identity.header_hash` binds the tensor table and every file's identity, size and mtime (also the further ones'): it
    /// is what `LoadJob::expected_hash` takes.
    vramd::Inspection model;
    /// Further files that the model needs and that were not lent, all of them and in this order: open them (`open_beneath`), put them into
    /// `ModelFiles::others` and inspect again. While it is not empty, `model` knows format and identity only.
    std::vector<std::string> needed_files;
    std::vector<ipc::TableMetadata> metadata;
};
/// Where a load's time went, in nanoseconds. `spawn` and `exit` are measured by the core; the others are the process's own word.
struct Stages {
    u64 queue_ns = 0;   ///< Until a process could start.
    u64 spawn_ns = 0;   ///< Process creation until it was confined and ready to read.
    u64 parse_ns = 0;   ///< Header to table.
    u64 read_ns = 0;    ///< File bytes to their place.
    u64 verify_ns = 0;  ///< Checksum, when asked.
    u64 exit_ns = 0;    ///< From its last word until its memory was unmapped.
    u64 total_ns = 0;
};
struct Loaded {
    Inspection inspection;
    u64 checksum = 0;  ///< `vramd::checksum` of [0, memory_bytes) of the lent range, when asked; else 0.
    Stages stages;
};

enum class Verification : u8 { none, checksum };

/// How strictly a process is confined.
enum class Confinement : u8 {
    required,   ///< No seccomp in the kernel: the job fails with `unsupported`. Landlock is used where the kernel has it.
    available,  ///< Whatever the kernel has; for kernels without seccomp, by the operator's explicit choice.
};

struct InspectJob {
    SharedFiles files;
    u64 deadline_ms = 10'000;  ///< From submission.
    std::function<void(Result<Inspection>)> done;
};
struct LoadJob {
    SharedFiles files;
    Fd memory;              ///< The block's memfd (read and write), for this job alone: closed before `done`.
    u64 offset_bytes = 0;   ///< Where the lent range begins in it, a multiple of the page size.
    u64 size_bytes = 0;     ///< The lent range; at least the table's memory_bytes. Its bytes read as zero, and padding stays so.
    u64 expected_hash = 0;  ///< `Inspection::model.identity.header_hash`; 0: whatever the header says now.
    u64 deadline_ms = 600'000;
    Verification verification = Verification::none;
    std::function<void(u64 bytes, u64 total)> progress;  ///< At least 10 times a second while bytes land. May be empty.
    std::function<void(Result<Loaded>)> done;
};

/// Names a submitted job; never reused.
struct Ticket {
    u64 number = 0;
    bool operator==(const Ticket&) const = default;
};

struct Options {
    std::string program = {};  ///< Path of the loader; empty: `vramd-worker` beside this program.
    u32 processes_max = 4;     ///< At once, 1 … 64; further jobs wait in order, inspections before loads.
    u32 queued_max = 1024;     ///< Waiting jobs, beyond which `busy`.
    Confinement confinement = Confinement::required;
    uid_t uid = 65534;  ///< Whom the process becomes when this one is root (nobody); user and group.
};

/// What the last process said about its confinement; for /api/system.
struct ConfinementFacts {
    bool seccomp = false;
    u64 landlock_abi = 0;  ///< 0: none.
    u64 uid = 0;
};

/// Runs jobs. All methods may be called from any thread.
class Loaders {
public:
    /// Finds the program and starts the thread. Errors: `not_found` (no such program), `invalid_field`, `system_failed`.
    [[nodiscard]] static Result<std::unique_ptr<Loaders>> start(Options options);
    /// As `shutdown`.
    ~Loaders();
    Loaders(const Loaders&) = delete;
    Loaders& operator=(const Loaders&) = delete;

    /// Submits a job. `done` may come before this returns. Errors (then `done` never comes): `busy`, `invalid_field`, `cancelled` (shut
    /// down). What `done` tells: `invalid_model` (the file breaks a rule, changed while read, or its process died of it), `timed_out`,
    /// `cancelled`, `unsupported` (no confinement), `system_failed`.
    [[nodiscard]] Result<Ticket> inspect(InspectJob job);
    [[nodiscard]] Result<Ticket> load(LoadJob job);
    /// Kills the job's process (SIGKILL by pidfd), or takes it out of the queue; `done` then tells `cancelled`. A finished ticket is
    /// ignored.
    void cancel(Ticket ticket);
    /// Living loading processes, for /api/system.
    [[nodiscard]] std::vector<pid_t> pids() const;
    [[nodiscard]] ConfinementFacts confinement() const;
    /// Cancels every job, waits until every `done` has run and ends the thread. Idempotent. Not from a callback.
    void shutdown();

private:
    class Engine;
    explicit Loaders(std::unique_ptr<Engine> engine);
    std::unique_ptr<Engine> engine_;
};
}  // namespace vramd::worker
