/// The ledger's events as they are read: by live readers, by readers that come back after an absence, and as one allocation's life.
///
/// Nobody subscribes with a queue. A reader is a position: it asks for what comes after, at its own pace, and is woken when there is
/// more. So a reader that is slow, or a thousand of them, cost the core nothing.
#pragma once
#include <functional>
#include <vector>

#include "core/report/attribution.hpp"

namespace vramd::engine {
/// One event as it was recorded.
struct EventTold {
    u64 sequence = 0;
    u64 wall_ns = 0;
    Event event;
    report::Attribution whose;
};

/// What happened to one allocation, oldest first.
struct AllocationHistory {
    std::vector<EventTold> events;
    u64 omitted = 0;       ///< Events left out between the first and the newest ones.
    bool complete = true;  ///< False: its beginning is no longer in the history, or lies further back than was looked.
};

/// All calls from any thread.
class Events {
public:
    virtual ~Events() = default;
    /// The last event's sequence number, and the oldest that can still be read.
    [[nodiscard]] virtual u64 last() const = 0;
    [[nodiscard]] virtual u64 oldest() const = 0;
    /// How many of each type were recorded since the start, by tag.
    [[nodiscard]] virtual std::vector<u64> counts() const = 0;
    /// Events from `from` on, in order, at most `max`; nothing when there is none yet. Whole and without a gap. Recent ones come from
    /// memory, older ones from the ledger's files, which takes up to a tenth of a second for the first call and little for those that
    /// follow on it. Errors: `history_gone` (limit: the oldest event), `system_failed` (a file cannot be read).
    [[nodiscard]] virtual Result<std::vector<EventTold>> read(u64 from, u64 max) = 0;
    /// `told` is called when events come after `arm` answered true; it must not block. Empty: nobody listens any more, and no call is
    /// under way when this returns. One listener.
    virtual void listen(std::function<void()> told) = 0;
    /// False: there are events after `seen` already. True: the listener will be told of the next, once.
    [[nodiscard]] virtual bool arm(u64 seen) = 0;
    /// The life of an allocation that the caller may see, at most `max` of its events: the first one, and the newest. Runs on the
    /// executor, one at a time; looks back at most some seconds' worth. Errors: not_found, busy (many wait), system_failed.
    virtual void history_of(const Caller& caller, AllocationId id, u64 max,
                            std::move_only_function<void(Result<AllocationHistory>)> done) = 0;
};
}  // namespace vramd::engine
