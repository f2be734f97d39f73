// links: ledger
/// What one append costs: two events, 200 bytes, the size of an allocation's record, into the mapped file. Beside it, from the same run,
/// a plain copy of the same bytes into a mapped file of the same size: what no ledger can go below.
/// `--quick` appends fewer.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "ledger/ledger.hpp"

namespace {
using namespace vramd;

constexpr u64 record_bytes = 200;
constexpr u64 file_bytes = 16 * mib;

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::exit(1);
}

/// A directory that goes away.
struct Directory {
    std::string path = (std::filesystem::temp_directory_path() / "vramd-bench-XXXXXX").string();
    Directory() {
        if (mkdtemp(path.data()) == nullptr) give_up("mkdtemp");
    }
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
};

/// ns of one append, files prepared ahead as the daemon does; the preparing is not part of it, for it happens on another thread there.
double append_ns(u64 appends) {
    const Directory directory;
    auto open = ledger::Ledger::open({.directory = directory.path, .life = "bench", .segment_bytes = file_bytes});
    if (!open) give_up(describe(open.error()));
    const std::vector<std::vector<std::byte>> batch{std::vector<std::byte>(120), std::vector<std::byte>(80)};
    u64 spent_ns = 0;
    for (u64 done = 0; done < appends;) {
        const u64 some = std::min<u64>(appends - done, 1000);
        const u64 begun_ns = monotonic_ns();
        for (u64 i = 0; i < some; ++i)
            if (const auto first = open->ledger->append(1, batch); !first) give_up(describe(first.error()));
        spent_ns += monotonic_ns() - begun_ns;
        done += some;
        if (const auto ready = open->ledger->prepare(); !ready) give_up(describe(ready.error()));
    }
    return static_cast<double>(spent_ns) / static_cast<double>(appends);
}

/// ns of copying as many bytes into a mapped file whose room on the disk is taken, as the ledger's is.
double copy_ns(u64 appends) {
    const Directory directory;
    const Fd file(open((directory.path + "/plain").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    if (posix_fallocate(file.get(), 0, file_bytes) != 0) give_up("posix_fallocate");
    void* mapped = mmap(nullptr, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (mapped == MAP_FAILED) give_up("mmap");
    auto* bytes = static_cast<std::byte*>(mapped);
    const std::vector<std::byte> record(record_bytes, std::byte{7});
    const u64 begun_ns = monotonic_ns();
    for (u64 i = 0; i < appends; ++i) {
        std::memcpy(bytes + i * record_bytes % (file_bytes - record_bytes), record.data(), record.size());
        asm volatile("" ::: "memory");
    }
    const double each_ns = static_cast<double>(monotonic_ns() - begun_ns) / static_cast<double>(appends);
    munmap(mapped, file_bytes);
    return each_ns;
}
}  // namespace

int main(int count, char** arguments) {
    const bool quick = count > 1 && std::string_view(arguments[1]) == "--quick";
    const u64 appends = quick ? 40'000 : 400'000;
    double append = append_ns(appends);
    double copy = copy_ns(appends);
    for (int round = 1; round < 5; ++round) {
        append = std::min(append, append_ns(appends));
        copy = std::min(copy, copy_ns(appends));
    }
    std::printf("append of two events, 200 bytes: %.0f ns (best of 5 rounds of %llu); a copy of 200 bytes into a mapped file: %.0f ns\n",
                append, static_cast<unsigned long long>(appends), copy);
}
