/// Loading processes, the core's side: one fresh, confined process per job reads one model's headers and says which bytes go where; then
/// the core's own threads bring those bytes (`Reader`), which needs no understanding of the file.
///
/// Why a process: model files are untrusted and their parsers are the service's largest attack surface. A job's process holds a socket,
/// the job's files, for values that must be decoded the memory lent to it, and no other right; when it dies, only its job fails.
///
/// Invariants
/// - Bytes are brought once the process is dead, so it cannot change them any more.
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
#include "device/channel.hpp"
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

/// Which bytes of a model's files go where: checked, but for the files' ends, which reading them finds.
struct ReadPlan {
    FileIdentity identity;
    u64 memory_bytes = 0;
    std::vector<ipc::TableCopy> copies;  ///< Each names a file that the model has; they ascend in memory and lie within `memory_bytes`.
    u64 decoded_bytes = 0;               ///< What a process must decode.
    u64 table_checksum = 0;              ///< With the files' facts it makes `identity.header_hash`.
};
/// What the headers say.
struct Inspection {
    /// Checked facts. `identity.header_hash` binds the tensor table and every file's identity, size and mtime (also the further ones'): it
    /// is what `LoadJob::expected_hash` takes.
    vramd::Inspection model;
    /// Further files that the model needs and that were not lent, all of them and in this order: open them (`open_beneath`), put them into
    /// `ModelFiles::others` and inspect again. While it is not empty, `model` knows format and identity only.
    std::vector<std::string> needed_files;
    std::vector<ipc::TableMetadata> metadata;
    std::shared_ptr<const ReadPlan> plan = {};  ///< Absent while `needed_files` is not empty.
};
/// Where a load's time went, in nanoseconds, measured by the core; only `parse` is the process's own word. Without a process its stages are
/// 0.
struct Stages {
    u64 queue_ns = 0;  ///< Until a process could start.
    u64 spawn_ns = 0;  ///< Process creation until it was confined and ready to read.
    u64 parse_ns = 0;  ///< Header to table.
    u64 exit_ns = 0;   ///< From its last word until it was gone.
    u64 read_ns = 0;   ///< File bytes to their place.
    u64 total_ns = 0;
};
struct Loaded {
    std::shared_ptr<const ReadPlan> plan;  ///< By which it was read.
    Stages stages;
};

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
    Fd memory;                   ///< The block's memfd (read and write), for this job alone: closed before `done`.
    u64 offset_bytes = 0;        ///< Where the lent range begins in it, a multiple of the page size.
    std::span<std::byte> place;  ///< The lent range as this process has it mapped, until `done`; at least the plan's memory_bytes. Its
                                 ///< bytes read as zero, and padding stays so.
    /// In their place where the processor does not see the memory: what is read is sent through it, to the same offsets. Such a load needs
    /// a plan of which nothing is to be decoded, and starts no process.
    std::shared_ptr<device::Channel> channel = {};
    u64 expected_hash = 0;  ///< `Inspection::model.identity.header_hash`; 0: whatever the header says now.
    /// Of an earlier inspection. If the files are still those and nothing is to be decoded, no process is started at all. May be absent.
    std::shared_ptr<const ReadPlan> plan = {};
    u64 quiet_ms = 60'000;  ///< Once it has begun: it fails when for so long no byte came. How long it takes in all is its own matter.
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
    u32 readers = 8;  ///< Threads that bring bytes, 1 … 64. A disk wants eight pieces in flight, however few processors there are.
    Confinement confinement = Confinement::required;
    uid_t uid = 65534;  ///< Whom the process becomes when this one is root (nobody); user and group.
};

/// A living loading process.
struct Speaking {
    Ticket ticket;
    pid_t pid = 0;
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
    /// Kills the job's process (SIGKILL by pidfd), stops its reading within `read_step_bytes`, or takes it out of the queue; `done` then
    /// tells `cancelled`. A finished ticket is ignored.
    void cancel(Ticket ticket);
    /// Living loading processes, for /api/system.
    [[nodiscard]] std::vector<Speaking> processes() const;
    [[nodiscard]] ConfinementFacts confinement() const;
    /// Cancels every job, waits until every `done` has run and ends the thread. Idempotent. Not from a callback.
    void shutdown();

private:
    class Engine;
    explicit Loaders(std::unique_ptr<Engine> engine);
    std::unique_ptr<Engine> engine_;
};
}  // namespace vramd::worker
