#include "worker/file_bytes.hpp"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/invariant.hpp"

namespace vramd::worker {
namespace {
/// From here on a part is worth a call of its own for each unaligned end; below, copying it costs less.
constexpr u64 straight_bytes_min = 512 * kib;

u64 end_of(const ipc::TableCopy& part) { return part.file_offset_bytes + part.size_bytes; }
u64 aligned_down(u64 value, u64 alignment) { return value & ~(alignment - 1); }
u64 aligned_up(u64 value, u64 alignment) { return aligned_down(value + alignment - 1, alignment); }

std::span<std::byte> place_of(const ipc::TableCopy& part, std::span<std::byte> place) {
    return place.subspan(part.memory_offset_bytes, part.size_bytes);
}
/// The first part is here up to `size_bytes` of it.
void shorten(std::span<ipc::TableCopy>& parts, u64 size_bytes) {
    ipc::TableCopy& part = parts.front();
    part.file_offset_bytes += size_bytes;
    part.memory_offset_bytes += size_bytes;
    part.size_bytes -= size_bytes;
    if (part.size_bytes == 0) parts = parts.subspan(1);
}
/// An open file of its own: flags and read-ahead belong to one, and `file` is lent to others too. Empty if it cannot be.
Fd opened_anew(const Fd& file, int flags) {
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    return Fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | flags));
}
Fd without_read_ahead(const Fd& file) {
    Fd anew = opened_anew(file, 0);
    if (anew) (void)posix_fadvise(anew.get(), 0, 0, POSIX_FADV_RANDOM);
    return anew;
}
bool is_usable(DirectAlignment alignment) {
    return std::has_single_bit(alignment.offset_bytes) && alignment.offset_bytes <= direct_alignment_bytes_max &&
           std::has_single_bit(alignment.memory_bytes) && alignment.memory_bytes <= page_bytes;
}
}  // namespace

std::optional<DirectAlignment> direct_alignment_of(const Fd& file) {
    DirectAlignment alignment{page_bytes, page_bytes};  // What nearly every disk takes.
#ifdef STATX_DIOALIGN
    struct statx facts {};
    if (statx(file.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &facts) == 0 && (facts.stx_mask & STATX_DIOALIGN) != 0)
        alignment = {facts.stx_dio_offset_align, facts.stx_dio_mem_align};
#endif
    if (!is_usable(alignment)) return std::nullopt;
    return alignment;
}

std::optional<bool> is_cached(const Fd& file, u64 begin_bytes, u64 end_bytes) {
    constexpr long cachestat_number = 451;  // On every architecture; Debian 12's headers do not know it.
    struct {
        u64 offset_bytes, size_bytes;
    } const range{begin_bytes, end_bytes - begin_bytes};
    struct {
        u64 cached, dirty, writeback, evicted, recently_evicted;
    } pages{};
    if (syscall(cachestat_number, file.get(), &range, &pages, 0U) != 0) return std::nullopt;
    return pages.cached >= div_ceil(end_bytes, page_bytes) - begin_bytes / page_bytes;
}

std::span<std::byte> ReadingHand::buffer() {
    if (buffer_ == nullptr) {
        const std::size_t twice = 2 * read_buffer_bytes;
        void* const at = mmap(nullptr, twice, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) return {};
        auto* const first = static_cast<std::byte*>(at);
        const std::size_t before = -reinterpret_cast<std::uintptr_t>(first) % read_buffer_bytes;
        if (before > 0) munmap(first, before);
        buffer_ = first + before;
        munmap(buffer_ + read_buffer_bytes, read_buffer_bytes - before);
        (void)madvise(buffer_, read_buffer_bytes, MADV_HUGEPAGE);
        // Private memory that a disk writes into while the process forks may lose what it wrote (open(2), NOTES; kernels before 6.3).
        (void)madvise(buffer_, read_buffer_bytes, MADV_DONTFORK);
    }
    return {buffer_, read_buffer_bytes};
}

void ReadingHand::put_down() {
    if (buffer_ != nullptr) munmap(std::exchange(buffer_, nullptr), read_buffer_bytes);
}

FileBytes::FileBytes(const Fd& file, std::string name, std::optional<DirectAlignment> alignment, bool told)
    : file_(file), name_(std::move(name)), cached_(without_read_ahead(file)), alignment_(alignment), told_(told) {}

std::size_t FileBytes::together(std::span<const ipc::TableCopy> parts) {
    INVARIANT(!parts.empty() && parts[0].size_bytes <= read_step_bytes);
    const u64 begin = parts[0].file_offset_bytes;
    std::size_t count = 1;
    for (; count < parts.size(); ++count) {
        const u64 before = end_of(parts[count - 1]);
        const ipc::TableCopy& next = parts[count];
        if (next.file_offset_bytes < before || next.file_offset_bytes - before > read_gap_bytes_max) break;
        if (next.size_bytes > read_step_bytes || end_of(next) - begin > read_step_bytes) break;
    }
    return count;
}

Result<void> FileBytes::bring(std::span<ipc::TableCopy> parts, std::span<std::byte> place, ReadingHand& hand) {
    take_cached(parts, place, hand);
    if (!parts.empty() && goes_directly()) take_directly(parts, place, hand);
    return take_plainly(parts, place);
}

void FileBytes::take_cached(Parts& parts, std::span<std::byte> place, ReadingHand& hand) {
    if (!may_be_cached(parts.front().file_offset_bytes, end_of(parts.back()), hand)) return;
    while (!parts.empty()) {
        const std::span<std::byte> into = place_of(parts.front(), place);
        const u64 got = read_cached(parts.front().file_offset_bytes, into);
        cached_bytes_.fetch_add(got, std::memory_order_relaxed);
        shorten(parts, got);
        if (got < into.size()) return;
    }
}

