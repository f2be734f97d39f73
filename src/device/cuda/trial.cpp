#include "device/cuda/trial.hpp"

#include <algorithm>
#include <array>

#include "base/clock.hpp"
#include "base/random.hpp"

namespace vramd::device::cuda {
namespace {
constexpr u64 kept_bytes = 64 * kib;
constexpr u64 area_bytes = 64 * mib;  ///< Twice.
/// So long is a round at least, that its beginning and end do not count; or of so many pieces. The best of some counts: the GPU may be at
/// something else meanwhile.
constexpr u64 least_ns = 4 * ns_per_ms;
constexpr u64 pieces_max = 64;
constexpr int rounds = 3;

/// Bytes a second of pieces that `begin` begins one behind the other.
template <class Begin>
Result<u64> rate_of(Context& context, const Lane& lane, u64 piece_bytes, const Begin& begin) {
    u64 best = 0;
    u64 pieces = 1;
    for (int round = 0; round < rounds;) {
        const u64 begun_ns = monotonic_ns();
        Result<void> begun;
        for (u64 i = 0; i < pieces && begun; ++i) begun = begin();
        TRY_DO(context.finish(lane));  // Whatever became of it: its memory goes with this call.
        TRY_DO(begun);
        const u64 took_ns = std::max<u64>(monotonic_ns() - begun_ns, 1);
        if (took_ns < least_ns && pieces < pieces_max) {
            pieces *= 2;
            continue;
        }
        best = std::max(best, static_cast<u64>(u128{pieces * piece_bytes} * ns_per_second / took_ns));
        ++round;
    }
    return best;
}
}  // namespace

Result<bool> keeps_bytes(CudaChannel& channel) {
    std::array<u64, kept_bytes / sizeof(u64)> there{}, back{};
    SeededRandom random(monotonic_ns());
    for (u64& word : there) word = random.next();
    TRY_DO(channel.write(0, std::as_bytes(std::span(there))));
    TRY_DO(channel.read(0, std::as_writable_bytes(std::span(back))));
    return there == back;
}

Result<CopyRates> measure_rates(const CudaChannel::Ways& ways, u64 spare_bytes) {
    if (spare_bytes < 2 * area_bytes) return refuse(Code::insufficient_memory, "cuda", 2 * area_bytes, spare_bytes);
    const auto& context = ways.context;
    TRY_DO(context->enter());
    TRY(const auto memory, Memory::make(context, 2 * area_bytes));
    TRY(const Address area, memory->address(context));
    TRY(const auto slot, ways.ring->take());
    const Driver& driver = context->driver();
    const Lane& lane = slot->lane();
    std::byte* const here = slot->bytes().data();
    CopyRates rates;
    TRY(rates.from_system, rate_of(*context, lane, Ring::slot_bytes, [&] {
            return context->check("cuMemcpyHtoDAsync", driver.copy_to_device(area, here, Ring::slot_bytes, lane.stream));
        }));
    TRY(rates.to_system, rate_of(*context, lane, Ring::slot_bytes, [&] {
            return context->check("cuMemcpyDtoHAsync", driver.copy_to_host(here, area, Ring::slot_bytes, lane.stream));
        }));
    TRY(rates.within, rate_of(*context, lane, area_bytes, [&] {
            return context->check("cuMemcpyDtoDAsync", driver.copy_on_device(area, area + area_bytes, area_bytes, lane.stream));
        }));
    TRY(rates.fill, rate_of(*context, lane, area_bytes,
                            [&] { return context->check("cuMemsetD8Async", driver.fill(area, 0, area_bytes, lane.stream)); }));
    return rates;
}
}  // namespace vramd::device::cuda
