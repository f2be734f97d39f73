#include "ledger/recovery.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ledger/directory.hpp"
#include "ledger/snapshot_file.hpp"

namespace vramd::ledger {
namespace {
/// A segment file whose head holds.
struct Found {
    SegmentFile file;
    std::shared_ptr<Segment> segment;
    bool ours = false;  ///< Of this life.
};

class Recovery {
public:
    explicit Recovery(const Options& options) : root_(options.directory), archive_(root_ / "archive"), life_(life_name(options.life)) {}

    Result<Recovered> run() {
        std::error_code error;
        out_.findings.damage_unsettled = std::filesystem::exists(root_ / unsettled_name, error);
        TRY_DO(remove_file(root_ / "spare"));
        TRY_DO(remove_file(root_ / "snapshot.new"));
        TRY_DO(find_segments(root_, Kept::live));
        TRY_DO(find_segments(archive_, Kept::archived));
        // A life that ended without an event left its number to the next one's file, which comes after it.
        std::ranges::sort(found_, {},
                          [](const Found& found) { return std::pair(found.file.first_sequence, found.file.kept == Kept::live); });
        measure_segments();
        TRY_DO(archive_other_lives());
        TRY_DO(find_snapshots(root_, Kept::live));
        TRY_DO(find_snapshots(archive_, Kept::archived));
        std::ranges::sort(out_.snapshots, {}, &SnapshotFile::sequence);
        TRY_DO(choose_snapshot());
        TRY_DO(check_chain());
        finish();
        return std::move(out_);
    }

private:
    /// Before anything is repaired: whoever opens after a death in between must still hear that events were lost.
    Result<void> note_damage(const std::filesystem::path& file, u64 offset_bytes, u64 sequence, std::string why) {
        out_.findings.damages.push_back({file.filename().native(), offset_bytes, sequence, std::move(why)});
        return make_file(root_ / unsettled_name);
    }

    Result<void> find_segments(const std::filesystem::path& directory, Kept kept) {
        TRY(const auto files, list_numbered(directory, segment_prefix));
        for (const NumberedFile& file : files) {
            std::error_code error;
            const bool empty = std::filesystem::file_size(file.path, error) == 0;
            std::shared_ptr<Segment> segment;
            if (!empty) {
                TRY(segment, Segment::open(file.path, kept == Kept::live ? Segment::Access::write : Segment::Access::read));
            }
            highest_ = std::max(highest_, file.number - 1);
            if (empty || !segment->head_holds() || segment->head().first_sequence != file.number) {
                if (segment) highest_ = std::max(highest_, segment->counted_sequence(file.number, segment->size_bytes()));
                TRY_DO(note_damage(file.path, 0, file.number, "The segment's head is wrong."));
                TRY_DO(set_aside(root_, file.path, Aside::move));
                continue;
            }
            const SegmentHead& head = segment->head();
            highest_ = std::max(highest_, segment->counted_sequence(file.number, head.segment_bytes));
            found_.push_back({{file.number, head.previous_sequence, 0, 0, kept, file.path}, segment, head.life == life_});
        }
        return {};
    }

    /// Where each segment ends: the next one's head says it, and the newest of all is walked.
    void measure_segments() {
        for (std::size_t i = 0; i < found_.size(); ++i) {
            if (i + 1 < found_.size()) {
                found_[i].file.last_sequence = found_[i + 1].file.previous_sequence;
                continue;
            }
            Cursor cursor(found_[i].segment);
            while (cursor.step(Cursor::Verify::lengths_only) == Cursor::Met::record) {
            }
            found_[i].file.last_sequence = cursor.last_sequence();
            if (!found_[i].ours) highest_ = std::max(highest_, cursor.last_sequence());
        }
    }

    Result<void> move_to_archive(std::filesystem::path& path, Kept& kept) {
        TRY_DO(make_directory(archive_));
        const std::filesystem::path target = archive_ / path.filename();
        TRY_DO(rename_file(path, target));
        path = target;
        kept = Kept::archived;
        out_.findings.archived.push_back(target.filename().native());
        return {};
    }

    Result<void> archive_other_lives() {
        for (Found& found : found_)
            if (!found.ours && found.file.kept == Kept::live) TRY_DO(move_to_archive(found.file.path, found.file.kept));
        return {};
    }

    Result<void> find_snapshots(const std::filesystem::path& directory, Kept kept) {
        TRY(const auto files, list_numbered(directory, snapshot_prefix));
        for (const NumberedFile& file : files) {
            highest_ = std::max(highest_, file.number);
            const auto facts = read_snapshot_head(file.path);
            if (!facts && facts.error().code != Code::conflict) return std::unexpected(facts.error());
            if (!facts || facts->sequence != file.number) {
                TRY_DO(note_damage(file.path, 0, 0, facts ? "The snapshot's name is not its number." : describe(facts.error())));
                TRY_DO(set_aside(root_, file.path, Aside::move));
                continue;
            }
            SnapshotFile& snapshot = out_.snapshots.emplace_back(SnapshotFile{file.number, kept, file.path});
            if (facts->life == life_)
                candidates_.push_back(snapshot);
            else if (kept == Kept::live)
                TRY_DO(move_to_archive(snapshot.path, snapshot.kept));
        }
        return {};
    }

