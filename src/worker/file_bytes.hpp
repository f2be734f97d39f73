/// One file of a reading, and the ways by which its bytes come to their place.
///
/// - What is in the page cache is copied from there, with no second copy of it anywhere. Whether all of a piece is there cachestat(2) tells
///   (Linux 6.5), which changes nothing, but only of a file that this process owns or may write. Of others it is found by asking for one
///   byte at a random position in it with `RWF_NOWAIT` (0.3 µs), then for all of it, by a descriptor whose reads bring nothing but what
///   they ask for (`POSIX_FADV_RANDOM`): a disk may be so fast that the page that a question brings is its own answer, and reading ahead
///   from there would bring all of a cold file into the cache. A no makes the kernel fetch that one page, which a disk feels (asking for
///   each piece cost a quarter of the rate): so after each no, twice as many pieces as before are taken for not cached, unasked, up to
///   `unasked_max`. At random, so that a file that is read cold again and again does not look cached by what asking brought.
/// - What is not is read past the cache (O_DIRECT): a cold model pushes nothing out, costs a sixth of the processor's time, and comes at
///   the disk's rate. Straight to its place where file and memory are aligned alike, else through a buffer of one piece.
/// - What neither brings (a file system without either, a refusal, a file that ends early) is read as any program would. All errors come
///   from there: the first two ways only save time.
/// Source: open(2) O_DIRECT, statx(2) STATX_DIOALIGN, preadv2(2) RWF_NOWAIT, the kernel's mm/filemap.c on cachestat;
/// docs/notes/0009-cold-reads.md.
///
/// Invariants
/// - Only the bytes of the parts are written in the place, whatever the alignment.
/// - The file's own descriptor is read only by position; its flags and its read-ahead state are left as they are.
#pragma once
#include <atomic>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "base/fd.hpp"
#include "base/random.hpp"
#include "ipc/tensor_table.hpp"

namespace vramd::worker {
/// The most that a disk may ask for as its alignment, else there are no direct reads of it.
inline constexpr u64 direct_alignment_bytes_max = 64 * kib;
/// What one call reads: a stop waits for no more than this. A disk takes it as one request.
inline constexpr u64 read_step_bytes = 1 * mib;
/// A reading thread's buffer: one huge page, which a disk fills as one piece. (Pages of 4 KiB: a tenth slower, and straight to a place made
/// of them up to a half.) It has room for what alignment adds at a step's ends.
inline constexpr u64 read_buffer_bytes = 2 * mib;
static_assert(read_step_bytes + 2 * direct_alignment_bytes_max <= read_buffer_bytes);
/// What lies between two parts that one call reads is thrown away, up to this: less than a further call costs.
inline constexpr u64 read_gap_bytes_max = 64 * kib;

/// Pieces that are taken for not cached before it is asked again.
inline constexpr u32 unasked_max = 32;

/// What a disk asks of direct reads; both powers of two.
struct DirectAlignment {
    u64 offset_bytes = 0;  ///< Of positions in the file and of sizes.
    u64 memory_bytes = 0;  ///< Of addresses.
};
/// As the file system says; where it does not, a page of both. Absent where it says that it has no direct reads, or asks for too much.
[[nodiscard]] std::optional<DirectAlignment> direct_alignment_of(const Fd& file);
/// Whether every byte from `begin_bytes` to before `end_bytes` is in the page cache. Absent where the kernel does not tell of this file.
[[nodiscard]] std::optional<bool> is_cached(const Fd& file, u64 begin_bytes, u64 end_bytes);

/// Bytes that came by each way; of direct reads, what alignment and gaps add included.
struct Ways {
    u64 cached_bytes = 0;
    u64 direct_bytes = 0;
    u64 plain_bytes = 0;
    Ways& operator+=(const Ways& other) {
        cached_bytes += other.cached_bytes;
        direct_bytes += other.direct_bytes;
        plain_bytes += other.plain_bytes;
        return *this;
    }
    bool operator==(const Ways&) const = default;
};

/// What a reading thread has of its own: a buffer of one piece, made when it is first needed, and where to ask next. Not synchronised.
class ReadingHand {
public:
    explicit ReadingHand(u64 seed) : random_(seed) {}
    ~ReadingHand() { put_down(); }
    ReadingHand(const ReadingHand&) = delete;
    ReadingHand& operator=(const ReadingHand&) = delete;
    /// `read_buffer_bytes`, aligned to their size; empty if there is no memory.
    [[nodiscard]] std::span<std::byte> buffer();
    /// Gives the buffer back.
    void put_down();
    [[nodiscard]] u64 below(u64 bound) { return random_.below(bound); }

private:
    SeededRandom random_;
    std::byte* buffer_ = nullptr;
};

/// All methods may be called from any thread.
class FileBytes {
public:
    /// `file` outlives it. `name` is for errors. `alignment` takes the place of what the file system says; without `told` the kernel is not
    /// asked by cachestat.
    FileBytes(const Fd& file, std::string name, std::optional<DirectAlignment> alignment = std::nullopt, bool told = true);

