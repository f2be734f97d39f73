#include "device/d3d12/trial.hpp"

#include <algorithm>
#include <array>

#include "base/clock.hpp"
#include "base/random.hpp"

namespace vramd::device::d3d12 {
namespace {
constexpr u64 kept_bytes = 64 * kib;
constexpr u64 piece_bytes = 4 * mib;
constexpr u64 pieces = 8;  ///< One behind the other, so that their beginning and end do not count.
constexpr int rounds = 3;  ///< The best counts: the device, or the processor behind it, may be at something else meanwhile.

/// Bytes a second of one buffer's copy to another.
Result<u64> rate_of(Context& context, Lane& lane, const Ring::Slot& to, const Ring::Slot& from) {
    u64 best = 0;
    for (int round = 0; round < rounds; ++round) {
        const u64 begun_ns = monotonic_ns();
        const auto begun = context.submit(lane, [&](ID3D12GraphicsCommandList& list) {
            for (u64 i = 0; i < pieces; ++i)
                list.CopyBufferRegion(to.buffer.get(), to.begin_bytes, from.buffer.get(), from.begin_bytes, piece_bytes);
        });
        TRY_DO(context.finish(lane));
        TRY_DO(begun);
        const u64 took_ns = std::max<u64>(monotonic_ns() - begun_ns, 1);
        best = std::max(best, static_cast<u64>(u128{pieces * piece_bytes} * ns_per_second / took_ns));
    }
    return best;
}
}  // namespace

Result<bool> keeps_bytes(HeapChannel& channel) {
    std::array<u64, kept_bytes / sizeof(u64)> there{}, back{};
    SeededRandom random(monotonic_ns());
    for (u64& word : there) word = random.next();
    TRY_DO(channel.write(0, std::as_bytes(std::span(there))));
    TRY_DO(channel.read(0, std::as_writable_bytes(std::span(back))));
    return there == back;
}

Result<CopyRates> measure_rates(const HeapChannel::Ways& ways) {
    Context& context = *ways.context;
    TRY(const auto up, ways.ring->take(Ring::Way::up));
    TRY(const auto down, ways.ring->take(Ring::Way::down));
    TRY(const auto one, ways.ring->take(Ring::Way::within));
    TRY(const auto other, ways.ring->take(Ring::Way::within));
    CopyRates rates;
    TRY(rates.from_system, rate_of(context, up->lane, *one, *up));
    TRY(rates.to_system, rate_of(context, up->lane, *down, *one));
    TRY(rates.within, rate_of(context, up->lane, *other, *one));
    rates.fill = rates.from_system;  // A fill is such copies.
    return rates;
}
}  // namespace vramd::device::d3d12
