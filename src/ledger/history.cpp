/// The ledger's past: what moves to the archive, what leaves it, and how it is read while appends go on.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.hpp"
#include "ledger/directory.hpp"
#include "ledger/snapshot_file.hpp"
#include "ledger/state.hpp"
#include "ledger/step.hpp"

namespace vramd::ledger {
namespace {
/// Gives the unused end of a closed segment back to the disk. Its length stays, for readers may have it mapped; a file system that
/// cannot do it keeps the space.
void punch_rest(const std::filesystem::path& path, u64 used_bytes, u64 size_bytes) {
    const u64 from = round_up(used_bytes, page_bytes);
    const Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (file && from < size_bytes)
        (void)fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from),
                        static_cast<off_t>(size_bytes - from));
}

/// One archived file, as trimming sees it.
struct Aged {
    u64 last_sequence = 0;
    u64 bytes = 0;
    std::filesystem::path path;
};
}  // namespace

/// Moves what a replay from `snapshot_sequence` does not need to the archive.
Result<void> Ledger::State::archive_before(u64 snapshot_sequence) {
    TRY_DO(make_directory(archive()));
    std::vector<std::pair<std::filesystem::path, u64>> closed;
    {
        const Lock lock(files);
        for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
            SegmentFile& file = segments[i];
            if (file.kept == Kept::archived || file.last_sequence > snapshot_sequence) continue;
            const std::filesystem::path target = archive() / file.path.filename();
            TRY_DO(rename_file(file.path, target));
            file.path = target;
            file.kept = Kept::archived;
            if (file.used_bytes != 0) closed.emplace_back(target, file.used_bytes);
            passed(Step::segment_archived);
        }
        for (std::size_t i = 0; i + 1 < snapshots.size(); ++i) {
            SnapshotFile& file = snapshots[i];
            if (file.kept == Kept::archived) continue;
            const std::filesystem::path target = archive() / file.path.filename();
            TRY_DO(rename_file(file.path, target));
            file.path = target;
            file.kept = Kept::archived;
            passed(Step::snapshot_archived);
        }
    }
    for (const auto& [path, used_bytes] : closed) punch_rest(path, used_bytes, options.segment_bytes);
    return {};
}

/// Deletes the oldest archived files until the rest is within the bound.
Result<void> Ledger::State::trim_history() {
    std::vector<Aged> aged;
    {
        const Lock lock(files);
        for (const SegmentFile& file : segments)
            if (file.kept == Kept::archived) aged.push_back({file.last_sequence, 0, file.path});
        for (const SnapshotFile& file : snapshots)
            if (file.kept == Kept::archived) aged.push_back({file.sequence, 0, file.path});
    }
    u64 bytes = 0;
    for (Aged& file : aged) bytes += file.bytes = disk_bytes(file.path);
    std::ranges::sort(aged, {}, &Aged::last_sequence);
    for (const Aged& file : aged) {
        if (bytes <= options.history_bytes_max) break;
        {
            const Lock lock(files);  // Out of the lists first: who finds it there may open it.
            std::erase_if(segments, [&](const SegmentFile& segment) { return segment.path == file.path; });
            std::erase_if(snapshots, [&](const SnapshotFile& snapshot) { return snapshot.path == file.path; });
        }
        TRY_DO(remove_file(file.path));
        bytes -= file.bytes;
        passed(Step::history_deleted);
    }
    return {};
}

/// Takes the next file from the disk when the present one is more than half full.
Result<void> Ledger::State::prepare_spare() {
    const Lock alone(preparing);
    u64 size_bytes = 0;
    std::shared_ptr<Segment> gone;  // Unmapped at the end of this call.
    {
        const Lock lock(files);
        size_bytes = readable->size_bytes();
        gone = std::move(retired);
    }
    if (spare_ready.load(std::memory_order_acquire) || offset_bytes.load(std::memory_order_relaxed) < size_bytes / 2) return {};
    TRY(auto prepared, Segment::create(options.directory / "spare", options.segment_bytes));
    passed(Step::segment_prepared);
    {
        const Lock lock(files);
        spare = std::move(prepared);
    }
    spare_ready.store(true, std::memory_order_release);
    return {};
}

Result<std::vector<std::shared_ptr<const Segment>>> Ledger::State::segments_holding(u64 from, u64 to) {
    std::vector<std::shared_ptr<const Segment>> found;
    const Lock lock(files);
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const SegmentFile& file = segments[i];
        if (file.first_sequence > to) break;
        if (i + 1 == segments.size()) {
            found.push_back(readable);
        } else if (file.last_sequence >= from) {
            TRY(auto segment, Segment::open(file.path, Segment::Access::read));
            if (segment->head_holds()) found.push_back(std::move(segment));
        }
    }
    return found;
}

/// The newest snapshot up to `wanted`, opened; none when there is none.
Result<Fd> Ledger::State::snapshot_opened(u64 wanted) {
    const Lock lock(files);
    const SnapshotFile* newest = nullptr;
    for (const SnapshotFile& file : snapshots)
        if (file.sequence <= wanted) newest = &file;
    if (newest == nullptr) return Fd();
    return open_snapshot(newest->path);
}

Result<std::optional<Snapshot>> Ledger::snapshot_before(u64 sequence) const {
    TRY(const Fd file, state_->snapshot_opened(sequence));
    if (!file) return std::nullopt;
    std::optional<Snapshot> found(std::in_place);
    TRY(*found, read_snapshot(file));
    return found;
}

u64 Ledger::oldest_sequence() const {
    const Lock lock(state_->files);
    return state_->segments.front().first_sequence;
}
}  // namespace vramd::ledger
