#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "device/stream.hpp"
#include "transfer/engine.hpp"
#include "transfer/threads.hpp"

namespace vramd::transfer {
namespace {
constexpr u64 area_bytes = 32 * mib;
constexpr u64 each_ns = 10 * ns_per_ms;  // Four ways are measured.

struct Unmap {
    void operator()(std::byte* area) const { munmap(area, area_bytes); }
};
using Area = std::unique_ptr<std::byte, Unmap>;

Result<Area> touched_area() {
    void* const address = mmap(nullptr, area_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) return std::unexpected(system_error("mmap", errno));
    return Area(static_cast<std::byte*>(address));
}

/// Runs `piece(offset, size)` over the area on each thread's share, again and again for `each_ns`; the best round's rate.
template <class Piece>
u64 best_rate(u32 threads, const Piece& piece) {
    const u64 share = round_up(div_ceil(area_bytes, threads), 4096);
    u64 best_ns = UINT64_MAX;
    const u64 start_ns = monotonic_ns();
    while (monotonic_ns() - start_ns < each_ns) {
        const u64 round_ns = monotonic_ns();
        {
            std::vector<std::jthread> others;
            const auto run = [&](u64 offset) {
                if (offset < area_bytes) piece(offset, std::min(share, area_bytes - offset));
            };
            for (u64 thread = 1; thread < threads; ++thread) others.emplace_back(run, thread * share);
            run(0);
        }
        best_ns = std::min(best_ns, std::max<u64>(monotonic_ns() - round_ns, 1));
    }
    return static_cast<u64>(u128{area_bytes} * ns_per_second / best_ns);
}
}  // namespace

Result<Limits> measure_limits(u32 threads) {
    threads = thread_count(threads);
    TRY(const Area source, touched_area());
    TRY(const Area target, touched_area());
    std::byte* const to = target.get();
    const std::byte* const from = source.get();
    Limits limits;
    limits.copy_bytes_per_second = std::max(best_rate(threads, [&](u64 at, u64 size) { std::memcpy(to + at, from + at, size); }),
                                            best_rate(threads, [&](u64 at, u64 size) {
                                                device::stream_copy({to + at, size}, {from + at, size});
                                            }));
    limits.zero_bytes_per_second =
        std::max(best_rate(threads, [&](u64 at, u64 size) { std::memset(to + at, 0, size); }), best_rate(threads, [&](u64 at, u64 size) {
                     device::stream_fill({to + at, size}, std::byte{0});
                 }));
    return limits;
}
}  // namespace vramd::transfer
