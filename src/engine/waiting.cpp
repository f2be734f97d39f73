/// Who waits for room, and in which order it is had.
///
/// A request that does not fit waits until its time is up. Whenever something may have become free, all that wait are tried again: the
/// highest standing first, among equals the oldest. A standing begins as the request's priority and rises by one with every
/// `overtakings_borne` younger requests that took new blocks of a device where it could have gone. From the first such rise on, the device
/// is closed to all younger requests of a lower standing: they get what lies in their own arenas, and no new block, until it is served or
/// its time ends. So a large request is overtaken by few small ones, and one of low priority by no more than four times as many urgent
/// ones; nobody starves. Requests that wait for their owner's own quota overtake nobody and close nothing.
#include <algorithm>

#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
constexpr u64 overtakings_borne = 8;
constexpr u64 release_wait_ns = 5 * ns_per_second;
}  // namespace

void Runner::allocate(AllocateCommand command, u64 timeout_ns, Done<Allocated> done) {
    Waiting fresh;
    fresh.asked_ns = ports_.clock().monotonic_ns;
    fresh.deadline_ns = fresh.asked_ns + std::min<u64>(timeout_ns, u64{1} << 62);
    fresh.release_deadline_ns = std::max(fresh.deadline_ns, fresh.asked_ns + release_wait_ns);
    fresh.plea = {command.caller.session, fresh.deadline_ns, {}};
    fresh.command = std::move(command);
    if (fresh.command.secret == 0) fresh.command.secret = ports_.secret();
    fresh.done = std::move(done);
    Attempt attempt;
    {
        const Lock lock(lock_);
        fresh.order = next_order_++;
        attempt = try_allocate(fresh);
        if (attempt.waits_until_ns) {
            set_timer(fresh, *attempt.waits_until_ns);
            waiting_.emplace(fresh.order, std::move(fresh));
        }
    }
    tell_attempt(attempt, fresh.done);
}

/// Tries one of those that wait. Whoever leaves a device that was closed for it opens it to the others.
void Runner::try_waiting(u64 order) {
    Attempt attempt;
    Done<Allocated> done;
    {
        const Lock lock(lock_);
        const auto found = waiting_.find(order);
        if (found == waiting_.end()) return;
        Waiting& waiting = found->second;
        attempt = try_allocate(waiting);
        if (attempt.waits_until_ns) {
            set_timer(waiting, *attempt.waits_until_ns);
        } else {
            if (waiting.overtaken >= overtakings_borne) ports_.executor->post([this] { retry_waiting(); });
            done = std::move(waiting.done);
            waiting_.erase(found);
        }
    }
    tell_attempt(attempt, done);
}

void Runner::forget_waiting(u64 session) {
    std::vector<Done<Allocated>> gone;
    bool opens = false;  ///< A device that was kept for one of them.
    {
        const Lock lock(lock_);
        for (auto at = waiting_.begin(); at != waiting_.end();) {
            const bool its = at->second.command.caller.session == session;
            opens = opens || (its && at->second.overtaken >= overtakings_borne);
            if (its) gone.push_back(std::move(at->second.done));
            at = its ? waiting_.erase(at) : std::next(at);
        }
    }
    for (auto& done : gone)
        done(std::unexpected(
            Error{Code::cancelled, "connection", 0, 0, "Whoever waited for it has closed the connection, or its own side of it."}));
    if (opens) ports_.executor->post([this] { retry_waiting(); });
}

void Runner::tell_attempt(Attempt& attempt, Done<Allocated>& done) {
    finish(attempt.told, attempt.decision ? attempt.decision->effects : std::vector<Effect>{});
    if (attempt.refusal) done(std::unexpected(*attempt.refusal));
}

/// One attempt: its place is taken (and `done` is with those that are told when it is ready), it is refused, or it goes on waiting.
Runner::Attempt Runner::try_allocate(Waiting& waiting) {
    Attempt attempt;
    if (stopping_) {
        attempt.refusal = Error{Code::busy, "daemon", 0, 0, "The daemon is stopping."};
        attempt.decision = std::unexpected(*attempt.refusal);
        return attempt;
    }
    const u64 begun = ports_.clock().monotonic_ns;
    AllocateCommand& command = waiting.command;
    command.frozen = frozen_blocks();
    command.in_use = used_allocations();
    command.closed = closed_to(waiting.order, standing_of(waiting));
    std::move_only_function<void(const core::Decision&)> enlist = [&](const core::Decision& made) {
        if (!made.allocation) return;
        const u64 placed = ports_.clock().monotonic_ns;
        const bool zeroes = !made.effects.empty() && std::holds_alternative<ZeroEffect>(made.effects.front());
        allocation_waiters_.emplace(made.allocation.serial, AllocationWaiter{std::move(waiting.done), waiting.asked_ns, placed,
                                                                             placed - begun, zeroes ? placed : 0});
    };
    attempt.decision = commit_locked(Command(command), enlist, attempt.told);
    if (attempt.decision) {
        count_overtaken(*attempt.decision, waiting.order);
        if (!attempt.decision->again_after_release) return attempt;
    }
    const Code refused = attempt.decision ? Code::insufficient_memory : attempt.decision.error().code;
    waiting.for_room = refused == Code::insufficient_memory;
    const bool may_wait = (waiting.for_room || refused == Code::quota_exceeded) && core::can_ever_fit(state_, command);
    const bool under_way = attempt.decision || (waiting.for_room && !frozen_.empty());
    const u64 deadline = under_way ? waiting.release_deadline_ns : waiting.deadline_ns;
    if (may_wait && deadline > ports_.clock().monotonic_ns)
        attempt.waits_until_ns = deadline;
    else if (attempt.decision)
        attempt.refusal =
            Error{Code::insufficient_memory, "/sizeBytes", command.size_bytes, 0,
                  "The memory that is being given back did not come in time; ask again, or allow more time by timeoutSeconds."};
    else
        attempt.refusal = attempt.decision.error();
    if (!attempt.decision && waiting.for_room && attempt.waits_until_ns && waiting.deadline_ns > begun) {
        Command asking(command);
        (void)ask_for(asking, waiting.plea, attempt.told);
    }
    const bool waited = waiting.deadline_ns > waiting.asked_ns && may_wait;
    if (attempt.refusal && waited && waiting.for_room) {
        attempt.refusal->detail =
            "No room came in time: " + describe(*attempt.refusal) + core::held_by_asked(still_held_bytes(waiting.plea));
        attempt.refusal->code = Code::timed_out;
    }
    return attempt;
}

