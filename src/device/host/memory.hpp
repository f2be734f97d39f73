/// One memfd with this process's mapping of it: made, touched, sealed, zeroed, adopted.
///
/// Source: memfd_create(2), fcntl(2) on seals, madvise(2). Only the owner's uid may open the file again by its /proc name (mode 0600), and
/// nobody may resize it once sealed.
#pragma once
#include <functional>
#include <span>
#include <string>

#include "base/fd.hpp"

namespace vramd::device::host {
/// Runs `piece(offset, size)` for all pieces of [0, size_bytes), on up to `threads` threads, this one among them. The first error
/// stops the rest and is returned.
[[nodiscard]] Result<void> in_parallel(u64 size_bytes, u64 piece_bytes, u32 threads,
                                       const std::function<Result<void>(u64 offset_bytes, u64 size_bytes)>& piece);
/// Threads that fill or touch a large block: the processors, at most 4.
[[nodiscard]] u32 worker_threads();

/// Owns a descriptor and a mapping, or nothing. Move-only. Not synchronised, except that distinct bytes may be touched at once.
class Memory {
public:
    /// Bytes that all `Memory` of this process hold, whatever device they are of.
    [[nodiscard]] static u64 process_bytes();

    Memory() = default;
    Memory(Memory&& other) noexcept;
    Memory& operator=(Memory&& other) noexcept;
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { reset(); }

    /// A new, unsealed, untouched file of `size_bytes`, mapped; of reserved huge pages of `huge_page_bytes`, or 0. Its bytes read as zero.
    /// Errors: `system_failed`; `insufficient_memory` where reserved huge pages were wanted and are gone.
    [[nodiscard]] static Result<Memory> make(u64 size_bytes, u64 huge_page_bytes);
    /// Takes a file from an earlier process. Errors: `invalid_field` in words: no memfd, another size, not sealed against resizing.
    [[nodiscard]] static Result<Memory> adopt(Fd descriptor, u64 size_bytes);

    /// Backs bytes [from_bytes, size) with pages, in pieces on several threads; `touched` hears of each finished piece, on those threads.
    /// Errors: `insufficient_memory` when the system has no more; what was touched stays so.
    [[nodiscard]] Result<void> touch(u64 from_bytes, const std::function<void(u64 bytes)>& touched) const;
    /// Changes the size of memory that was never sealed. Errors: `system_failed`.
    [[nodiscard]] Result<void> resize(u64 size_bytes);
    /// Sets every byte to zero.
    [[nodiscard]] Result<void> zero(u32 threads) const;
    /// Nobody can resize it from here on; verified.
    [[nodiscard]] Result<void> seal_size() const;
    /// A read-only mapping of the same file that nobody can write from here on, except through mappings made before; verified.
    [[nodiscard]] Result<Memory> seal_contents();
    /// Keeps the pages in physical memory. Errors: `limit_exceeded` in words (RLIMIT_MEMLOCK).
    [[nodiscard]] Result<void> lock();
    void unlock();
    /// A descriptor that only reads, whatever this one allows. Errors: `system_failed`.
    [[nodiscard]] Result<Fd> read_only_descriptor() const;

    [[nodiscard]] const Fd& descriptor() const { return descriptor_; }
    [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
    [[nodiscard]] bool is_read_only() const { return read_only_; }
    [[nodiscard]] std::span<std::byte> bytes() const { return {address_, size_bytes_}; }
    [[nodiscard]] explicit operator bool() const { return address_ != nullptr; }
    void reset();

private:
    enum class Counted : u8 { yes, no };  // A second mapping of one file holds no more memory.
    [[nodiscard]] static Result<Memory> map(Fd descriptor, u64 size_bytes, int protection, Counted counted);

    Fd descriptor_;
    std::byte* address_ = nullptr;
    u64 size_bytes_ = 0;
    bool read_only_ = false;
    bool locked_ = false;
    bool counted_ = false;
};
}  // namespace vramd::device::host
