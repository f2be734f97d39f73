// links: worker
/// What a load costs, stage by stage, from a warm page cache, beside the machine's own limit measured in the same run: two threads that
/// pread the same bytes into memory whose pages are already mapped.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "worker/loader_process.hpp"

namespace vramd {
namespace {
constexpr u64 tensor_count = 64;
constexpr u64 tensor_bytes = 8 * mib;
constexpr u64 data_bytes = tensor_count * tensor_bytes;
constexpr u64 memory_bytes = data_bytes + 1 * mib;
constexpr u64 piece_bytes = 4 * mib;
constexpr int rounds = 9;

double ms(u64 ns) { return static_cast<double>(ns) / 1e6; }
[[noreturn]] void give_up(const std::string& why) {
    (void)std::fprintf(stderr, "bench load: %s\n", why.c_str());
    _exit(1);
}

/// A safetensors file of 512 MiB, already unlinked; its bytes are in the page cache.
Fd make_file(u64& header_bytes) {
    std::string json = "{";
    for (u64 i = 0; i < tensor_count; ++i)
        json += (i == 0 ? "" : ",") + ("\"layer." + std::to_string(i)) + "\":{\"dtype\":\"F32\",\"shape\":[" +
                std::to_string(tensor_bytes / 4) + "],\"data_offsets\":[" + std::to_string(i * tensor_bytes) + "," +
                std::to_string((i + 1) * tensor_bytes) + "]}";
    json += "}";
    json.resize(round_up(json.size(), 8), ' ');
    std::string path = "/tmp/vramd-bench-load-XXXXXX";
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

int run() {
    u64 header_bytes = 0;
    auto files = std::make_shared<worker::ModelFiles>();
    files->main_name = "bench.safetensors";
    files->main = make_file(header_bytes);
    const Fd memory(memfd_create("bench", MFD_CLOEXEC));
    if (ftruncate(memory.get(), static_cast<off_t>(memory_bytes)) != 0) give_up("ftruncate");
    void* mapped = mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory.get(), 0);
    if (mapped == MAP_FAILED) give_up("mmap");
    auto loaders = worker::Loaders::start({});
    if (!loaders) give_up(describe(loaders.error()));

    std::vector<u64> plain;
    std::vector<worker::Stages> loads;
    for (int i = 0; i < rounds; ++i) {  // In turns, so that a busy neighbour slows both.
        plain.push_back(plain_read_ns(files->main.get(), header_bytes, static_cast<std::byte*>(mapped)));
        loads.push_back(load_once(**loaders, files, memory, static_cast<std::byte*>(mapped)).stages);
    }
    std::sort(plain.begin(), plain.end());
    std::sort(loads.begin(), loads.end(), [](const auto& a, const auto& b) { return a.total_ns < b.total_ns; });
    const u64 limit_ns = plain[rounds / 2];
    const worker::Stages stages = loads[rounds / 2];
    std::printf("load a 512 MiB safetensors file from a warm page cache: medians of %d, and the share of the limit\n", rounds);
    print_line("limit: two threads pread into mapped memory", limit_ns, limit_ns);
    print_line("read", stages.read_ns, limit_ns);
    print_line("whole load", stages.total_ns, limit_ns);
    print_line("whole load, the best of each", loads[0].total_ns, plain[0]);
    std::printf("  stages: queue %.2f, spawn and confine %.2f, parse %.2f, read %.2f, end %.2f ms\n", ms(stages.queue_ns),
                ms(stages.spawn_ns), ms(stages.parse_ns), ms(stages.read_ns), ms(stages.exit_ns));
    return 0;
}
}  // namespace
}  // namespace vramd

int main() { return vramd::run(); }
