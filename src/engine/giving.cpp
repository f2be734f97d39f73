/// An unload is answered when its blocks are back, so that the figures of the device in the answer are those that hold from then on. A
/// model lies in a block of its own, which the system takes back beside the lock; told before that, the answer to "unload it" would count
/// the model as used still.
///
/// Invariant: whoever waits is told once. He is taken from `release_waiters_` under the lock by the one who tells him: the event that the
/// last of his blocks is gone, the end of his time (a driver that hangs), or the end of the daemon.
#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
constexpr u64 back_within_ns = 5 * ns_per_second;
}

void Runner::tell_released(Giving giving, u16 device, Done<Freed> done) {
    if (!giving.decision) return done(std::unexpected(giving.decision.error()));
    std::set<BlockKey> blocks;
    for (const Effect& effect : giving.decision->effects)
        if (const auto* release = std::get_if<ReleaseBlockEffect>(&effect)) blocks.insert(release->block);
    if (blocks.empty()) return tell_freed(giving, std::move(done));
    const std::vector<Effect> effects = giving.decision->effects;
    Told told = std::move(giving.told);
    u64 order = 0;
    {
        // Before the release begins: its end finds whoever waits for it.
        const Lock lock(lock_);
        order = next_order_++;
        release_waiters_.emplace(order, WaitingRelease{std::move(blocks), device, std::move(giving), std::move(done)});
    }
    ports_.executor->post_at(ports_.clock().monotonic_ns + back_within_ns, [this, order] { tell_release(order); });
    finish(told, effects);
}

void Runner::note_release(const Event& event, Told& told) {
    const auto* gone = std::get_if<BlockGone>(&event);
    if (gone == nullptr) return;
    for (auto& [order, waiting] : release_waiters_)
        if (waiting.blocks.erase(gone->block) > 0 && waiting.blocks.empty()) told.push_back([this, order = order] { tell_release(order); });
}

/// With the figures of now, whether or not everything is back.
void Runner::tell_release(u64 order) {
    WaitingRelease waiting;
    {
        const Lock lock(lock_);
        auto found = release_waiters_.extract(order);
        if (found.empty()) return;
        waiting = std::move(found.mapped());
        waiting.giving.freed.device_after = report::device_books(state_, waiting.device, report::Detail::sums);
    }
    waiting.giving.freed.total_ns = ports_.clock().monotonic_ns - waiting.giving.begun_ns;
    waiting.done(std::move(waiting.giving.freed));
}

/// At the daemon's end: what they asked for is recorded, whatever is back by now.
void Runner::tell_releases() {
    std::vector<u64> orders;
    {
        const Lock lock(lock_);
        for (const auto& [order, waiting] : release_waiters_) orders.push_back(order);
    }
    for (const u64 order : orders) tell_release(order);
}
}  // namespace vramd::engine