bool FileBytes::may_be_cached(u64 begin_bytes, u64 end_bytes, ReadingHand& hand) {
    if (told_.load(std::memory_order_relaxed)) {
        if (const std::optional<bool> cached = is_cached(file_, begin_bytes, end_bytes)) return *cached;
        told_.store(false, std::memory_order_relaxed);
    }
    // Threads that race here ask once more or once less, no worse.
    const u32 before = not_cached_.fetch_add(1, std::memory_order_relaxed);
    if (before < ask_at_.load(std::memory_order_relaxed)) return false;
    std::byte one{};
    if (read_cached(begin_bytes + hand.below(end_bytes - begin_bytes), {&one, 1}) == 0) {
        ask_at_.store(before + 1 + std::min(before + 1, unasked_max), std::memory_order_relaxed);
        return false;
    }
    not_cached_.store(0, std::memory_order_relaxed);
    ask_at_.store(0, std::memory_order_relaxed);
    return true;
}

u64 FileBytes::read_cached(u64 offset_bytes, std::span<std::byte> into) {
    if (!cache_answers_.load(std::memory_order_relaxed)) return 0;
    const iovec vector{into.data(), into.size()};
    ssize_t got = -1;
    do {
        got = preadv2(cached_ ? cached_.get() : file_.get(), &vector, 1, static_cast<off_t>(offset_bytes), RWF_NOWAIT);
    } while (got < 0 && errno == EINTR);
    if (got >= 0) return static_cast<u64>(got);
    if (errno == EOPNOTSUPP || errno == ENOSYS) cache_answers_.store(false, std::memory_order_relaxed);
    return 0;
}

/// A file system that cannot say what is cached is read plainly: else every load of a cached file would go to its disk.
bool FileBytes::goes_directly() {
    if (!cache_answers_.load(std::memory_order_relaxed)) return false;
    std::call_once(opened_, [this] {
        if (!alignment_) alignment_ = direct_alignment_of(file_);
        if (alignment_) direct_ = opened_anew(file_, O_DIRECT);
        if (!direct_) direct_refused_.store(true, std::memory_order_relaxed);
    });
    return !direct_refused_.load(std::memory_order_relaxed);
}

void FileBytes::take_directly(Parts& parts, std::span<std::byte> place, ReadingHand& hand) {
    const ipc::TableCopy part = parts.front();
    const u64 head_bytes = aligned_up(part.file_offset_bytes, alignment_->offset_bytes) - part.file_offset_bytes;
    if (parts.size() == 1 && part.size_bytes >= straight_bytes_min) {
        const auto address = reinterpret_cast<std::uintptr_t>(place.data()) + part.memory_offset_bytes + head_bytes;
        if (address % alignment_->memory_bytes == 0) {
            if (head_bytes > 0) take_through_buffer(parts, part.file_offset_bytes + head_bytes, place, hand);
            if (parts.front().file_offset_bytes != part.file_offset_bytes + head_bytes) return;
            const u64 straight_bytes = aligned_down(parts.front().size_bytes, alignment_->offset_bytes);
            const u64 got = read_directly(parts.front().file_offset_bytes, place_of(parts.front(), place).first(straight_bytes));
            shorten(parts, got);
            if (got < straight_bytes) return;
        }
    }
    if (!parts.empty()) take_through_buffer(parts, end_of(parts.back()), place, hand);
}

void FileBytes::take_through_buffer(Parts& parts, u64 end_bytes, std::span<std::byte> place, ReadingHand& hand) {
    const u64 begin = aligned_down(parts.front().file_offset_bytes, alignment_->offset_bytes);
    const u64 size = aligned_up(end_bytes, alignment_->offset_bytes) - begin;
    const std::span<std::byte> buffer = hand.buffer();
    if (buffer.size() < size) return;
    const u64 here = begin + read_directly(begin, buffer.first(size));
    while (!parts.empty() && parts.front().file_offset_bytes < here) {
        const ipc::TableCopy& part = parts.front();
        const u64 taken = std::min(part.size_bytes, here - part.file_offset_bytes);
        std::memcpy(place_of(part, place).data(), buffer.data() + (part.file_offset_bytes - begin), taken);
        shorten(parts, taken);
    }
}

u64 FileBytes::read_directly(u64 offset_bytes, std::span<std::byte> into) {
    u64 done = 0;
    while (done < into.size() && done % alignment_->offset_bytes == 0) {
        const ssize_t got = pread(direct_.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset_bytes + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) direct_refused_.store(true, std::memory_order_relaxed);
        if (got <= 0) break;
        done += static_cast<u64>(got);
    }
    direct_bytes_.fetch_add(done, std::memory_order_relaxed);
    return done;
}

Result<void> FileBytes::take_plainly(Parts& parts, std::span<std::byte> place) {
    while (!parts.empty()) {
        const std::span<std::byte> into = place_of(parts.front(), place);
        const ssize_t got = pread(file_.get(), into.data(), into.size(), static_cast<off_t>(parts.front().file_offset_bytes));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return std::unexpected(system_error("pread", errno));
        if (got == 0) return refuse(Code::invalid_model, "file", "The file " + name_ + " became shorter while it was being read.");
        plain_bytes_.fetch_add(static_cast<u64>(got), std::memory_order_relaxed);
        shorten(parts, static_cast<u64>(got));
    }
    return {};
}
}  // namespace vramd::worker
