// links: worker
/// What a load costs, stage by stage, beside the machine's own limits measured in the same run: from a warm page cache, two threads that
/// pread the same bytes into memory whose pages are already mapped; from a file that was dropped from the cache, the best of a table of
/// direct reads (sizes × in flight, straight to their place or into a buffer that stays), and reading through the cache.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "worker/loader_process.hpp"

namespace vramd {
namespace {
constexpr u64 tensor_count = 64;
constexpr u64 tensor_bytes = 16 * mib;
constexpr u64 data_bytes = tensor_count * tensor_bytes;
constexpr u64 memory_bytes = data_bytes + 1 * mib;
constexpr u64 piece_bytes = 4 * mib;
constexpr int rounds = 9;
constexpr int cold_rounds = 7;   ///< Of the load and its best limit, in turns.
constexpr int table_rounds = 3;  ///< Of each of the table's cells.

double ms(u64 ns) { return static_cast<double>(ns) / 1e6; }
[[noreturn]] void give_up(const std::string& why) {
    (void)std::fprintf(stderr, "bench load: %s\n", why.c_str());
    _exit(1);
}

/// A safetensors file of 1 GiB, already unlinked; its bytes are in the page cache and on the disk.
Fd make_file(u64& header_bytes) {
    std::string json = "{";
    for (u64 i = 0; i < tensor_count; ++i)
        json += (i == 0 ? "" : ",") + ("\"layer." + std::to_string(i)) + "\":{\"dtype\":\"F32\",\"shape\":[" +
                std::to_string(tensor_bytes / 4) + "],\"data_offsets\":[" + std::to_string(i * tensor_bytes) + "," +
                std::to_string((i + 1) * tensor_bytes) + "]}";
    json += "}";
    json.resize(round_up(json.size(), 8), ' ');
    std::string path = "/var/tmp/vramd-bench-load-XXXXXX";
    Fd file(mkstemp(path.data()));
    if (!file) give_up("no temporary file");
    unlink(path.c_str());
    const u64 size = json.size();
    const std::string head = std::string(reinterpret_cast<const char*>(&size), sizeof size) + json;
    header_bytes = head.size();
    std::vector<char> block(tensor_bytes);
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<char>(i * 131);
    if (write(file.get(), head.data(), head.size()) != static_cast<ssize_t>(head.size())) give_up("write");
    for (u64 i = 0; i < tensor_count; ++i)
        if (write(file.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size())) give_up("write");
    if (fdatasync(file.get()) != 0) give_up("fdatasync");
    return file;
}

/// The limit: nothing but the copy.
u64 plain_read_ns(int file, u64 header_bytes, std::byte* memory) {
    std::atomic<u64> next = 0;
    const auto work = [&] {
        for (u64 at = next.fetch_add(piece_bytes); at < data_bytes; at = next.fetch_add(piece_bytes))
            for (u64 done = 0; done < piece_bytes;) {
                const ssize_t got = pread(file, memory + at + done, piece_bytes - done, static_cast<off_t>(header_bytes + at + done));
                if (got <= 0) give_up("pread");
                done += static_cast<u64>(got);
            }
    };
    const u64 began_ns = monotonic_ns();
    std::thread other(work);
    work();
    other.join();
    return monotonic_ns() - began_ns;
}

worker::Loaded load_once(worker::Loaders& loaders, const worker::SharedFiles& files, const Fd& memory, std::byte* mapped) {
    std::promise<Result<worker::Loaded>> promise;
    worker::LoadJob job;
    job.files = files;
    job.memory = memory.duplicate().value();
    job.place = {mapped, memory_bytes};
    job.done = [&](Result<worker::Loaded> result) { promise.set_value(std::move(result)); };
    if (auto ticket = loaders.load(std::move(job)); !ticket) give_up(describe(ticket.error()));
    auto loaded = promise.get_future().get();
    if (!loaded) give_up(describe(loaded.error()));
    return std::move(*loaded);
}

void print_line(const char* name, u64 ns, u64 limit_ns) {
    const double rate = static_cast<double>(data_bytes) / static_cast<double>(ns);
    std::printf("  %-46s %8.2f ms %6.2f GB/s %6.1f %%\n", name, ms(ns), rate,
                100.0 * static_cast<double>(limit_ns) / static_cast<double>(ns));
}

u64 median(std::vector<u64> values) {
    std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
    return values[values.size() / 2];
}

void measure_warm(worker::Loaders& loaders, const worker::SharedFiles& files, u64 header_bytes, const Fd& memory, std::byte* mapped) {
    std::vector<u64> plain;
    std::vector<worker::Stages> loads;
    for (int i = 0; i < rounds; ++i) {  // In turns, so that a busy neighbour slows both.
        plain.push_back(plain_read_ns(files->main.get(), header_bytes, mapped));
        loads.push_back(load_once(loaders, files, memory, mapped).stages);
    }
    std::sort(plain.begin(), plain.end());
    std::sort(loads.begin(), loads.end(), [](const auto& a, const auto& b) { return a.total_ns < b.total_ns; });
    const u64 limit_ns = plain[rounds / 2];
    const worker::Stages stages = loads[rounds / 2];
    std::printf("load a 1 GiB safetensors file from a warm page cache: medians of %d, and the share of the limit\n", rounds);
    print_line("limit: two threads pread into mapped memory", limit_ns, limit_ns);
    print_line("read", stages.read_ns, limit_ns);
    print_line("whole load", stages.total_ns, limit_ns);
    print_line("whole load, the best of each", loads[0].total_ns, plain[0]);
    std::printf("  stages: queue %.2f, spawn and confine %.2f, parse %.2f, read %.2f, end %.2f ms\n", ms(stages.queue_ns),
                ms(stages.spawn_ns), ms(stages.parse_ns), ms(stages.read_ns), ms(stages.exit_ns));
}

u64 cached_bytes_of(const Fd& file) {
    void* const at = mmap(nullptr, data_bytes, PROT_READ, MAP_SHARED, file.get(), 0);
    std::vector<unsigned char> pages(data_bytes / 4096);
    if (at == MAP_FAILED || mincore(at, data_bytes, pages.data()) != 0) give_up("mincore");
    munmap(at, data_bytes);
    return 4096 * static_cast<u64>(std::ranges::count_if(pages, [](unsigned char page) { return (page & 1) != 0; }));
}
bool make_cold(const Fd& file) { return posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED) == 0 && cached_bytes_of(file) < mib; }

/// One way of reading the file's data.
struct Reading {
    enum class Way : u8 { straight, buffer, cache } way = Way::straight;
    u64 piece = 0;
    u32 threads = 0;
    std::vector<u64> took_ns = {};
};
const char* name_of(Reading::Way way) {
    return way == Reading::Way::straight ? "direct, straight" : way == Reading::Way::buffer ? "direct, by a buffer" : "through the cache";
}

/// A huge page, as far as there is one.
std::byte* make_buffer() {
    constexpr std::size_t size = 4 * mib;
    auto* const at = static_cast<std::byte*>(std::aligned_alloc(size, size));
    if (at == nullptr) give_up("no memory");
    (void)madvise(at, size, MADV_HUGEPAGE);
    std::memset(at, 1, size);
    return at;
}

/// Reads as many bytes as a load does, from the file's beginning, which is aligned.
u64 read_cold_ns(const Fd& file, const Reading& reading, std::byte* mapped) {
    const bool direct = reading.way != Reading::Way::cache;
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    const Fd own(open(path.c_str(), O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0)));
    if (!own) give_up("open");
    std::vector<std::byte*> buffers;
    for (u32 i = 0; i < reading.threads; ++i) buffers.push_back(reading.way == Reading::Way::buffer ? make_buffer() : nullptr);
    std::atomic<u64> next = 0;
    const auto work = [&](std::byte* buffer) {
        for (u64 at = next.fetch_add(reading.piece); at < data_bytes; at = next.fetch_add(reading.piece)) {
            const u64 size = std::min(reading.piece, data_bytes - at);
            std::byte* const into = buffer != nullptr ? buffer : mapped + at;
            if (pread(own.get(), into, size, static_cast<off_t>(at)) != static_cast<ssize_t>(size)) give_up("pread");
            if (buffer != nullptr) std::memcpy(mapped + at, buffer, size);
        }
    };
    const u64 began_ns = monotonic_ns();
    std::vector<std::thread> threads;
    for (std::byte* const buffer : buffers) threads.emplace_back(work, buffer);
    for (std::thread& thread : threads) thread.join();
    const u64 took_ns = monotonic_ns() - began_ns;
    for (std::byte* const buffer : buffers) std::free(buffer);
    return took_ns;
}