/// A timer that is set already stays good: it fires at the deadline or before, and then looks again.
void Runner::set_timer(Waiting& waiting, u64 deadline_ns) {
    if (waiting.timer_ns == deadline_ns) return;
    waiting.timer_ns = deadline_ns;
    ports_.executor->post_at(deadline_ns, [this, order = waiting.order] { try_waiting(order); });
}

/// Something may be free: all that wait try again, loads after allocations.
void Runner::retry_waiting() {
    std::vector<std::pair<u64, u64>> all;  // Standing, order.
    {
        const Lock lock(lock_);
        if (stopping_) return;  // They are told so by `stop`; what else ends now finds less and less to work with.
        for (const auto& [order, waiting] : waiting_) all.emplace_back(standing_of(waiting), order);
    }
    std::ranges::stable_sort(all, std::ranges::greater{}, &std::pair<u64, u64>::first);
    for (const auto& [standing, order] : all) try_waiting(order);
    retry_loads();
}

// ----------------------------------------------------------------------------------------------------------------------- who goes first
u64 Runner::standing_of(const Waiting& waiting) {
    return static_cast<u64>(waiting.command.priority) + waiting.overtaken / overtakings_borne;
}

/// The device whose room is kept for one that was overtaken too often: the one it named, else the largest of those it could go to. One
/// device is enough to be served, and the others stay open.
std::optional<u16> Runner::device_kept_for(const Waiting& waiting) {
    const memory::Books& books = state_.books;
    if (!waiting.command.device_id.empty()) return books.device_named(waiting.command.device_id);
    std::optional<u16> largest;
    for (u16 i = 0; i < books.devices().size(); ++i)
        if (!largest || books.usable_bytes(i) > books.usable_bytes(*largest)) largest = i;
    return largest;
}

/// Devices that are closed to a request of this age and standing, sorted.
std::vector<u16> Runner::closed_to(u64 order, u64 standing) {
    std::set<u16> closed;
    for (const auto& [older, waiting] : waiting_) {
        if (older >= order) break;
        if (!waiting.for_room || waiting.overtaken < overtakings_borne || standing_of(waiting) <= standing) continue;
        if (const auto device = device_kept_for(waiting)) closed.insert(*device);
    }
    return {closed.begin(), closed.end()};
}

/// Notes for all older ones that wait for room that this decision took a new block where they could have gone.
void Runner::count_overtaken(const core::Decision& decision, u64 order) {
    if (waiting_.empty()) return;
    std::set<u16> taken;
    for (const Event& event : decision.events)
        if (const auto* reserved = std::get_if<BlockReserved>(&event)) taken.insert(reserved->device);
    if (taken.empty()) return;
    for (auto& [older, waiting] : waiting_) {
        if (older >= order) break;
        const std::string& named = waiting.command.device_id;
        const bool there =
            named.empty() || std::ranges::any_of(taken, [&](u16 device) { return state_.books.devices()[device].id == named; });
        if (waiting.for_room && there) waiting.overtaken += 1;
    }
}

// -------------------------------------------------------------------------------------------------------- what only the engine knows
std::vector<u64> Runner::frozen_blocks() {
    std::vector<u64> blocks;
    for (const auto& [block, count] : frozen_) blocks.push_back(block);
    return blocks;
}

std::vector<u64> Runner::used_allocations() {
    std::vector<u64> serials;
    for (const auto& [serial, count] : uses_) serials.push_back(serial);
    return serials;
}

void Runner::prepare(Command& command) {
    const auto load = [this](auto& asked) {
        asked.frozen = frozen_blocks();
        asked.in_use = used_allocations();
        const model::Operation* operation = state_.catalogue.operation(asked.operation);
        asked.closed = closed_to(newcomer, operation == nullptr ? 0 : static_cast<u64>(operation->request.priority));
        const auto waiting = waiting_loads_.find(asked.operation.serial);
        if (waiting == waiting_loads_.end()) return;
        const Plea& plea = waiting->second.plea;
        asked.waited = {still_held_bytes(plea), ports_.clock().monotonic_ns >= plea.deadline_ns};
    };
    if (auto* inspected = std::get_if<InspectedCommand>(&command)) {
        load(*inspected);
    } else if (auto* placed = std::get_if<PlaceModelCommand>(&command)) {
        load(*placed);
    } else if (auto* limits = std::get_if<SetLimitsCommand>(&command)) {
        limits->frozen = frozen_blocks();
        limits->in_use = used_allocations();
    } else if (auto* reclaim = std::get_if<ReclaimCommand>(&command)) {
        reclaim->frozen = frozen_blocks();
        reclaim->in_use = used_allocations();
    }
}
}  // namespace vramd::engine
