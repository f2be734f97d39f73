/// One segment: a mapped file of records, written by one thread and read by any. Room-internal; docs/ledger.md has its bytes.
///
/// Invariants: a mapping is as long as its file was when it was opened; records lie in [512, end); the word at `end` is 0; what a reader
/// meets below a commit that is not 0 never changes again.
#pragma once
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "ledger/format.hpp"
#include "ledger/ledger.hpp"

namespace vramd::ledger {
/// Owns a shared mapping of a whole segment file. Immutable but for what its bytes hold.
class Segment {
public:
    /// Makes a file of `bytes` zeros whose space is taken from the disk and whose pages are there. Errors: `system_failed`; no file is
    /// left.
    [[nodiscard]] static Result<std::shared_ptr<Segment>> create(const std::filesystem::path& path, u64 bytes);
    enum class Access : u8 { read, write };
    /// Maps a file of any length ≥ 1. Errors: `system_failed`.
    [[nodiscard]] static Result<std::shared_ptr<Segment>> open(const std::filesystem::path& path, Access access);
    /// A copy of the file in memory of its own, for whoever must not rely on the file's staying as long as it is. At least one byte, at
    /// most the largest segment. Errors: `system_failed`.
    [[nodiscard]] static Result<std::shared_ptr<Segment>> read_copy(const std::filesystem::path& path);
    ~Segment();
    Segment(const Segment&) = delete;
    Segment& operator=(const Segment&) = delete;

    [[nodiscard]] std::byte* data() const { return data_; }
    [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
    /// Only where the file is at least a head long.
    [[nodiscard]] SegmentHead& head() const { return *reinterpret_cast<SegmentHead*>(data_); }
    /// Whether it is long enough for a head, and the head is what the format says (the file's length apart).
    [[nodiscard]] bool head_holds() const;
    /// `counted`, when it can be true of a segment of `segment_bytes` that starts at `first_sequence`; else 0.
    [[nodiscard]] u64 counted_sequence(u64 first_sequence, u64 segment_bytes) const;

private:
    Segment(std::byte* data, u64 size_bytes) : data_(data), size_bytes_(size_bytes) {}
    std::byte* data_;
    u64 size_bytes_;
};

/// Walks the records of a segment whose head holds.
class Cursor {
public:
    explicit Cursor(std::shared_ptr<const Segment> segment);
    enum class Verify : u8 { sums, lengths_only };
    enum class Met : u8 { record, end, damage };
    /// Goes to the next record. `lengths_only` skips the sum and the events: for what was verified before. Records that end before
    /// `from` are only hopped over; should that go astray, the sum of the first record wanted does not hold.
    [[nodiscard]] Met step(Verify verify, u64 from = 0);
    /// The record stepped to last; its events only when they were taken apart (`Verify::sums`, or `take_apart`).
    [[nodiscard]] Batch batch() const { return {head_.first_sequence, head_.wall_ns, events_, segment_->head().life_first_sequence}; }
    [[nodiscard]] u64 last_sequence() const { return next_sequence_ - 1; }
    /// Where the next record lies or would lie.
    [[nodiscard]] u64 offset_bytes() const { return offset_; }
    /// The seed of the next record's sum.
    [[nodiscard]] u64 commit() const { return seed_; }
    [[nodiscard]] u64 count() const { return head_.count; }
    /// After `damage`: a sentence.
    [[nodiscard]] const char* why() const { return why_; }
    /// Takes the events of the present record apart. False: its lengths do not add up.
    [[nodiscard]] bool take_apart();

private:
    Met damaged(const char* why);
    std::shared_ptr<const Segment> segment_;
    u64 offset_ = segment_head_bytes;
    u64 seed_;
    u64 next_sequence_;
    RecordHead head_{};
    std::span<const std::byte> payload_;
    std::vector<std::span<const std::byte>> events_;
    const char* why_ = "";
};

/// The end of the segment that is appended to. One writer.
struct Tail {
    u64 offset_bytes = segment_head_bytes;
    u64 sequence = 0;  ///< The last event's number.
    u64 commit = 0;
};
/// Stores one record at the tail and moves it on. The caller has checked that `record_bytes(payload_bytes) + 8` fit.
void store_record(Segment& segment, Tail& tail, u64 wall_ns, std::span<const std::vector<std::byte>> events, u64 payload_bytes);

/// Wipes everything from `offset_bytes` on and sets `counted` to `sequence`.
void wipe_from(Segment& segment, u64 offset_bytes, u64 sequence);
/// Wipes a record that was begun and not committed at `offset_bytes`. Answers how many bytes it seems to have had; 0: there was none.
u64 wipe_unfinished(Segment& segment, u64 offset_bytes);
}  // namespace vramd::ledger
