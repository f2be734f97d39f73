/// Memory between two blocks: freed memory on its way to be zero again, and fresh memory touched ahead of need.
///
/// Why: touching fresh pages runs at 0.4–5 GB/s, zeroing touched ones at 25 and more (docs/notes/0002-host-memory.md). A file's size is
/// sealed, so freed memory serves blocks of exactly its size; spares were never sealed and are cut or extended to fit.
///
/// Invariants: 1. What `take` returns reads as zero. 2. Entries (with what is being zeroed) hold at most `max_bytes`, spares at most
/// `spare_bytes`.
/// 3. Nothing is unmapped, zeroed or touched under the lock. 4. While the system has less than `keep_available_bytes`, the pool shrinks.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "base/mutex.hpp"
#include "base/predecessor.hpp"
#include "device/host/memory.hpp"

namespace vramd::device::host {
/// Thread-safe. Owns one thread.
class Pool {
public:
    struct Limits {
        u64 max_bytes = 0;
        u64 spare_bytes = 0;
        u64 keep_available_bytes = 0;
    };
    /// Says what the system has; absent: unknown, and the pool does not shrink by itself.
    using Available = std::function<std::optional<u64>()>;

    /// `predecessor`: while that process is still ending, what is given may still be written to and is discarded. Null: there is none.
    Pool(Limits limits, Available available, std::shared_ptr<const Predecessor> predecessor = nullptr);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    /// Zeroed, sealed, touched memory of this size, if there is any; takes what is not yet zeroed too and zeroes it here.
    [[nodiscard]] std::optional<Memory> take(u64 size_bytes);
    /// A spare, unsealed and touched to its end, if there is one worth cutting to `size_bytes`; the caller resizes it and touches the rest.
    [[nodiscard]] std::optional<Memory> take_spare(u64 size_bytes);
    /// Memory that nobody else can reach, for the next block. Quick.
    void give(Memory memory);
    /// Memory that must not be reused goes back to the system, in the background. Quick.
    void discard(Memory memory);
    /// Frees at least `bytes` now, if there is so much pooled or on its way back; answers how much it freed. Waits for what is being freed.
    u64 give_way(u64 bytes);
    /// The same because the system wants it: no spares are made for a second.
    u64 give_back(u64 bytes);
    /// Held for the next blocks: entries and spares.
    [[nodiscard]] u64 bytes() const;
    /// On its way back to the system.
    [[nodiscard]] u64 returning_bytes() const;
    /// Waits until the thread has nothing to do; for tests and benchmarks.
    void settle();

private:
    struct Entry {
        Memory memory;
        enum class State : u8 { dirty, clean } state;
    };
    void work();
    [[nodiscard]] std::optional<std::deque<Entry>::iterator> find(u64 size_bytes) REQUIRES(mutex_);
    /// Each looks for one piece of work, does it with the lock released, and says whether it did.
    [[nodiscard]] bool discard_one(std::unique_lock<Mutex>& lock);
    [[nodiscard]] bool zero_one(std::unique_lock<Mutex>& lock);
    [[nodiscard]] bool spare_one(std::unique_lock<Mutex>& lock);
    void shrink_if_low(std::unique_lock<Mutex>& lock);
    void drop_oldest() REQUIRES(mutex_);

    const Limits limits_;
    const u64 spare_size_bytes_;
    const Available available_;
    const std::shared_ptr<const Predecessor> predecessor_;
    mutable Mutex mutex_;
    std::condition_variable_any wake_;
    std::condition_variable_any changed_;
    std::deque<Entry> entries_ GUARDED_BY(mutex_);  // Oldest first.
    std::deque<Memory> spares_ GUARDED_BY(mutex_);
    std::deque<Memory> discarded_ GUARDED_BY(mutex_);
    u64 entry_bytes_ GUARDED_BY(mutex_) = 0;  // With what is in hand.
    u64 spare_bytes_ GUARDED_BY(mutex_) = 0;
    u64 in_hand_bytes_ GUARDED_BY(mutex_) = 0;                               // Size of the entry that the thread is zeroing; 0: none.
    u64 discarding_bytes_ GUARDED_BY(mutex_) = 0;                            // Size of what the thread is giving back; 0: nothing.
    u64 discards_ GUARDED_BY(mutex_) = 0;                                    // Ended so far.
    bool low_ GUARDED_BY(mutex_) = false;                                    // Memory ran low at the last look: no spares are made.
    std::chrono::steady_clock::time_point wanted_until_ GUARDED_BY(mutex_);  // The system wants memory: likewise.
    bool idle_ GUARDED_BY(mutex_) = false;
    bool stop_ GUARDED_BY(mutex_) = false;
    std::jthread thread_;
};
}  // namespace vramd::device::host
