/// The core's own threads that bring a model's bytes from its files to their final place, by a plan that a loading process made and the
/// core has checked.
///
/// Why here and not in that process: the place is mapped in the core already. A fresh process must map every page of it and unmap it
/// again, which on pages of 4 KiB costs half of what the reading itself does; and memory that no process ever had can hold nothing of its.
///
/// Invariants
/// - Only the plan's ranges of the place are written. Nothing is parsed here: positions and sizes, no more.
/// - Once a reading is over no thread touches its files or place any more; it becomes so exactly once.
/// - A file that is cut meanwhile gives an error, never a signal: it is read, not mapped.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/mutex.hpp"
#include "worker/loader_process.hpp"

namespace vramd::worker {
/// What a thread takes at once of one reading, before another reading has its turn.
inline constexpr u64 read_turn_bytes = 4 * mib;
/// What one call reads: a stop waits for no more than this.
inline constexpr u64 read_step_bytes = 1 * mib;

/// One reading under way. `landed_bytes` may be asked from any thread; it never goes back.
class Reading {
public:
    [[nodiscard]] u64 landed_bytes() const { return landed_bytes_.load(std::memory_order_relaxed); }
    /// No thread touches it any more. From any thread.
    [[nodiscard]] bool over() const { return over_now_.load(std::memory_order_acquire); }
    /// Once it is over. Errors: `invalid_model` (the file ends earlier than its header says), `system_failed`, or what `stop` was given.
    [[nodiscard]] Result<void> result() const { return error_ ? Result<void>(std::unexpected(*error_)) : Result<void>(); }

private:
    friend class Reader;
    SharedFiles files_;
    std::shared_ptr<const ReadPlan> plan_;
    std::span<std::byte> place_;
    std::function<void()> over_;
    // The reader's, under its mutex.
    std::size_t next_copy_ = 0;
    u64 next_bytes_ = 0;  ///< Into that copy.
    u32 busy_ = 0;
    std::optional<Error> error_;
    std::atomic<bool> stopped_ = false;
    std::atomic<bool> over_now_ = false;
    std::atomic<u64> landed_bytes_ = 0;
};

/// The threads. Readings take turns. All methods may be called from any thread.
class Reader {
public:
    explicit Reader(u32 threads);
    /// No reading may be under way.
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    /// Begins. `plan` lies within `place`, which outlives the reading. `over` is told just after the reading is over, on one of the threads
    /// or, by `stop`, on the caller's: it must be short, call nothing of this class and outlive it.
    [[nodiscard]] std::shared_ptr<Reading> begin(SharedFiles files, std::shared_ptr<const ReadPlan> plan, std::span<std::byte> place,
                                                 std::function<void()> over);
    /// Ends it with this error, unless it is over. A call that the kernel has not answered yet is waited for, by `over`.
    void stop(const std::shared_ptr<Reading>& reading, Error error);

private:
    void run();
    /// The next ranges of a reading, up to `read_turn_bytes`.
    [[nodiscard]] std::vector<ipc::TableCopy> take_turn(Reading& reading) REQUIRES(mutex_);
    [[nodiscard]] static bool has_more(const Reading& reading) { return reading.next_copy_ < reading.plan_->copies.size(); }
    /// Lets go of files and place once nobody works and nothing is left; true if that was now.
    [[nodiscard]] bool ended(Reading& reading) REQUIRES(mutex_);

    Mutex mutex_;
    std::condition_variable_any wake_;
    std::deque<std::shared_ptr<Reading>> ready_ GUARDED_BY(mutex_);  ///< Of which something may begin.
    enum class Phase : u8 { open, ending } phase_ GUARDED_BY(mutex_) = Phase::open;
    std::vector<std::jthread> threads_;
};
}  // namespace vramd::worker
