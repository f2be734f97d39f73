/// Who waits for memory: what the engine keeps of a request from the moment it was made to its one answer (waiting.cpp, notes.cpp).
#pragma once
#include "engine/asking.hpp"

namespace vramd::engine {
/// Who is told once a place that was decided is ready.
struct AllocationWaiter {
    Done<Allocated> done;
    u64 asked_ns = 0;   ///< When the caller asked.
    u64 placed_ns = 0;  ///< When its place was decided and recorded.
    u64 decide_ns = 0;  ///< What deciding and recording took.
    u64 zero_started_ns = 0;
};
/// An allocation that waits for room.
struct Waiting {
    AllocateCommand command;
    u64 order = 0;  ///< By age.
    u64 asked_ns = 0;
    u64 deadline_ns = 0;          ///< For others to free something.
    u64 release_deadline_ns = 0;  ///< For what is under way already (a release, a clear): even who waits for nobody waits for that.
    u64 timer_ns = 0;             ///< When the executor looks at it next; 0: never.
    u64 overtaken = 0;            ///< Younger requests that took new blocks where this one could have gone.
    bool for_room = false;        ///< It is room that it waits for, not its owner's own quota.
    Plea plea{};
    Done<Allocated> done;
};
/// A load that has no room yet (waiting_loads.cpp).
struct WaitingLoad {
    std::optional<Command> command;  ///< With which it is tried again; nothing while what makes its room is on its way.
    Plea plea;
    Priority priority = Priority::normal;
    std::string device_id;  ///< Empty: any.
};
/// A load whose model is held for who asked.
struct HeldLoad {
    u64 session = 0;
    u64 serial = 0;  ///< Of the allocation; 0: it has not ended.
};
/// A free that was accepted and waits for those who are at its allocation.
struct WaitingFree {
    FreeCommand command;
    u64 begun_ns = 0;
    Done<Freed> done;
};
/// A transfer that waits for memory which is on its way back.
struct WaitingTransfer {
    TransferCommand command;
    Engine::Until until{};
    u64 deadline_ns = 0;
    Done<report::TransferTold> done;
};
}  // namespace vramd::engine
