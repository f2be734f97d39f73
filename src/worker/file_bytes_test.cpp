#include "worker/file_bytes.hpp"

#include <sys/resource.h>

#include "worker/disk_file.hpp"
#include "worker/test_files.hpp"

namespace vramd::worker {
using namespace testing;
namespace {
constexpr u64 file_bytes = 6 * mib + 777;

std::span<const std::byte> as_expected(const std::string& content) { return std::as_bytes(std::span(content)); }

/// All of the file, beginning `shift` bytes into a page.
struct Whole {
    explicit Whole(u64 shift) : shift_bytes(shift), memory(8 * mib) {}
    Result<void> read(FileBytes& bytes, u64 from_bytes = 0) {
        ReadingHand hand(1);
        for (u64 at = from_bytes; at < file_bytes; at += mib) {
            ipc::TableCopy part{0, at, std::min(mib, file_bytes - at), shift_bytes + at};
            TRY_DO(bytes.bring({&part, 1}, memory.place(0, 8 * mib), hand));
        }
        return {};
    }
    [[nodiscard]] bool holds(const std::string& content) const {
        return std::ranges::equal(memory.place(shift_bytes, file_bytes), as_expected(content));
    }
    u64 shift_bytes;
    Memory memory;
};
/// A page that was asked for may still come after the file was dropped from the cache: so each reading of these tests has a file of its
/// own. The tests of direct reads say so instead of passing for nothing where the disk has none.
bool has_direct_reads(const Fd& file) {
    const bool has = make_cold(file) && direct_alignment_of(file).has_value();
    if (!has) MESSAGE("/var/tmp has no direct reads: not tested here");
    return has;
}
}  // namespace

TEST_CASE("a file that is not cached is read past the cache, into any place, and leaves the cache as it was") {
    const std::string content = pattern(file_bytes, 1);
    for (const u64 shift : {0, 512, 1, 48, 4095}) {
        CAPTURE(shift);
        const Fd file = disk_file_of(content);
        if (!has_direct_reads(file)) return;
        FileBytes bytes(file, "m");
        Whole whole(shift);
        REQUIRE(whole.read(bytes));
        CHECK(whole.holds(content));
        CHECK(bytes.ways().plain_bytes == 0);
        // Asking by reading, a disk can be so fast that it answers for the cache.
        if (!is_cached(file, 0, file_bytes)) continue;
        CHECK(bytes.ways().cached_bytes == 0);
        CHECK(bytes.ways().direct_bytes >= file_bytes);
        CHECK(cached_bytes_of(file) == 0);
    }
    const Fd file = disk_file_of(content);
    REQUIRE(make_cold(file));
    FileBytes bytes(file, "m");
    Whole whole(0);
    REQUIRE(whole.read(bytes, 100));  // Aligned alike, but not at its beginning and its end.
    CHECK(std::ranges::equal(whole.memory.place(100, file_bytes - 100), as_expected(content).subspan(100)));
    CHECK(bytes.ways().plain_bytes == 0);
}

TEST_CASE("a cached file comes from the cache, a half cached one from both") {
    const std::string content = pattern(file_bytes, 2);
    const Fd file = disk_file_of(content);
    FileBytes warm(file, "m");
    Whole whole(5);
    REQUIRE(whole.read(warm));
    CHECK(whole.holds(content));
    CHECK(warm.ways() == Ways{file_bytes, 0, 0});

    if (!has_direct_reads(file)) return;
    const auto cached_in = [&](u64 from_bytes, u64 size_bytes) {
        Fd half = disk_file_of(content);
        REQUIRE(make_cold(half));
        REQUIRE(posix_fadvise(half.get(), 0, 0, POSIX_FADV_RANDOM) == 0);
        std::vector<char> some(size_bytes);
        REQUIRE(pread(half.get(), some.data(), size_bytes, static_cast<off_t>(from_bytes)) == static_cast<ssize_t>(size_bytes));
        REQUIRE(posix_fadvise(half.get(), 0, 0, POSIX_FADV_NORMAL) == 0);  // Else nothing would be read ahead of what is cached.
        return half;
    };
    const Fd first_half = cached_in(0, 3 * mib);
    FileBytes first(first_half, "m");
    Whole again(5);
    REQUIRE(again.read(first));
    CHECK(again.holds(content));
    CHECK(first.ways().cached_bytes >= 3 * mib);
    CHECK(first.ways().direct_bytes >= file_bytes - 4 * mib);

    // Nothing is read ahead of what is cached: of the piece that it ends in some may come, of the next ones none.
    const Fd not_quite_two = cached_in(0, 2 * mib - 64 * kib);
    FileBytes ahead(not_quite_two, "m");
    Whole beyond(5);
    REQUIRE(beyond.read(ahead));
    CHECK(beyond.holds(content));
    CHECK(ahead.ways().direct_bytes >= file_bytes - 3 * mib);
    CHECK(cached_bytes_of(not_quite_two) <= 4 * mib);

    const Fd all_but_the_first = cached_in(mib, file_bytes - mib);
    FileBytes rest(all_but_the_first, "m");
    Whole last(5);
    REQUIRE(last.read(rest));
    CHECK(last.holds(content));
    CHECK(rest.ways().cached_bytes >= file_bytes - 2 * mib);  // After one that is not cached the next is not asked for.
}

TEST_CASE("where the kernel does not tell what is cached, asking by reading brings every byte too") {
    const std::string content = pattern(file_bytes, 6);
    const Fd file = disk_file_of(content);
    FileBytes warm(file, "m", std::nullopt, false);
    Whole whole(5);
    REQUIRE(whole.read(warm));
    CHECK(whole.holds(content));
    CHECK(warm.ways() == Ways{file_bytes, 0, 0});
    if (!has_direct_reads(file)) return;
    FileBytes cold(file, "m", std::nullopt, false);
    Whole again(5);
    REQUIRE(again.read(cold));
    CHECK(again.holds(content));
    CHECK(cold.ways().plain_bytes == 0);
}

TEST_CASE("a page that is missing is told") {
    const Fd file = disk_file_of(pattern(file_bytes, 7));
    if (!is_cached(file, 0, 1)) {
        MESSAGE("this kernel does not tell what is cached: not tested here");
        return;
    }
    CHECK(is_cached(file, 0, file_bytes) == true);
    CHECK(is_cached(file, 4095, 4097) == true);
    if (!make_cold(file)) return;
    REQUIRE(posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM) == 0);
    char byte = 0;
    REQUIRE(pread(file.get(), &byte, 1, 2 * 4096 + 5) == 1);
    CHECK(is_cached(file, 2 * 4096, 3 * 4096) == true);
    CHECK(is_cached(file, 3 * 4096 - 1, 3 * 4096) == true);
    CHECK(is_cached(file, 2 * 4096 - 1, 3 * 4096) == false);
    CHECK(is_cached(file, 2 * 4096, 3 * 4096 + 1) == false);
}