    /// How many of `parts` (of this file) one call of `bring` takes, from the first: those that follow each other in the file, with at most
    /// `read_gap_bytes_max` between, up to `read_step_bytes` in all. At least 1; a larger part is to be cut before.
    [[nodiscard]] static std::size_t together(std::span<const ipc::TableCopy> parts);
    /// Brings `parts`, which go `together`, to their offsets in `place`. Errors: `invalid_model` (the file ends before they do), naming the
    /// file; `system_failed`.
    [[nodiscard]] Result<void> bring(std::span<ipc::TableCopy> parts, std::span<std::byte> place, ReadingHand& hand);

    [[nodiscard]] Ways ways() const { return {cached_bytes_, direct_bytes_, plain_bytes_}; }

private:
    using Parts = std::span<ipc::TableCopy>;
    /// Each takes what it can from the front of `parts`, and shortens them by that.
    void take_cached(Parts& parts, std::span<std::byte> place, ReadingHand& hand);
    void take_directly(Parts& parts, std::span<std::byte> place, ReadingHand& hand);
    [[nodiscard]] Result<void> take_plainly(Parts& parts, std::span<std::byte> place);
    /// What of them lies before `end_bytes` of the file, through the hand's buffer.
    void take_through_buffer(Parts& parts, u64 end_bytes, std::span<std::byte> place, ReadingHand& hand);
    /// Whether direct reads may be tried; opens for them when first asked.
    [[nodiscard]] bool goes_directly();
    /// How many bytes came; all three are aligned. A refusal is the last.
    [[nodiscard]] u64 read_directly(u64 offset_bytes, std::span<std::byte> into);
    /// Whether this piece is to be looked for in the cache; asks the kernel, or not.
    [[nodiscard]] bool may_be_cached(u64 begin_bytes, u64 end_bytes, ReadingHand& hand);
    /// How many bytes came of those that are cached, up to the first that is not.
    [[nodiscard]] u64 read_cached(u64 offset_bytes, std::span<std::byte> into);

    const Fd& file_;
    std::string name_;
    Fd cached_;  ///< Of its own, without read-ahead; empty where it could not be opened: then `file_` is asked.
    std::optional<DirectAlignment> alignment_;
    std::once_flag opened_;
    Fd direct_;
    std::atomic<bool> told_;                    ///< The kernel tells what is cached, as far as is known.
    std::atomic<bool> cache_answers_ = true;    ///< The file system can say whether a page is cached.
    std::atomic<bool> direct_refused_ = false;  ///< Set once, for good.
    std::atomic<u32> not_cached_ = 0;           ///< Pieces since the last that was cached.
    std::atomic<u32> ask_at_ = 0;               ///< How many those are when it is asked next.
    std::atomic<u64> cached_bytes_ = 0;
    std::atomic<u64> direct_bytes_ = 0;
    std::atomic<u64> plain_bytes_ = 0;
};
}  // namespace vramd::worker
