/// For the worker room's tests: files on a real disk, whose pages can be dropped from the cache and counted in it.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/choices.hpp"
#include "base/fd.hpp"

namespace vramd::worker::testing {
/// Bytes that tell their position.
inline std::string pattern(u64 size_bytes, u64 seed) {
    std::string bytes(size_bytes, '\0');
    SeededRandom random(seed);
    for (u64 at = 0; at < size_bytes; at += 8) {
        const u64 next = random.next();
        std::memcpy(bytes.data() + at, &next, std::min<u64>(8, size_bytes - at));
    }
    return bytes;
}

/// An unnamed file on the disk with these bytes, cached and not dirty.
inline Fd disk_file_of(std::string_view bytes) {
    std::string path = "/var/tmp/vramd-reader-XXXXXX";
    Fd file(mkostemp(path.data(), O_CLOEXEC));
    REQUIRE(file);
    REQUIRE(unlink(path.c_str()) == 0);
    while (!bytes.empty()) {
        const ssize_t put = write(file.get(), bytes.data(), bytes.size());
        REQUIRE(put > 0);
        bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    REQUIRE(fdatasync(file.get()) == 0);
    return file;
}
inline u64 size_of(const Fd& file) { return static_cast<u64>(lseek(file.get(), 0, SEEK_END)); }

/// Bytes of it in the page cache.
inline u64 cached_bytes_of(const Fd& file) {
    const u64 size = size_of(file);
    void* const at = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
    REQUIRE(at != MAP_FAILED);
    std::vector<unsigned char> pages(div_ceil(size, 4096));
    REQUIRE(mincore(at, size, pages.data()) == 0);
    munmap(at, size);
    u64 cached = 0;
    for (const unsigned char page : pages) cached += (page & 1) * u64{4096};
    return cached;
}
/// Drops it from the cache. False where that cannot be had (a file system in memory).
[[nodiscard]] inline bool make_cold(const Fd& file) {
    (void)posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    return cached_bytes_of(file) == 0;
}
/// Drops it, then brings some ranges of it back.
inline void make_half_cold(const Fd& file, Choices& choices) {
    (void)make_cold(file);
    std::vector<char> bytes(1 + choices.below(1'000'000));
    // As a random reader does, else read-ahead would bring the rest.
    REQUIRE(posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM) == 0);
    for (u64 i = 0; i < 4; ++i) (void)!pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(choices.below(size_of(file))));
    REQUIRE(posix_fadvise(file.get(), 0, 0, POSIX_FADV_NORMAL) == 0);
}
}  // namespace vramd::worker::testing
