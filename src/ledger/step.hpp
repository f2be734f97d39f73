/// The moments at which a death of the process could matter to the ledger, so that a test can die at each of them.
///
/// Compiled in always, so that what is tested is what is shipped; off it costs one predictable branch a step. Only a program's main or
/// a test sets the hook.
#pragma once
#include <atomic>

#include "base/types.hpp"

namespace vramd::ledger {
/// In the order in which an append, the beginning of a file, and a snapshot pass them. Each is named for what has just been done.
enum class Step : u8 {
    payload_stored,
    header_stored,
    terminator_stored,
    committed,
    counted,
    segment_prepared,
    segment_headed,
    segment_named,
    snapshot_written,
    snapshot_named,
    segment_archived,
    snapshot_archived,
    history_deleted,
};
inline constexpr u8 step_count = 13;

using StepHook = void (*)(Step);
/// Calls `hook` after every step from now on, in whichever thread took it; nullptr turns it off. Process-wide.
void on_step(StepHook hook);
/// Raises SIGKILL at the `nth` step from now (1: the next one); 0 turns it off. Uses the hook.
void kill_at_step(u64 nth);

/// The room's own: says that `step` has been taken.
inline std::atomic<StepHook> step_hook{nullptr};
inline void passed(Step step) {
    if (const StepHook hook = step_hook.load(std::memory_order_relaxed)) [[unlikely]]
        hook(step);
}
}  // namespace vramd::ledger
