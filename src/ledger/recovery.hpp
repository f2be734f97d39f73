/// What `Ledger::open` makes of the files it finds: the steps of docs/ledger.md, "What `open` does". Room-internal.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "ledger/ledger.hpp"
#include "ledger/segment.hpp"

namespace vramd::ledger {
enum class Kept : u8 { live, archived };
/// A segment as the ledger remembers it.
struct SegmentFile {
    u64 first_sequence = 0;
    u64 previous_sequence = 0;
    u64 last_sequence = 0;  ///< Of the segment that is appended to: as it was when it was opened.
    u64 used_bytes = 0;     ///< Where its records end, when this process has closed it; else 0.
    Kept kept = Kept::live;
    std::filesystem::path path;
};
struct SnapshotFile {
    u64 sequence = 0;
    Kept kept = Kept::live;
    std::filesystem::path path;
};

struct Recovered {
    std::optional<Snapshot> snapshot;
    Findings findings;
    u64 base_sequence = 0;  ///< Where the replay starts: the snapshot's, or the one before the life's first.
    u64 last_sequence = 0;  ///< Where it ends.
    u64 next_sequence = 1;  ///< Above every number ever given, as far as the files tell.
    u64 life_first_sequence = 1;
    std::vector<SegmentFile> segments;    ///< By rising number, archive and other lives included.
    std::vector<SnapshotFile> snapshots;  ///< The same.
    std::shared_ptr<Segment> current;     ///< None: a new segment has to be made.
    Tail tail;
};
/// Reads, checks and repairs. The directory is there. Errors: `system_failed`.
[[nodiscard]] Result<Recovered> recover(const Options& options);
}  // namespace vramd::ledger
