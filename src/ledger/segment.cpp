#include "ledger/segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/disk.hpp"
#include "base/fd.hpp"
#include "base/invariant.hpp"
#include "ledger/directory.hpp"
#include "ledger/step.hpp"

namespace vramd::ledger {
namespace {
/// A word of the mapping that another thread may be storing.
std::atomic_ref<u64> shared_word(std::byte* at) { return std::atomic_ref<u64>(*reinterpret_cast<u64*>(at)); }

Result<std::byte*> map_whole(const Fd& file, u64 bytes, int protection) {
    void* const data = mmap(nullptr, bytes, protection, MAP_SHARED, file.get(), 0);
    if (data == MAP_FAILED) return std::unexpected(system_error("mmap", errno));
    return static_cast<std::byte*>(data);
}

/// A disk's refusal, with what a person needs to mend it: the place, how much is needed and how much there is.
Error no_space(u64 bytes, const std::filesystem::path& path, std::string_view call, int errno_value) {
    Error error = failed_on(call, errno_value, path);
    error.detail += room_on_disk(path, bytes, errno_value);
    return error;
}

/// Takes the file's space from the disk; a file system without fallocate(2) is made to by writing.
Result<void> take_space(const Fd& file, u64 bytes, const std::filesystem::path& path) {
    if (fallocate(file.get(), 0, 0, static_cast<off_t>(bytes)) == 0) return {};
    if (errno != EOPNOTSUPP) return std::unexpected(no_space(bytes, path, "fallocate", errno));
    static constexpr std::array<std::byte, page_bytes> zeros{};
    for (u64 offset = 0; offset < bytes; offset += page_bytes)
        if (pwrite(file.get(), zeros.data(), page_bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(page_bytes))
            return std::unexpected(no_space(bytes, path, "pwrite", errno));
    return {};
}
}  // namespace

Result<std::shared_ptr<Segment>> Segment::create(const std::filesystem::path& path, u64 bytes) {
    const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) return std::unexpected(failed_on("open", errno, path));
    auto made = [&]() -> Result<std::shared_ptr<Segment>> {
        TRY_DO(take_space(file, bytes, path));
        TRY(std::byte* const data, map_whole(file, bytes, PROT_READ | PROT_WRITE));
        std::shared_ptr<Segment> segment(new Segment(data, bytes));
        // Present pages make the first append to each as fast as the rest; a kernel before 5.14 says EINVAL and faults later.
        if (madvise(data, bytes, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) return std::unexpected(system_error("madvise", errno));
        return segment;
    }();
    if (!made) (void)unlink(path.c_str());  // The error that matters is the one above.
    return made;
}

Result<std::shared_ptr<Segment>> Segment::open(const std::filesystem::path& path, Access access) {
    const bool write = access == Access::write;
    const Fd file(::open(path.c_str(), (write ? O_RDWR : O_RDONLY) | O_CLOEXEC));
    if (!file) return std::unexpected(failed_on("open", errno, path));
    struct stat facts {};
    if (fstat(file.get(), &facts) != 0) return std::unexpected(system_error("fstat", errno));
    const u64 bytes = static_cast<u64>(facts.st_size);
    TRY(std::byte* const data, map_whole(file, bytes, write ? PROT_READ | PROT_WRITE : PROT_READ));
    return std::shared_ptr<Segment>(new Segment(data, bytes));
}

Result<std::shared_ptr<Segment>> Segment::read_copy(const std::filesystem::path& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // Never waits for a FIFO's writer.
    if (!file) return std::unexpected(failed_on("open", errno, path));
    struct stat facts {};
    if (fstat(file.get(), &facts) != 0) return std::unexpected(failed_on("fstat", errno, path));
    if (!S_ISREG(facts.st_mode)) return std::unexpected(failed_on("read", EINVAL, path));
    const u64 bytes = std::clamp<u64>(static_cast<u64>(facts.st_size), 1, segment_bytes_max);
    void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return std::unexpected(system_error("mmap", errno));
    std::shared_ptr<Segment> segment(new Segment(static_cast<std::byte*>(data), bytes));
    for (u64 at = 0; at < bytes;) {
        const ssize_t got = pread(file.get(), segment->data_ + at, bytes - at, static_cast<off_t>(at));
        if (got < 0 && errno != EINTR) return std::unexpected(failed_on("read", errno, path));
        if (got == 0) break;  // It became shorter: the rest reads as zero, which is no record.
        at += static_cast<u64>(std::max<ssize_t>(got, 0));
    }
    return segment;
}

Segment::~Segment() { munmap(data_, size_bytes_); }

bool Segment::head_holds() const {
    if (size_bytes_ < segment_head_bytes) return false;
    const SegmentHead& head = this->head();
    return head.magic == segment_magic && head.version == format_version && head.head_bytes == segment_head_bytes &&
           head.sum == sum_of_head(head) && head.segment_bytes >= segment_bytes_min && head.segment_bytes <= segment_bytes_max &&
           head.first_sequence >= 1 && head.previous_sequence < head.first_sequence;
}

u64 Segment::counted_sequence(u64 first_sequence, u64 segment_bytes) const {
    if (size_bytes_ < segment_head_bytes) return 0;
    const u64 counted = shared_word(data_ + offsetof(SegmentHead, counted_sequence)).load(std::memory_order_relaxed);
    return counted >= first_sequence && counted - first_sequence < segment_bytes / sizeof(u32) ? counted : 0;
}

Cursor::Cursor(std::shared_ptr<const Segment> segment)
    : segment_(std::move(segment)), seed_(segment_->head().sum), next_sequence_(segment_->head().first_sequence) {}

Cursor::Met Cursor::damaged(const char* why) {
    why_ = why;
    return Met::damage;
}

Cursor::Met Cursor::step(Verify verify, u64 from) {
    const u64 size = segment_->size_bytes();
    std::byte* const at = segment_->data() + offset_;
    if (size < commit_bytes || offset_ > size - commit_bytes) return damaged("The file ends where a record or its end should be.");
    const u64 commit = shared_word(at).load(std::memory_order_acquire);
    if (commit == 0) return Met::end;
    if (size - offset_ < sizeof(RecordHead)) return damaged("The file ends inside a record.");
    std::memcpy(&head_, at, sizeof head_);
    const u64 bytes = record_bytes(head_.payload_bytes);
    if (bytes > size - offset_) return damaged("A record is longer than the rest of the file.");
    if (head_.first_sequence != next_sequence_) return damaged("A record's number does not follow the one before.");
    if (head_.count == 0 || head_.count > head_.payload_bytes / sizeof(u32)) return damaged("A record's count does not fit its size.");
    payload_ = {at + sizeof(RecordHead), head_.payload_bytes};
    if (verify == Verify::sums && next_sequence_ + head_.count > from) {
        if (commit != commit_of({at + commit_bytes, bytes - commit_bytes}, seed_)) return damaged("A record's checksum is wrong.");
        if (!take_apart()) return damaged("A record's events do not fill its payload.");
    }
    seed_ = commit;
    offset_ += bytes;
    next_sequence_ += head_.count;
    return Met::record;
}

bool Cursor::take_apart() {
    events_.clear();
    std::span<const std::byte> rest = payload_;
    for (u32 i = 0; i < head_.count; ++i) {
        u32 length = 0;
        if (rest.size() < sizeof length) return false;
        std::memcpy(&length, rest.data(), sizeof length);
        rest = rest.subspan(sizeof length);
        if (rest.size() < length) return false;
        events_.push_back(rest.first(length));
        rest = rest.subspan(length);
    }
    return rest.empty();
}

void store_record(Segment& segment, Tail& tail, u64 wall_ns, std::span<const std::vector<std::byte>> events, u64 payload_bytes) {
    const u64 bytes = record_bytes(payload_bytes);
    INVARIANT(tail.offset_bytes % commit_bytes == 0 && tail.offset_bytes + bytes + commit_bytes <= segment.size_bytes());
    std::byte* const record = segment.data() + tail.offset_bytes;
    std::byte* out = record + sizeof(RecordHead);
    for (const std::vector<std::byte>& event : events) {
        const u32 length = static_cast<u32>(event.size());
        std::memcpy(out, &length, sizeof length);
        if (length != 0) std::memcpy(out + sizeof length, event.data(), length);
        out += sizeof length + length;
    }
    std::memset(out, 0, static_cast<u64>(record + bytes - out));
    passed(Step::payload_stored);

    const RecordHead head{0, tail.sequence + 1, wall_ns, static_cast<u32>(events.size()), static_cast<u32>(payload_bytes)};
    std::memcpy(record + commit_bytes, reinterpret_cast<const std::byte*>(&head) + commit_bytes, sizeof head - commit_bytes);
    passed(Step::header_stored);

    shared_word(record + bytes).store(0, std::memory_order_relaxed);
    passed(Step::terminator_stored);

    const u64 commit = commit_of({record + commit_bytes, bytes - commit_bytes}, tail.commit);
    shared_word(record).store(commit, std::memory_order_release);  // The record's birth: all of it is in the page cache by now.
    passed(Step::committed);

    tail = {tail.offset_bytes + bytes, tail.sequence + events.size(), commit};
    shared_word(segment.data() + offsetof(SegmentHead, counted_sequence)).store(tail.sequence, std::memory_order_relaxed);
    passed(Step::counted);
}

void wipe_from(Segment& segment, u64 offset_bytes, u64 sequence) {
    if (offset_bytes < segment.size_bytes()) std::memset(segment.data() + offset_bytes, 0, segment.size_bytes() - offset_bytes);
    segment.head().counted_sequence = sequence;
}

u64 wipe_unfinished(Segment& segment, u64 offset_bytes) {
    const u64 left = segment.size_bytes() - offset_bytes;
    if (left < sizeof(RecordHead)) return 0;
    RecordHead head{};
    std::memcpy(&head, segment.data() + offset_bytes, sizeof head);
    if (head.first_sequence == 0 && head.count == 0 && head.payload_bytes == 0) return 0;
    std::memset(segment.data() + offset_bytes, 0, sizeof head);
    return std::min(record_bytes(head.payload_bytes), left);
}
}  // namespace vramd::ledger
