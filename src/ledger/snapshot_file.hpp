/// One snapshot as a file: written aside and renamed, read whole and checked. Room-internal.
#pragma once
#include <filesystem>
#include <span>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "ledger/format.hpp"
#include "ledger/ledger.hpp"

namespace vramd::ledger {
/// What a snapshot's head tells, once it has been checked.
struct SnapshotFacts {
    u64 sequence = 0;
    LifeName life{};
};

/// Writes `directory/snapshot-N`. Errors: `system_failed`; nothing is left then, and what was there before stands.
[[nodiscard]] Result<void> write_snapshot(const std::filesystem::path& directory, u64 sequence, const LifeName& life,
                                          std::span<const std::byte> state);
/// The head alone. Errors: `conflict`, with a sentence, when it cannot be trusted; `system_failed` when it cannot be read.
[[nodiscard]] Result<SnapshotFacts> read_snapshot_head(const std::filesystem::path& path);
/// All of it. Errors: as above.
[[nodiscard]] Result<Snapshot> read_snapshot(const std::filesystem::path& path);
/// The same in two steps: once it is open, a rename or a deletion does not matter.
[[nodiscard]] Result<Fd> open_snapshot(const std::filesystem::path& path);
[[nodiscard]] Result<Snapshot> read_snapshot(const Fd& file);
}  // namespace vramd::ledger