    Result<void> choose_snapshot() {
        std::ranges::sort(candidates_, std::ranges::greater{}, &SnapshotFile::sequence);
        for (const SnapshotFile& candidate : candidates_) {
            auto snapshot = read_snapshot(candidate.path);
            if (snapshot) {
                out_.snapshot = *std::move(snapshot);
                break;
            }
            if (snapshot.error().code != Code::conflict) return std::unexpected(std::move(snapshot).error());
            TRY_DO(note_damage(candidate.path, 0, 0, describe(snapshot.error())));
            TRY_DO(set_aside(root_, candidate.path, Aside::move));
            std::erase_if(out_.snapshots, [&](const SnapshotFile& file) { return file.path == candidate.path; });
        }
        return {};
    }

    /// Checks every record after the base, segment by segment; `last_sequence_` is where trust ends.
    Result<void> check_chain() {
        std::vector<Found*> ours;
        for (Found& found : found_)
            if (found.ours) ours.push_back(&found);
        out_.life_first_sequence = ours.empty() ? highest_ + 1 : ours.back()->segment->head().life_first_sequence;
        out_.base_sequence = out_.snapshot ? out_.snapshot->sequence : out_.life_first_sequence - 1;
        last_sequence_ = out_.base_sequence;
        if (ours.empty()) return {};
        // The first segment needed is the last one that starts at or before the base's end.
        std::size_t next = ours.size();
        while (next > 0 && ours[next - 1]->file.previous_sequence > out_.base_sequence) --next;
        if (next == 0) {
            if (!out_.snapshot) out_.life_first_sequence = highest_ + 1;  // Nothing to start from: the ledger begins anew.
            return distrust(ours, 0, "The records between the last state and this segment are missing.");
        }
        for (std::size_t i = next - 1; i < ours.size(); ++i) {
            if (i >= next && ours[i]->file.previous_sequence != ours[i - 1]->file.last_sequence)
                return distrust(ours, i, "The records between the segment before and this one are missing.");
            TRY(const Trust trust, check_segment(*ours[i]));
            last_sequence_ = std::max(out_.base_sequence, ours[i]->file.last_sequence);
            if (trust == Trust::ended) return distrust(ours, i + 1, "It follows on records that cannot be trusted.");
        }
        return {};
    }

    enum class Trust : u8 { whole, ended };
    Result<Trust> check_segment(Found& found) {
        Cursor cursor(found.segment);
        Cursor::Met met{};
        while ((met = cursor.step(Cursor::Verify::sums)) == Cursor::Met::record) {
            if (cursor.last_sequence() <= out_.base_sequence) continue;
            ++out_.findings.batches;
            out_.findings.events += cursor.count();
        }
        const SegmentHead head = found.segment->head();
        found.file.last_sequence = cursor.last_sequence();
        const char* why = nullptr;
        if (met == Cursor::Met::damage)
            why = cursor.why();
        else if (found.segment->size_bytes() != head.segment_bytes)
            why = "The file is not as long as its head says.";
        else if (head.counted_sequence > cursor.last_sequence())
            why = "Records that were counted are not there.";
        if (why == nullptr) {
            tail_ = {cursor.offset_bytes(), cursor.last_sequence(), cursor.commit()};
            if (found.file.kept == Kept::live) out_.findings.unfinished_bytes += wipe_unfinished(*found.segment, cursor.offset_bytes());
            out_.current = found.file.kept == Kept::live ? found.segment : nullptr;
            return Trust::whole;
        }
        out_.current = nullptr;
        TRY_DO(note_damage(found.file.path, cursor.offset_bytes(), cursor.last_sequence() + 1, why));
        TRY_DO(set_aside(root_, found.file.path, Aside::copy));
        if (truncate(found.file.path.c_str(), static_cast<off_t>(head.segment_bytes)) != 0)
            return std::unexpected(system_error("truncate", errno));
        TRY(found.segment, Segment::open(found.file.path, Segment::Access::write));
        wipe_from(*found.segment, cursor.offset_bytes(), cursor.last_sequence());
        return Trust::ended;
    }

    /// Sets aside every segment from `first` on.
    Result<void> distrust(std::vector<Found*>& ours, std::size_t first, std::string_view why) {
        for (std::size_t i = first; i < ours.size(); ++i) {
            TRY_DO(note_damage(ours[i]->file.path, 0, ours[i]->file.first_sequence, std::string(why)));
            TRY_DO(set_aside(root_, ours[i]->file.path, Aside::move));
            ours[i]->segment = nullptr;
            out_.current = nullptr;
        }
        return {};
    }

    void finish() {
        out_.last_sequence = last_sequence_;
        out_.next_sequence = std::max(highest_, last_sequence_) + 1;
        if (!out_.findings.damages.empty()) out_.findings.events_lost = out_.next_sequence - 1 - last_sequence_;
        // A number that was given is not given again: a gap needs a segment that says so in its head.
        out_.tail = tail_;
        if (tail_.sequence + 1 != out_.next_sequence) out_.current = nullptr;
        for (Found& found : found_)
            if (found.segment) out_.segments.push_back(std::move(found.file));
    }

    std::filesystem::path root_;
    std::filesystem::path archive_;
    LifeName life_;
    std::vector<Found> found_;
    std::vector<SnapshotFile> candidates_;
    u64 highest_ = 0;        ///< The highest number that any file shows to have been given.
    u64 last_sequence_ = 0;  ///< The last event that is trusted.
    Tail tail_;
    Recovered out_;
};
}  // namespace

Result<Recovered> recover(const Options& options) { return Recovery(options).run(); }
}  // namespace vramd::ledger
