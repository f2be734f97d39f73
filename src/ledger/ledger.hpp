/// The ledger: numbered events, each a string of bytes, that outlive the process which wrote them.
///
/// What: a mapped file of checksummed records, snapshots that bound the replay, and an archive of closed files. It knows no event: what
/// the bytes mean is its caller's business. The files, to the byte, are in docs/ledger.md.
/// Why mapped: a store to a shared file mapping is in the kernel's page cache the moment it retires, so SIGKILL at any instruction loses
/// nothing that was appended, and an append costs a copy and a checksum but no system call. A power cut is not survived and need not be:
/// the memory that the ledger speaks of ends with it, which `Options::life` tells, and the old records become history.
///
/// Invariants
/// 1. One append is one record, there whole or not at all after the death of the process at any instruction.
/// 2. Sequence numbers rise by one per event, start at 1, and are never given twice, not even after damage or in another life.
/// 3. What `replay` delivers is the snapshot's state, then every later event in order, up to the first that cannot be trusted; nothing
///    after that one is delivered, and no file that held it is thrown away (`damaged/`).
/// 4. Space is taken from the disk before it is needed: a full disk is an error of `open` or `snapshot`, never a SIGBUS in an append.
/// 5. A snapshot counts only when it is whole (written aside, then renamed); until the next one is whole, all that the last one needs
/// stays.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace vramd::ledger {
/// Where a ledger lies and how large it may grow.
struct Options {
    std::filesystem::path directory;  ///< Made if absent (mode 0700). One opener at a time: `keeper::lock_directory` sees to that.
    /// Names the life of the memory that the events speak of, e.g. the machine's boot id and the keeper's `life`; at most 63 bytes.
    /// Files of another life are archived by `open` and not replayed.
    std::string life;
    u64 segment_bytes = 16 * mib;  ///< Size of one file: 16 KiB … 1 GiB, a multiple of 4 KiB. A record is at most half of it.
    u64 history_bytes_max = gib;   ///< Disk that archived files may take; the oldest go first.
};

/// One append: events `first_sequence` … `first_sequence + events.size() - 1`. The bytes are the ledger's: valid during the visit only.
struct Batch {
    u64 first_sequence = 0;
    u64 wall_ns = 0;
    std::span<const std::span<const std::byte>> events;
    u64 life_first_sequence = 0;  ///< The first event of the life of the memory that this one belongs to.
};

/// A state as its owner wrote it, and the last event that it includes (0: none).
struct Snapshot {
    u64 sequence = 0;
    std::vector<std::byte> state;
};

/// Something in the files that cannot be trusted. The file, or a copy of it, lies in `damaged/`.
struct Damage {
    std::string file;      ///< Its name within the directory.
    u64 offset_bytes = 0;  ///< Where in it trust ends.
    u64 sequence = 0;      ///< The first event that is not trusted; 0 when it cannot be told.
    std::string why;       ///< A sentence.
};

/// What `open` met. All empty or zero: nothing worth a word.
struct Findings {
    u64 batches = 0;  ///< What `replay` will deliver.
    u64 events = 0;
    u64 events_lost = 0;                ///< Events known to have been appended and not trusted now (at least as many).
    u64 unfinished_bytes = 0;           ///< > 0: the process died inside an append; that one never happened. Not damage.
    std::vector<std::string> archived;  ///< Files of another life that became history, by their names in `archive/`.
    std::vector<Damage> damages;
    bool damage_unsettled = false;  ///< An earlier `open` met damage, and nobody called `settle_damage` since.
};

enum class Visit : u8 { more, enough };
/// Called per batch, in order. An error ends the visit and is returned to whoever started it.
using Visitor = std::function<Result<Visit>(const Batch&)>;

class Ledger;
/// A ledger just opened: read `snapshot`, then `ledger->replay`.
struct Opened {
    std::unique_ptr<Ledger> ledger;
    std::optional<Snapshot> snapshot;
    Findings findings;
};

/// Threads: `append`, `sequence` and `room_bytes` under one lock of the caller's; `snapshot` from any thread, one at a time, and `prepare`
/// from any thread, beside appends; `read`, `snapshot_before` and `oldest_sequence` from any thread at any time.
class Ledger {
public:
    /// Opens the newest files of this life, checks every record that a replay needs, sets damage aside, and makes a first file if there
    /// is none. Errors: `invalid_field` (an option), `system_failed` (the disk is full, the directory cannot be used).
    [[nodiscard]] static Result<Opened> open(const Options& options);
    ~Ledger();
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;

    /// Delivers what lies after the snapshot that `open` gave, as it was then. Call before the first append.
    /// Errors: the visitor's.
    [[nodiscard]] Result<void> replay(const Visitor& visitor) const;

    /// What damage means for whoever keeps state by this ledger is recorded now: the next `open` need not tell of it again. Until then each
    /// one says `damage_unsettled`, whatever ended the process that met it. Errors: `system_failed`.
    [[nodiscard]] Result<void> settle_damage() const;

    /// Appends one batch (1 or more events, each of any length) and answers its first sequence number. It is durable against the
    /// death of the process when this returns. No allocation, no system call, unless a new file begins (after a `prepare`).
    /// Errors: `read_only` (no room: `prepare` or take a snapshot), `too_large` (limit in bytes), `invalid_field` (no events). Nothing is written then.
    [[nodiscard]] Result<u64> append(u64 wall_ns, std::span<const std::vector<std::byte>> events);

    /// When less than half of the present file is left, prepares the next one, which the next append begins: so an append never waits for a
    /// disk. Blocks for the disk. Errors: `system_failed` (the disk is full …: appends go on while there is room; a snapshot may make some).
    [[nodiscard]] Result<void> prepare();

    /// Keeps `state`, which includes every event up to `sequence` (1 … `sequence()`, ≥ the last snapshot's), so that the next replay starts
    /// there; then as `prepare`. Moves files that are history now to `archive/` and deletes the oldest there. Blocks for the writing.
    /// Errors: `system_failed` (the disk is full …: the last snapshot stands and appends go on while there is room), `invalid_field`.
    [[nodiscard]] Result<void> snapshot(u64 sequence, std::span<const std::byte> state);

    /// The last event's number; 0 before the first.
    [[nodiscard]] u64 sequence() const;
    /// Bytes left for records in the present file and the prepared one. Time for `prepare` below half of `segment_bytes`.
    [[nodiscard]] u64 room_bytes() const;

    /// Every batch that holds an event in [`from`, `to`], as far back as the archive goes, across lives; whole batches, in order. A
    /// batch appended meanwhile may or may not be seen. Errors: the visitor's; `system_failed` when a file cannot be read.
    [[nodiscard]] Result<void> read(u64 from, u64 to, const Visitor& visitor) const;
    /// The newest snapshot kept whose sequence is ≤ `sequence`, with its own checksum verified; none: history starts later.
    [[nodiscard]] Result<std::optional<Snapshot>> snapshot_before(u64 sequence) const;
    /// The first event that `read` can deliver; `sequence() + 1` when there is none.
    [[nodiscard]] u64 oldest_sequence() const;

private:
    struct State;
    explicit Ledger(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};
}  // namespace vramd::ledger
