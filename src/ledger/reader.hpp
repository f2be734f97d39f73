/// Reading a ledger's files from outside: for tools that look at a directory which another process may be writing this moment, or at a
/// copy.
///
/// Why not `Ledger::open`: an opener repairs, archives and appends, and there may be one at a time. Here nothing is made, locked, changed
/// or mapped: one segment after the other is read into memory. What is being appended meanwhile is seen whole or not at all, for a record's
/// first word is stored last (docs/ledger.md) and read first.
#pragma once
#include <filesystem>

#include "ledger/ledger.hpp"

namespace vramd::ledger {
/// What a reading met.
struct FilesRead {
    u64 segments = 0;
    u64 batches = 0;
    u64 first_sequence = 0;  ///< Of the first batch delivered; 0: there was none.
    u64 last_sequence = 0;
    std::vector<Damage> damages;  ///< Where a segment cannot be trusted from; the next one was read again.
};

/// Delivers every batch in the directory's segments, archive and all lives included, by rising number; each event once. Blocks for the
/// disk; memory: one segment. Errors: `not_found` when there is no segment, `system_failed` when one cannot be read, the visitor's.
[[nodiscard]] Result<FilesRead> read_files(const std::filesystem::path& directory, const Visitor& visitor);
}  // namespace vramd::ledger