/// The best of a table of direct reads, each cell the median of its rounds, all cells once a round.
Reading best_direct(const Fd& file, std::byte* mapped) {
    std::vector<Reading> cells;
    for (const auto way : {Reading::Way::straight, Reading::Way::buffer})
        for (const u64 piece : {256 * kib, 1 * mib, 2 * mib, 4 * mib})
            for (const u32 threads : {1u, 2u, 4u, 8u}) cells.push_back({way, piece, threads});
    for (int i = 0; i < table_rounds; ++i)
        for (std::size_t at = 0; at < cells.size(); ++at) {
            Reading& cell = cells[(at * 7 + static_cast<std::size_t>(i) * 5) % cells.size()];  // No cell has the same neighbours.
            if (!make_cold(file)) give_up("the file stays cached");
            cell.took_ns.push_back(read_cold_ns(file, cell, mapped));
        }
    std::printf("direct reads of that file, cold, GB/s (medians of %d)   pieces of 256 KiB, 1, 2, 4 MiB\n", table_rounds);
    for (const auto way : {Reading::Way::straight, Reading::Way::buffer})
        for (const u32 threads : {1u, 2u, 4u, 8u}) {
            std::printf("  %-20s %u in flight                    ", name_of(way), threads);
            for (const Reading& cell : cells)
                if (cell.way == way && cell.threads == threads)
                    std::printf(" %6.2f", static_cast<double>(data_bytes) / static_cast<double>(median(cell.took_ns)));
            std::printf("\n");
        }
    return *std::ranges::min_element(cells, {}, [](const Reading& cell) { return median(cell.took_ns); });
}

