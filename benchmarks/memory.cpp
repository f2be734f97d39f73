// links: device/host transfer
/// What host memory costs: making blocks fresh and from the pool, then zeroing, filling, copying and summing them through the transfer
/// engine.
///
/// Each figure stands beside its limit from the same run: the kernel's own populating, and the C library's memset and memcpy of the same
/// bytes on the same number of threads. `--quick` uses smaller blocks and fewer rounds.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "device/host/host.hpp"
#include "transfer/engine.hpp"

namespace {
using namespace vramd;

u64 block_bytes = 256 * mib;
int rounds = 15;
u64 next_key = 1;

template <class T>
T must(Result<T> result) {
    if (result) return *std::move(result);
    std::fprintf(stderr, "%s\n", describe(result.error()).c_str());
    std::exit(1);
}
void must(Result<void> result) {
    if (result) return;
    std::fprintf(stderr, "%s\n", describe(result.error()).c_str());
    std::exit(1);
}

std::unique_ptr<device::Device> open_device(u64 pool_bytes) {
    return must(device::host::open({.capacity_bytes = 8 * gib, .pool_max_bytes = pool_bytes}));
}

u64 timed_ns(const std::function<void()>& work) {
    const u64 start_ns = monotonic_ns();
    work();
    return std::max<u64>(monotonic_ns() - start_ns, 1);
}
/// The best round's rate, in GB/s: what others did to the machine meanwhile is no property of the code.
double gb_per_second(
    u64 bytes, const std::function<void()>& work, const std::function<void()>& between = [] {}) {
    std::vector<double> rates;
    for (int round = 0; round < rounds; ++round) {
        rates.push_back(static_cast<double>(bytes) / static_cast<double>(timed_ns(work)));
        between();
    }
    return std::ranges::max(rates);
}
void show(const char* what, double rate, double limit, const char* limit_name) {
    std::printf("%-44s %8.2f GB/s   %-28s %8.2f GB/s   %4.0f %%\n", what, rate, limit_name, limit, 100 * rate / limit);
}

void on_threads(u32 threads, const std::function<void(u64 offset, u64 size)>& piece) {
    std::vector<std::jthread> others;
    const u64 share = block_bytes / threads;
    for (u64 i = 1; i < threads; ++i) others.emplace_back(piece, i * share, share);
    piece(0, share);
}

/// The kernel's own rate: a new memfd, mapped, populated on `threads` threads.
double populate_rate(u32 threads) {
    int file = -1;
    std::byte* bytes = nullptr;
    return gb_per_second(
        block_bytes,
        [&] {
            file = memfd_create("bench", MFD_CLOEXEC);
            if (file < 0 || ftruncate(file, static_cast<off_t>(block_bytes)) != 0) std::exit(1);
            void* const address = mmap(nullptr, block_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            if (address == MAP_FAILED) std::exit(1);
            bytes = static_cast<std::byte*>(address);
            on_threads(threads, [&](u64 offset, u64 size) { (void)madvise(bytes + offset, size, MADV_POPULATE_WRITE); });
        },
        [&] {
            munmap(bytes, block_bytes);
            close(file);
        });
}

void bench_creation(u32 threads) {
    std::printf("\nA block of %llu MiB\n", static_cast<unsigned long long>(block_bytes / mib));
    const auto fresh = open_device(0);
    (void)populate_rate(1);  // The machine's own first touch of this memory, where it is virtual, is nobody's figure.
    const double limit = populate_rate(threads);
    const auto create = [](device::Device& device) { (void)must(device.create({next_key, block_bytes, device::BlockKind::dedicated})); };
    show("created fresh",
         gb_per_second(
             block_bytes, [&] { create(*fresh); }, [&] { must(fresh->release(next_key++)); }),
         limit, "populating, same threads");
    const auto pooled = open_device(2 * block_bytes);
    create(*pooled);
    must(pooled->release(next_key++));
    const double dirty = gb_per_second(
        block_bytes, [&] { create(*pooled); }, [&] { must(pooled->release(next_key++)); });
    show("created from the pool, zeroed on the way", dirty, limit, "populating, same threads");
    const double clean = gb_per_second(
        block_bytes, [&] { create(*pooled); },
        [&] {
            must(pooled->release(next_key++));
            // The time that the background needs at a tenth of its usual rate.
            const u64 until_ns = monotonic_ns() + block_bytes / 2;
            while (monotonic_ns() < until_ns) std::this_thread::yield();
        });
    std::printf("%-44s %8.1f us\n", "created from the pool, zeroed in the meantime", static_cast<double>(block_bytes) / clean / 1e3);
}

transfer::Outcome run(transfer::Engine& engine, transfer::Job job) {
    std::promise<Result<transfer::Outcome>> ended;
    auto future = ended.get_future();
    (void)must(engine.submit(std::move(job), [&](Result<transfer::Outcome> outcome) { ended.set_value(std::move(outcome)); }));
    return must(future.get());
}

struct Blocks {
    device::Device& device;
    u64 source, target;
    transfer::Place place(u64 key, u64 size) const { return {&device, key, must(Range::within(block_bytes, 0, size))}; }
};

void bench_transfers(const Blocks& blocks, u32 threads) {
    std::printf("\nTransfers of %llu MiB on %u thread%s\n", static_cast<unsigned long long>(block_bytes / mib), threads,
                threads == 1 ? "" : "s");
    const auto source = must(blocks.device.map(blocks.source));
    const auto target = must(blocks.device.map(blocks.target));
    const auto from = source.read();
    const auto to = must(target.write());
    transfer::Engine engine({.threads = threads});
    using transfer::Kind;
    const auto all = [&](u64 key) { return blocks.place(key, block_bytes); };
    // Of the same value each: on some processors lines of zeros are written faster than others.
    const auto memset_rate = [&](int value) {
        return gb_per_second(block_bytes, [&] { on_threads(threads, [&](u64 at, u64 size) { std::memset(&to[at], value, size); }); });
    };
    const double memcpy_rate =
        gb_per_second(block_bytes, [&] { on_threads(threads, [&](u64 at, u64 size) { std::memcpy(&to[at], &from[at], size); }); });
    const auto rate = [&](const transfer::Job& job) { return gb_per_second(block_bytes, [&] { (void)run(engine, job); }); };
    show("zero", rate({.kind = Kind::zero, .target = all(blocks.target)}), memset_rate(0), "memset of 0, same threads");
    show("fill", rate({.kind = Kind::fill, .target = all(blocks.target), .fill_value = std::byte{7}}), memset_rate(7), "memset of 7, same threads");
    const transfer::Job copy{.kind = Kind::copy, .source = all(blocks.source), .target = all(blocks.target)};
    show("copy", rate(copy), memcpy_rate, "memcpy, same threads");
    transfer::Job verified = copy;
    verified.verify = transfer::Verify::checksum;
    show("copy, verified by checksum", rate(verified), memcpy_rate, "memcpy, same threads");
    show("checksum", rate({.kind = Kind::checksum, .source = all(blocks.source)}), memcpy_rate, "memcpy, same threads");
    const auto limits = must(transfer::measure_limits(threads));
    std::printf("%-44s %8.2f GB/s   %-28s %8.2f GB/s\n", "measure_limits says: copy",
                static_cast<double>(limits.copy_bytes_per_second) / 1e9, "zero", static_cast<double>(limits.zero_bytes_per_second) / 1e9);
}

void bench_sizes(const Blocks& blocks, u32 threads) {
    std::printf("\nCopies by size, one after another, on %u threads\n", threads);
    transfer::Engine engine({.threads = threads});
    const auto source = must(blocks.device.map(blocks.source));
    const auto target = must(blocks.device.map(blocks.target));
    for (const u64 size : {4 * kib, 64 * kib, 256 * kib, mib, 4 * mib, 16 * mib, 64 * mib}) {
        const u64 count = std::max<u64>(1, std::min<u64>(2000, 256 * mib / size));
        const transfer::Job job{
            .kind = transfer::Kind::copy, .source = blocks.place(blocks.source, size), .target = blocks.place(blocks.target, size)};
        const double rate = gb_per_second(size * count, [&] {
            for (u64 i = 0; i < count; ++i) (void)run(engine, job);
        });
        const double plain = gb_per_second(size * count, [&] {
            for (u64 i = 0; i < count; ++i) std::memcpy(must(target.write()).data(), source.read().data(), size);
        });
        std::printf("%8llu KiB: submitted %8.2f GB/s (%.1f us each)   memcpy, one thread %8.2f GB/s",
                    static_cast<unsigned long long>(size / kib), rate, static_cast<double>(size) / rate / 1e3, plain);
        if (size <= transfer::run_now_max_bytes) {
            const double now = gb_per_second(size * count, [&] {
                for (u64 i = 0; i < count; ++i) (void)must(engine.run_now(job));
            });
            std::printf("   run_now %8.2f GB/s", now);
        }
        std::printf("\n");
    }
}
}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "--quick") {
        block_bytes = 64 * mib;
        rounds = 9;
    }
    const u32 threads = std::clamp<u32>(std::thread::hardware_concurrency(), 1, 4);
    bench_creation(threads);
    const auto device = open_device(0);
    const Blocks blocks{*device, 1, 2};
    for (const u64 key : {1, 2}) (void)must(device->create({key, block_bytes, device::BlockKind::dedicated}));
    bench_transfers(blocks, 1);
    if (threads > 1) bench_transfers(blocks, threads);
    bench_sizes(blocks, threads);
}
