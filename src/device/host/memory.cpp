#include "device/host/memory.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <optional>
#include <thread>
#include <vector>

#include "base/background.hpp"
#include "base/invariant.hpp"
#include "base/mutex.hpp"
#include "device/stream.hpp"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3.
#endif

namespace vramd::device::host {
namespace {
constexpr u64 piece_bytes = 32 * mib;  // Large enough that handing it out costs nothing, small enough to share evenly.
// While pages are mapped or unmapped nobody else of this process can have or give back memory, so it is done a little at a time.
constexpr u64 step_bytes = 1 * mib;
constexpr int size_seals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr int content_seals = size_seals | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
constexpr long tmpfs_magic = 0x01021994;
constexpr long hugetlbfs_magic = 0x958458f6;

std::atomic<u64> process_bytes_held{0};  // All devices' memory: what others use is what is used less this.

std::unexpected<Error> failed(std::string_view call) { return std::unexpected(system_error(call, errno)); }

Result<Fd> memory_file(u64 huge_page_bytes) {
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (huge_page_bytes != 0) flags |= MFD_HUGETLB | static_cast<unsigned>(std::countr_zero(huge_page_bytes)) << MFD_HUGE_SHIFT;
    int descriptor = memfd_create("vramd", flags | MFD_NOEXEC_SEAL);
    if (descriptor < 0 && errno == EINVAL) descriptor = memfd_create("vramd", flags);  // Before Linux 6.3.
    if (descriptor < 0) return failed("memfd_create");
    Fd file(descriptor);
    if (fchmod(file.get(), 0600) != 0) return failed("fchmod");
    return file;
}

Result<int> seals_of(const Fd& file) {
    const int seals = fcntl(file.get(), F_GET_SEALS);
    if (seals < 0) return failed("fcntl(F_GET_SEALS)");
    return seals;
}

Result<void> add_seals(const Fd& file, int seals) {
    if (fcntl(file.get(), F_ADD_SEALS, seals) != 0) return failed("fcntl(F_ADD_SEALS)");
    TRY(const int now, seals_of(file));
    if ((now & seals) != seals) return refuse(Code::system_failed, "seal", "The kernel did not keep the seals of the memory.");
    return {};
}

Result<void> check_is_memory(const Fd& file, u64 size_bytes) {
    struct stat status {};
    struct statfs kind {};
    if (fstat(file.get(), &status) != 0 || fstatfs(file.get(), &kind) != 0) return failed("fstat");
    if (!S_ISREG(status.st_mode) || (kind.f_type != tmpfs_magic && kind.f_type != hugetlbfs_magic))
        return refuse(Code::invalid_field, "descriptor", "The descriptor is not memory.");
    if (status.st_size < 0 || static_cast<u64>(status.st_size) != size_bytes)
        return refuse(Code::invalid_field, "sizeBytes", size_bytes, static_cast<u64>(status.st_size));
    return {};
}

std::unexpected<Error> no_memory(u64 size_bytes) {
    return refuse(Code::insufficient_memory, "sizeBytes",
                  "The system has no more memory for a block of " + std::to_string(size_bytes) + " bytes.");
}
}  // namespace

u32 worker_threads() { return std::clamp<u32>(std::thread::hardware_concurrency(), 1, 4); }

Result<void> in_parallel(u64 size_bytes, u64 piece_size_bytes, u32 threads, const std::function<Result<void>(u64, u64)>& piece) {
    std::atomic<u64> next{0};
    Mutex mutex;
    std::optional<Error> first_error;
    const auto work = [&] {
        while (true) {
            const u64 offset = next.fetch_add(piece_size_bytes, std::memory_order_relaxed);
            if (offset >= size_bytes) return;
            auto done = piece(offset, std::min(piece_size_bytes, size_bytes - offset));
            if (done) continue;
            next.store(size_bytes, std::memory_order_relaxed);
            const Lock lock(mutex);
            if (!first_error) first_error = std::move(done).error();
        }
    };
    {
        std::vector<std::jthread> others;
        const u64 useful = std::min<u64>(threads, div_ceil(size_bytes, piece_size_bytes));
        if (useful <= 1) work();  // Little enough for the caller's own thread.
        for (u64 i = 0; i < useful && useful > 1; ++i)
            others.emplace_back([&work] {
                run_in_background();
                work();
            });
    }
    if (first_error) return std::unexpected(*std::move(first_error));
    return {};
}

u64 Memory::process_bytes() { return process_bytes_held.load(std::memory_order_relaxed); }

Memory::Memory(Memory&& other) noexcept { *this = std::move(other); }

Memory& Memory::operator=(Memory&& other) noexcept {
    if (this == &other) return *this;
    reset();
    descriptor_ = std::move(other.descriptor_);
    address_ = std::exchange(other.address_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    read_only_ = other.read_only_;
    locked_ = std::exchange(other.locked_, false);
    counted_ = std::exchange(other.counted_, false);
    return *this;
}

void Memory::reset() {
    for (u64 at = 0; at < size_bytes_; at += step_bytes)
        (void)madvise(address_ + at, std::min(step_bytes, size_bytes_ - at), MADV_DONTNEED);  // What is refused (locked pages) munmap does.
    if (address_ != nullptr) munmap(address_, size_bytes_);                                   // Unlocks too.
    if (counted_) process_bytes_held.fetch_sub(size_bytes_, std::memory_order_relaxed);
    address_ = nullptr;
    size_bytes_ = 0;
    locked_ = counted_ = false;
    descriptor_.reset();
}

Result<Memory> Memory::map(Fd descriptor, u64 size_bytes, int protection, Counted counted) {
    void* const address = mmap(nullptr, size_bytes, protection, MAP_SHARED, descriptor.get(), 0);
    if (address == MAP_FAILED) {
        if (errno == ENOMEM) return no_memory(size_bytes);
        return failed("mmap");
    }
    Memory memory;
    memory.descriptor_ = std::move(descriptor);
    memory.address_ = static_cast<std::byte*>(address);
    memory.size_bytes_ = size_bytes;
    memory.read_only_ = (protection & PROT_WRITE) == 0;
    memory.counted_ = counted == Counted::yes;
    if (memory.counted_) process_bytes_held.fetch_add(size_bytes, std::memory_order_relaxed);
    // Advice: models belong in no core dump, and huge pages are welcome where the system offers them for shared memory.
    (void)madvise(address, size_bytes, MADV_DONTDUMP);
    (void)madvise(address, size_bytes, MADV_HUGEPAGE);
    return memory;
}

Result<Memory> Memory::make(u64 size_bytes, u64 huge_page_bytes) {
    TRY(Fd file, memory_file(huge_page_bytes));
    if (ftruncate(file.get(), static_cast<off_t>(size_bytes)) != 0) return failed("ftruncate");
    return map(std::move(file), size_bytes, PROT_READ | PROT_WRITE, Counted::yes);
}

Result<Memory> Memory::adopt(Fd descriptor, u64 size_bytes) {
    TRY_DO(check_is_memory(descriptor, size_bytes));
    TRY(const int seals, seals_of(descriptor));
    if ((seals & size_seals) != size_seals)
        return refuse(Code::invalid_field, "descriptor", "The memory is not sealed against resizing, so it is not ours.");
    const int protection = (seals & F_SEAL_FUTURE_WRITE) != 0 ? PROT_READ : PROT_READ | PROT_WRITE;
    return map(std::move(descriptor), size_bytes, protection, Counted::yes);
}

Result<void> Memory::touch(u64 from_bytes, const std::function<void(u64)>& touched) const {
    if (from_bytes >= size_bytes_) return {};
    return in_parallel(size_bytes_ - from_bytes, piece_bytes, worker_threads(), [&](u64 offset, u64 size) -> Result<void> {
        for (u64 done = 0; done < size;) {
            const u64 step = std::min(step_bytes, size - done);
            if (madvise(address_ + from_bytes + offset + done, step, MADV_POPULATE_WRITE) == 0) {
                done += step;
                continue;
            }
            if (errno == EINTR || errno == EAGAIN) continue;
            if (errno == ENOMEM || errno == EFAULT || errno == ENOSPC) return no_memory(size_bytes_);
            return failed("madvise(MADV_POPULATE_WRITE)");
        }
        touched(size);
        return {};
    });
}

Result<void> Memory::resize(u64 size_bytes) {
    if (ftruncate(descriptor_.get(), static_cast<off_t>(size_bytes)) != 0) return failed("ftruncate");
    void* const address = mremap(address_, size_bytes_, size_bytes, MREMAP_MAYMOVE);
    if (address == MAP_FAILED) return failed("mremap");
    process_bytes_held.fetch_add(size_bytes - size_bytes_, std::memory_order_relaxed);  // Wraps to a subtraction when it shrinks.
    address_ = static_cast<std::byte*>(address);
    size_bytes_ = size_bytes;
    return {};
}

Result<void> Memory::zero(u32 threads) const {
    INVARIANT(!read_only_);
    return in_parallel(size_bytes_, piece_bytes, threads, [&](u64 offset, u64 size) -> Result<void> {
        stream_fill({address_ + offset, size}, std::byte{0});
        return {};
    });
}

Result<void> Memory::seal_size() const { return add_seals(descriptor_, size_seals); }

Result<Memory> Memory::seal_contents() {
    TRY(Fd second, descriptor_.duplicate());
    TRY_DO(add_seals(second, content_seals));
    TRY(Memory sealed, map(std::move(second), size_bytes_, PROT_READ, Counted::no));
    sealed.counted_ = std::exchange(counted_, false);
    return sealed;
}

Result<void> Memory::lock() {
    // Straight to the kernel: the sanitizers replace mlock(3) by nothing, and then no test could see this work.
    if (syscall(SYS_mlock, address_, size_bytes_) == 0) {
        locked_ = true;
        return {};
    }
    rlimit limit{};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    return refuse(Code::limit_exceeded, "allocationType",
                  "Pinning " + std::to_string(size_bytes_) + " bytes is more than the system lets this process lock (RLIMIT_MEMLOCK is " +
                      std::to_string(limit.rlim_cur) +
                      " bytes for all of it); raise it with LimitMEMLOCK=infinity in the service or `ulimit -l unlimited`.");
}

void Memory::unlock() {
    if (locked_) syscall(SYS_munlock, address_, size_bytes_);
    locked_ = false;
}

Result<Fd> Memory::read_only_descriptor() const {
    const std::string name = "/proc/self/fd/" + std::to_string(descriptor_.get());
    Fd read_only(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
    if (read_only) return read_only;
    if (!read_only_) return failed("open(/proc/self/fd)");
    return descriptor_.duplicate();  // Without /proc the seal alone keeps writers out, which it does.
}
}  // namespace vramd::device::host