double processor_ms() {
    rusage used{};
    (void)getrusage(RUSAGE_SELF, &used);
    const auto ms_of = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3; };
    return ms_of(used.ru_utime) + ms_of(used.ru_stime);
}

void measure_cold(worker::Loaders& loaders, const worker::SharedFiles& files, const Fd& memory, std::byte* mapped) {
    if (!make_cold(files->main)) return (void)std::printf("no cold load: /var/tmp keeps its files in memory\n");
    Reading limit = best_direct(files->main, mapped);
    limit.took_ns.clear();  // The best of many is a lucky one: it is measured again.
    Reading cache{Reading::Way::cache, mib, 2};
    std::vector<u64> reads;
    std::vector<u64> loads;
    double processor = 0;
    u64 left_bytes = 0;
    for (int i = 0; i < cold_rounds; ++i) {
        for (Reading* const other : {&limit, &cache}) {
            if (other == &cache && i % 3 != 0) continue;  // It is slow, and far from the others.
            (void)make_cold(files->main);
            other->took_ns.push_back(read_cold_ns(files->main, *other, mapped));
        }
        (void)make_cold(files->main);
        const double before = processor_ms();
        const worker::Stages stages = load_once(loaders, files, memory, mapped).stages;
        processor += processor_ms() - before;
        left_bytes = std::max(left_bytes, cached_bytes_of(files->main));
        reads.push_back(stages.read_ns);
        loads.push_back(stages.total_ns);
    }
    const u64 limit_ns = median(limit.took_ns);
    std::printf("load it when it is not cached: medians of %d in turns, and the share of the limit\n", cold_rounds);
    std::printf("  limit: %s, %u times %llu KiB in flight\n", name_of(limit.way), limit.threads,
                static_cast<unsigned long long>(limit.piece / kib));
    print_line("limit", limit_ns, limit_ns);
    print_line("read", median(reads), limit_ns);
    print_line("whole load", median(loads), limit_ns);
    print_line("the other side: two threads, through the cache", median(cache.took_ns), limit_ns);
    std::printf("  a load took %.0f ms of the core's processor time and left at most %.2f MiB of the file in the cache\n",
                processor / cold_rounds, static_cast<double>(left_bytes) / static_cast<double>(mib));
}

int run() {
    u64 header_bytes = 0;
    auto files = std::make_shared<worker::ModelFiles>();
    files->main_name = "bench.safetensors";
    files->main = make_file(header_bytes);
    const Fd memory(memfd_create("bench", MFD_CLOEXEC));
    if (ftruncate(memory.get(), static_cast<off_t>(memory_bytes)) != 0) give_up("ftruncate");
    void* const mapped = mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory.get(), 0);
    if (mapped == MAP_FAILED) give_up("mmap");
    auto loaders = worker::Loaders::start({});
    if (!loaders) give_up(describe(loaders.error()));
    measure_warm(**loaders, files, header_bytes, memory, static_cast<std::byte*>(mapped));
    measure_cold(**loaders, files, memory, static_cast<std::byte*>(mapped));
    return 0;
}
}  // namespace
}  // namespace vramd

int main() { return vramd::run(); }
