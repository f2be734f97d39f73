/// One submitted job from its start to its `done`: the process, the lent table memory, what was heard, the reading of what it planned, and
/// the files' state before and after. Belongs to the thread of `Loaders`.
///
/// Invariants
/// - `finish` runs once, and by then the process is reaped and every descriptor of the job is closed.
/// - An outcome, once set, stays: a late answer cannot turn a cancelled job into a finished one.
#pragma once
#include <optional>
#include <variant>

#include "worker/conversation.hpp"
#include "worker/process.hpp"
#include "worker/reader.hpp"

namespace vramd::worker {
/// Identity and state of an open file; equal before and after, or the job fails.
struct FileFacts {
    u64 device = 0;
    u64 inode = 0;
    u64 size_bytes = 0;
    u64 modified_ns = 0;
    u64 changed_ns = 0;  ///< ctime: who writes a file can put its mtime back (cp -p, rsync), not this.
    bool operator==(const FileFacts&) const = default;
};
/// Errors: `invalid_model` (not a regular file), `system_failed`.
[[nodiscard]] Result<FileFacts> facts_of_file(const Fd& file);

class Job {
public:
    using Request = std::variant<InspectJob, LoadJob>;
    Job(Ticket ticket, Request request, u64 submitted_ns);

    [[nodiscard]] Ticket ticket() const { return ticket_; }
    [[nodiscard]] bool is_load() const { return std::holds_alternative<LoadJob>(request_); }
    /// Monotonic time by which the job must have ended; `UINT64_MAX` once it has an outcome.
    [[nodiscard]] u64 deadline_ns() const { return outcome_ ? UINT64_MAX : deadline_ns_; }
    [[nodiscard]] const Process* process() const { return process_ ? &*process_ : nullptr; }
    [[nodiscard]] bool decided() const { return outcome_.has_value(); }
    /// What the process said of its confinement, once it has.
    [[nodiscard]] std::optional<ConfinementFacts> confinement() const;

    /// Looks at the files, starts the process and sends it everything; or starts none, where the job's plan says all. Errors: as `done`
    /// tells; call `finish` then.
    [[nodiscard]] Result<void> begin(const Options& options);
    /// Takes what waits on the socket, at most `frames_max` frames, and calls `progress`. False once nothing more will be taken from it.
    [[nodiscard]] bool hear(u32 frames_max);
    /// Decides the job with an error, unless it is decided, and kills the process if there is one.
    void fail(Error error);
    /// Decides the job because `deadline_ns` passed.
    void expire();
    /// Reaps the process (which has ended, or is about to), if there is one.
    void reap();
    /// There is no process (any more), and bytes are to be brought.
    [[nodiscard]] bool wants_reading() const;
    /// Brings them; `over` is called when that is over. The reader outlives the job.
    void begin_reading(Reader& reader, std::function<void()> over);
    /// Absent before it has begun.
    [[nodiscard]] const Reading* reading() const { return reading_.get(); }
    /// Calls `progress` with what has landed. Whether any has since the last time.
    bool tell_progress();
    /// Its reading waits for its turn behind others, of which bytes land: that is not quiet of its own.
    void note_turn_awaited();
    /// Reaps, lets go of everything, and calls `done`. A reading is over by now.
    void finish();

private:
    [[nodiscard]] const SharedFiles& files() const;
    [[nodiscard]] Result<void> look_at_files();
    [[nodiscard]] Result<void> send_request(const Options& options);
    [[nodiscard]] Result<void> take(const std::string& frame);
    [[nodiscard]] Result<void> take_table(u64 bytes);
    [[nodiscard]] bool is_planned() const;
    [[nodiscard]] u64 total_bytes() const;
    [[nodiscard]] Result<void> check_parsed() const;
    [[nodiscard]] Result<void> check_unchanged() const;
    void decide(Result<void> outcome);
    void note_life();  ///< From now on a load may be quiet for as long as it may.

    Ticket ticket_;
    Request request_;
    u64 submitted_ns_;
    u64 deadline_ns_;
    std::vector<FileFacts> facts_;
    Fd table_;
    std::optional<Process> process_;
    std::optional<Conversation> conversation_;
    Inspection inspection_;
    std::shared_ptr<const ReadPlan> plan_;
    Reader* reader_ = nullptr;
    std::shared_ptr<Reading> reading_;
    Stages stages_;
    u64 began_ns_ = 0;
    u64 answered_ns_ = 0;  ///< The process's last word; 0 before it.
    u64 read_began_ns_ = 0;
    u64 decoded_bytes_ = 0;  ///< That the process says have landed.
    u64 told_bytes_ = 0;     ///< To `progress`, if there is one.
    enum class Word : u8 { expected, given } last_word_ = Word::expected;
    enum class Line : u8 { open, hung_up } line_ = Line::open;
    std::optional<Result<void>> outcome_;
};
}  // namespace vramd::worker
