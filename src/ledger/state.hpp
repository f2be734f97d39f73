/// The ledger's state, shared by the appends (ledger.cpp) and the keeping of history (history.cpp). Room-internal.
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "base/mutex.hpp"
#include "ledger/ledger.hpp"
#include "ledger/recovery.hpp"
#include "ledger/segment.hpp"

namespace vramd::ledger {
struct Ledger::State {
    Options options;
    LifeName life{};
    u64 life_first_sequence = 1;

    // What a replay delivers: fixed by `open`.
    u64 replay_after = 0;
    u64 replay_to = 0;

    // The appender's. The two atomics mirror the tail, for `snapshot` looks at them from its own thread.
    std::shared_ptr<Segment> current;
    Tail tail;
    std::atomic<u64> sequence{0};
    std::atomic<u64> offset_bytes{0};
    std::atomic<bool> spare_ready{false};  ///< A file named `spare` lies there; false again when it has its number.

    Mutex preparing;  ///< Held while a spare is made, before `files`.
    Mutex files;      ///< Names and lists of files, and the handing over of the spare. Held for renames, never for writing.
    std::vector<SegmentFile> segments GUARDED_BY(files);    ///< By rising number; the last one is `current`.
    std::vector<SnapshotFile> snapshots GUARDED_BY(files);  ///< By rising number.
    std::shared_ptr<Segment> spare GUARDED_BY(files);
    std::shared_ptr<Segment> retired
        GUARDED_BY(files);  ///< The mapping before `current`: let go by `prepare_spare`, for unmapping takes time.
    std::shared_ptr<const Segment> readable GUARDED_BY(files);  ///< `current`, for readers.

    [[nodiscard]] std::filesystem::path archive() const { return options.directory / "archive"; }
    [[nodiscard]] u64 left_bytes() const { return current->size_bytes() - commit_bytes - tail.offset_bytes; }
    void mirror_tail() {
        sequence.store(tail.sequence, std::memory_order_release);
        offset_bytes.store(tail.offset_bytes, std::memory_order_relaxed);
    }
    Result<void> begin_segment(std::shared_ptr<Segment> prepared, u64 first_sequence, u64 previous_sequence);
    void begin_spare();
    Result<void> prepare_spare() EXCLUDES(preparing, files);
    Result<void> archive_before(u64 sequence);
    Result<void> trim_history();
    [[nodiscard]] Result<Fd> snapshot_opened(u64 wanted);
    /// Mapped, by rising number; a file that is deleted or renamed meanwhile stays readable.
    [[nodiscard]] Result<std::vector<std::shared_ptr<const Segment>>> segments_holding(u64 from, u64 to);
};
}  // namespace vramd::ledger
