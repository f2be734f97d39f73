/// `Events` over the ledger: the newest events kept in memory as they were recorded, the rest read from the files.
///
/// Invariants: the ring holds consecutive events up to the last one recorded; what `read` delivers has consecutive numbers. Order of
/// locks: the engine's `lock_`, then `ring_lock_`; `past_lock_` and `listener_lock_` are taken with nothing else held.
#pragma once
#include <array>
#include <deque>
#include <memory>

#include "base/mutex.hpp"
#include "engine/events.hpp"
#include "engine/ports.hpp"
#include "ledger/ledger.hpp"

namespace vramd::engine {
class EventFeed final : public Events {
public:
    /// Events that the ring holds, and the bytes of them.
    static constexpr u64 ring_events_max = 32'768;
    static constexpr u64 ring_bytes_max = 16 * mib;

    /// What it needs of the engine; the ledger comes with the replay.
    struct Needs {
        std::function<bool(const Caller&, AllocationId)> may_see;
        std::function<void(std::move_only_function<void()>)> post;
    };
    explicit EventFeed(Needs needs) : needs_(std::move(needs)) {}
    /// The ledger that is read from now on; it must outlive this. Everything up to its present end is recorded; what was added before, in a
    /// replay, is not counted.
    void begin(const ledger::Ledger& ledger);

    // Under the engine's lock.
    /// One event that was just recorded, in order. True: call `wake` once the lock is let go.
    [[nodiscard]] bool add(u64 sequence, u64 wall_ns, std::vector<std::byte> bytes, report::Attribution whose);
    void wake();

    [[nodiscard]] u64 last() const override;
    [[nodiscard]] u64 oldest() const override;
    [[nodiscard]] std::vector<u64> counts() const override;
    [[nodiscard]] Result<std::vector<EventTold>> read(u64 from, u64 max) override;
    void listen(std::function<void()> told) override;
    [[nodiscard]] bool arm(u64 seen) override;
    void history_of(const Caller& caller, AllocationId id, u64 max, std::move_only_function<void(Result<AllocationHistory>)> done) override;

private:
    struct Kept {
        u64 sequence = 0;
        u64 wall_ns = 0;
        std::vector<std::byte> bytes;
        report::Attribution whose;
    };
    /// A walk along the files.
    struct Walk {
        u64 applied_to = 0;  ///< The last event that the roll has taken.
        report::Roll roll;
    };
    struct Search;

    [[nodiscard]] Result<std::vector<EventTold>> read_past(u64 from, u64 to);
    [[nodiscard]] Result<void> begin_walk(u64 from) REQUIRES(past_lock_);
    [[nodiscard]] Result<AllocationHistory> search(AllocationId id, u64 max);
    void search_next();

    const Needs needs_;
    const ledger::Ledger* ledger_ = nullptr;  ///< Set once, before anybody reads.

    mutable Mutex ring_lock_;
    std::deque<Kept> ring_ GUARDED_BY(ring_lock_);
    u64 ring_bytes_ GUARDED_BY(ring_lock_) = 0;
    u64 last_ GUARDED_BY(ring_lock_) = 0;
    bool armed_ GUARDED_BY(ring_lock_) = false;
    std::array<u64, std::variant_size_v<Event>> counts_ GUARDED_BY(ring_lock_){};

    Mutex past_lock_;
    std::unique_ptr<Walk> walk_ GUARDED_BY(past_lock_);  ///< The last one; let go when a while nobody reads the past.

    Mutex listener_lock_;
    std::function<void()> listener_ GUARDED_BY(listener_lock_);

    Mutex search_lock_;
    std::deque<std::move_only_function<void()>> searches_ GUARDED_BY(search_lock_);
    bool searching_ GUARDED_BY(search_lock_) = false;
    u64 past_used_ns_ GUARDED_BY(past_lock_) = 0;
};
}  // namespace vramd::engine
