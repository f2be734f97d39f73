/// The core's own threads that bring a model's bytes from its files to their final place, by a plan that a loading process made and the
/// core has checked.
///
/// Why here and not in that process: the place is mapped in the core already. A fresh process must map every page of it and unmap it
/// again, which on pages of 4 KiB costs half of what the reading itself does; and memory that no process ever had can hold nothing of its.
/// How a file's bytes are brought, cached or not, is `FileBytes`'.
///
/// Memory that the processor does not see has a channel in its place: a turn's bytes are read into a stage of the device's and sent on.
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
#include "worker/file_bytes.hpp"
#include "worker/loader_process.hpp"

namespace vramd::worker {
/// What a thread takes at once of one file of a reading, before another file and another reading have their turn.
inline constexpr u64 read_turn_bytes = 4 * read_step_bytes;

/// One reading under way. `landed_bytes` may be asked from any thread; it never goes back.
class Reading {
public:
    [[nodiscard]] u64 landed_bytes() const { return landed_bytes_.load(std::memory_order_relaxed); }
    /// No thread touches it any more. From any thread.
    [[nodiscard]] bool over() const { return over_now_.load(std::memory_order_acquire); }
    /// No thread is at it just now. From any thread.
    [[nodiscard]] bool awaits_turn() const { return busy_.load(std::memory_order_relaxed) == 0; }
    /// Once it is over. Errors: `invalid_model` (the file ends earlier than its header says), `system_failed`, or what `stop` was given.
    [[nodiscard]] Result<void> result() const { return error_ ? Result<void>(std::unexpected(*error_)) : Result<void>(); }
    /// Once it is over: how its bytes came.
    [[nodiscard]] const Ways& ways() const { return ways_; }

private:
    friend class Reader;
    /// One file's copies, in the plan's order, and how far they have been given out.
    struct Lane {
        u32 file = 0;
        std::vector<u32> copies = {};  ///< Their positions in the plan.
        std::size_t next_copy = 0;
        u64 next_bytes = 0;  ///< Into that copy.
    };
    SharedFiles files_;
    std::shared_ptr<const ReadPlan> plan_;
    std::span<std::byte> place_;
    std::shared_ptr<device::Channel> channel_;  ///< In the place's stead.
    std::function<void()> over_;
    std::vector<std::unique_ptr<FileBytes>> bytes_;  ///< By file; absent where no copy is of it.
    // The reader's, under its mutex.
    std::deque<Lane> lanes_;  ///< Of which something is left; files take turns.
    std::optional<Error> error_;
    Ways ways_;
    std::atomic<u32> busy_ = 0;  ///< Threads that are at it; changed under the mutex.
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

    /// Begins. `plan` lies within `place`, which outlives the reading and is shared memory (private memory only if nobody forks meanwhile:
    /// open(2), O_DIRECT). `over` is told just after the reading is over, on one of the threads
    /// or, by `stop`, on the caller's: it must be short, call nothing of this class and outlive it.
    [[nodiscard]] std::shared_ptr<Reading> begin(SharedFiles files, std::shared_ptr<const ReadPlan> plan, std::span<std::byte> place,
                                                 std::function<void()> over);
    /// The same, through a channel to a block in whose beginning `plan` lies.
    [[nodiscard]] std::shared_ptr<Reading> begin(SharedFiles files, std::shared_ptr<const ReadPlan> plan,
                                                 std::shared_ptr<device::Channel> channel, std::function<void()> over);
    /// Ends it with this error, unless it is over. A call that the kernel has not answered yet is waited for, by `over`.
    void stop(const std::shared_ptr<Reading>& reading, Error error);

private:
    [[nodiscard]] static std::shared_ptr<Reading> make(SharedFiles files, std::shared_ptr<const ReadPlan> plan, std::function<void()> over);
    void add(const std::shared_ptr<Reading>& reading);
    void run();
    /// The next ranges of one file of a reading, each of at most `read_step_bytes`, up to `read_turn_bytes`.
    [[nodiscard]] std::vector<ipc::TableCopy> take_turn(Reading& reading) REQUIRES(mutex_);
    /// Brings them, unless it is stopped.
    [[nodiscard]] static Result<void> bring(Reading& reading, std::span<ipc::TableCopy> parts, ReadingHand& hand);
    [[nodiscard]] static Result<void> bring_staged(Reading& reading, std::span<const ipc::TableCopy> parts, ReadingHand& hand);
    /// Lets go of files and place once nobody works and nothing is left; true if that was now.
    [[nodiscard]] bool ended(Reading& reading) REQUIRES(mutex_);

    Mutex mutex_;
    std::condition_variable_any wake_;
    std::deque<std::shared_ptr<Reading>> ready_ GUARDED_BY(mutex_);  ///< Of which something may begin.
    enum class Phase : u8 { open, ending } phase_ GUARDED_BY(mutex_) = Phase::open;
    std::vector<std::jthread> threads_;
};
}  // namespace vramd::worker