TEST_CASE("a file system that cannot say what is cached is read plainly") {
    const std::string content = pattern(file_bytes, 3);
    const Fd file = file_of(content);
    FileBytes bytes(file, "m");
    Whole whole(0);
    REQUIRE(whole.read(bytes));
    CHECK(whole.holds(content));
    CHECK(bytes.ways().plain_bytes + bytes.ways().cached_bytes == file_bytes);
}

TEST_CASE("a disk that refuses direct reads, when opened or when read, is read plainly from then on") {
    const std::string content = pattern(file_bytes, 4);
    {
        const Fd file = disk_file_of(content);
        if (!has_direct_reads(file)) return;
        FileBytes bytes(file, "m", DirectAlignment{1, 1});  // Less than the disk asks for.
        Whole whole(3);
        REQUIRE(whole.read(bytes, 1));
        CHECK(std::ranges::equal(whole.memory.place(4, file_bytes - 1), as_expected(content).subspan(1)));
        CHECK(bytes.ways().direct_bytes == 0);
        CHECK(bytes.ways().plain_bytes > 0);
    }
    {
        const Fd file = disk_file_of(content);
        REQUIRE(make_cold(file));
        FileBytes bytes(file, "m");
        Whole whole(3);
        rlimit limit{};
        REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
        const rlimit none{0, limit.rlim_max};
        REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
        const Result<void> read = whole.read(bytes);
        REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        REQUIRE(read);
        CHECK(whole.holds(content));
        CHECK(bytes.ways().direct_bytes == 0);
    }
}

TEST_CASE("a file that is shorter than its parts is named, cached or not") {
    for (const bool cold : {false, true}) {
        CAPTURE(cold);
        const Fd file = disk_file_of(pattern(file_bytes, 5));
        FileBytes bytes(file, "shard-2.safetensors");
        REQUIRE(ftruncate(file.get(), 3 * mib + 100) == 0);
        REQUIRE(fdatasync(file.get()) == 0);
        if (cold && !has_direct_reads(file)) return;
        Whole whole(7);
        const Result<void> read = whole.read(bytes);
        REQUIRE(!read);
        CHECK(read.error().code == Code::invalid_model);
        CHECK(describe(read.error()).find("shard-2.safetensors") != std::string::npos);
    }
}

TEST_CASE("parts that follow each other closely are read together, others are not") {
    const auto count = [](std::vector<ipc::TableCopy> parts) { return FileBytes::together(parts); };
    CHECK(count({{0, 100, 50, 0}}) == 1);
    CHECK(count({{0, 100, 50, 0}, {0, 150, 10, 50}, {0, 160 + read_gap_bytes_max, 1, 60}}) == 3);
    CHECK(count({{0, 100, 50, 0}, {0, 150, 10, 50}, {0, 161 + read_gap_bytes_max, 1, 60}}) == 2);
    CHECK(count({{0, 100, 50, 0}, {0, 149, 10, 50}}) == 1);
    CHECK(count({{0, 0, read_step_bytes - 1, 0}, {0, read_step_bytes - 1, 1, 1}}) == 2);
    CHECK(count({{0, 0, read_step_bytes, 0}, {0, read_step_bytes, 1, 1}}) == 1);
}
}  // namespace vramd::worker
