#include "engine/runner.hpp"

#include <algorithm>

#include "base/invariant.hpp"

namespace vramd::engine {
Runner::Runner(Options options, Ports ports)
    : options_(std::move(options)),
      ports_(std::move(ports)),
      feed_({[this](const Caller& caller, AllocationId id) { return allocation(caller, id).has_value(); },
             [this](std::move_only_function<void()> work) { ports_.executor->post(std::move(work)); }}) {
    for (ConfiguredDevice& device : ports_.devices) devices_.emplace(device.device_id, device);
    core_started_wall_ns_ = ports_.clock().wall_ns;
    if (options_.read_only == ReadOnly::after_failures)
        read_only_reason_ =
            "The core was started read-only after repeated failures; the log says why. SIGHUP to the keeper starts it afresh, and so does "
            "an upgrade (SIGUSR2).";
    if (options_.read_only == ReadOnly::asked)
        read_only_reason_ =
            "vramd was started with --read-only. To leave that, stop it (SIGTERM) and start it without the flag; SIGHUP keeps the flag.";
}

Runner::~Runner() {
    // What may still call back ends first, while everything that it calls is there.
    ports_.loading.reset();
    ports_.transfer.reset();
    ports_.executor.reset();
}

Result<std::unique_ptr<Engine>> Engine::start(Options options, Ports ports) {
    auto runner = std::make_unique<Runner>(std::move(options), std::move(ports));
    TRY_DO(runner->recover());
    return runner;
}

// --------------------------------------------------------------------------------------------------------------------- the one way in
Result<core::Decision> Runner::commit_locked(const Command& command, UnderLock& under_lock, Told& told) {
    const Moment now = ports_.clock();
    TRY(core::Decision decision, decide_locked(command, now));
    return record_locked(std::move(decision), now, under_lock, told);
}

Result<core::Decision> Runner::decide_locked(const Command& command, Moment now) {
    // A first start that may write nothing has no device in its books: what is refused is refused for that, not for the device.
    if (options_.read_only != ReadOnly::no && state_.books.devices().empty()) return refuse(Code::read_only, "ledger", read_only_reason_);
    return core::decide(state_, command, now);
}

Result<core::Decision> Runner::record_locked(core::Decision decision, Moment now, UnderLock& under_lock, Told& told) {
    if (!decision.events.empty()) {
        if (!read_only_reason_.empty()) return refuse(Code::read_only, "ledger", read_only_reason_);
        std::vector<std::vector<std::byte>> bytes(decision.events.size());
        for (std::size_t i = 0; i < bytes.size(); ++i) encode(decision.events[i], bytes[i]);
        const auto appended = ledger_->append(now.wall_ns, bytes);
        if (!appended) {
            keep_ledger();
            return std::unexpected(appended.error());
        }
        bool awaited = false;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            unsaved_bytes_ += bytes[i].size();
            report::Attribution whose = report::attribute(state_, decision.events[i]);
            past_.note(state_, decision.events[i], now.wall_ns);
            core::apply(state_, decision.events[i]);
            if (feed_.add(*appended + i, now.wall_ns, std::move(bytes[i]), std::move(whose))) awaited = true;
        }
        past_.settle(state_, now.wall_ns);
        for (const core::Evicted& one : decision.evicted) {
            EvictedTold& evicted = work_.evicted[state_.books.devices()[one.device].id];
            evicted.copies += 1;
            evicted.bytes += one.bytes;
        }
        if (awaited) told.push_back([this] { feed_.wake(); });
    }
    if (under_lock) under_lock(decision);
    for (const Event& event : decision.events) note(event, told);
    if (stopping_) answered_.notify_all();
    keep_ledger();
    schedule_leases();
    return decision;
}

Result<core::Decision> Runner::commit(Command command, UnderLock under_lock) {
    Told told;
    Result<core::Decision> decision;
    {
        const Lock lock(lock_);
        prepare(command);
        decision = commit_locked(command, under_lock, told);
        if (decision) count_overtaken(*decision, newcomer);
    }
    if (decision) finish(told, decision->effects);
    return decision;
}

void Runner::conclude(Command command) {
    Told told;
    Result<core::Decision> decision;
    {
        const Lock lock(lock_);
        // Cut off by our own end: its record stays as it is, and the next core goes on from there.
        const auto* failed = std::get_if<OperationFailedCommand>(&command);
        if (stopping_ && failed != nullptr && failed->error.code == Code::cancelled) return;
        UnderLock nothing;
        prepare(command);
        const Moment now = ports_.clock();
        decision = decide_locked(command, now);
        if (decision && load_waits(command, *decision, told))
            decision = core::Decision{};
        else if (decision)
            decision = record_locked(*std::move(decision), now, nothing, told);
        if (decision) count_overtaken(*decision, newcomer);
        if (!decision && decision.error().code == Code::read_only && options_.read_only == ReadOnly::no) {
            unrecorded_.push_back(std::move(command));
            return;
        }
    }
    if (decision) return finish(told, decision->effects);
    // A tensor table can be larger than a record; all other finished effects are small.
    if (const auto* inspected = std::get_if<InspectedCommand>(&command); inspected != nullptr && decision.error().code == Code::too_large)
        conclude(OperationFailedCommand{inspected->operation, decision.error()});
}

void Runner::finish(Told& told, const std::vector<Effect>& effects) {
    for (const Effect& effect : effects) start(effect);
    for (auto& tell : told) tell();
}

// ----------------------------------------------------------------------------------------------------------------------------- memory
/// Commits what gives memory up and notes what is told of it; the caller holds the lock.
void Runner::give_up(const Command& command, u16 device, Giving& giving) {
    UnderLock note_freed = [&](const core::Decision& made) {
        giving.freed.freed_bytes = made.freed_bytes;
        giving.freed.cached =
            std::ranges::any_of(made.events, [](const Event& event) { return std::holds_alternative<ModelTiered>(event); });
        giving.freed.device_after = report::device_books(state_, device, report::Detail::sums);
        if (const auto* free = std::get_if<FreeCommand>(&command); free != nullptr && state_.books.allocation(free->id) != nullptr)
            giving.freed.status = AllocationStatus::zombie;
    };
    giving.decision = commit_locked(command, note_freed, giving.told);
}

/// Starts the effects and answers, once the lock is let go.
void Runner::tell_freed(Giving& giving, Done<Freed> done) {
    if (!giving.decision) return done(std::unexpected(giving.decision.error()));
    finish(giving.told, giving.decision->effects);
    giving.freed.total_ns = ports_.clock().monotonic_ns - giving.begun_ns;
    done(std::move(giving.freed));
}

void Runner::free(FreeCommand command, bool force, Done<Freed> done) {
    Giving giving{.begun_ns = ports_.clock().monotonic_ns};
    {
        const Lock lock(lock_);
        command.in_use = in_use(command.id.serial);
        command.abandon = force;
        const memory::Allocation* allocation = state_.books.allocation(command.id);
        const bool moves = moving_.contains(command.id.serial);  // Soon over, and nothing that the caller did.
        const bool at_it = (command.in_use && attached_to(command.id.serial) == 0) || freeing_.contains(command.id.serial);
        // A transfer that waits for its turn would come between the last reader and the free: it is a reason to refuse at once.
        const bool before_it = std::ranges::any_of(state_.transfers.of(command.id.serial), [](const memory::Transfer* transfer) {
            return transfer->state == TransferState::queued;
        });
        if ((moves || (at_it && force)) && !before_it && allocation != nullptr && core::may_see(state_, command.caller, *allocation)) {
            freeing_[command.id.serial].push_back({std::move(command), giving.begun_ns, std::move(done)});
            return;
        }
        const u16 device = allocation == nullptr ? u16{0} : state_.books.block(allocation->row.block)->row.device;
        if (auto attached = why_attached(command))
            giving.decision = std::unexpected(*std::move(attached));
        else
            give_up(Command(command), device, giving);
    }
    tell_freed(giving, std::move(done));
}

/// Ends the frees that wait for this allocation, once neither a reader nor a transfer is at it. Until then each look finds somebody who
/// comes by here again: a reader that lets go, or a transfer that ends.
void Runner::free_waiting(u64 serial) {
    for (;;) {
        Giving giving;
        Done<Freed> done;
        {
            const Lock lock(lock_);
            const auto found = freeing_.find(serial);
            if (found == freeing_.end()) break;
            const bool read = in_use(serial) && attached_to(serial) == 0;
            if (read || !state_.transfers.of(serial).empty()) return;
            WaitingFree free = std::move(found->second.front());
            found->second.pop_front();
            if (found->second.empty()) freeing_.erase(found);
            giving.begun_ns = free.begun_ns;
            done = std::move(free.done);
            free.command.in_use = in_use(serial);
            const memory::Allocation* allocation = state_.books.allocation(free.command.id);
            const u16 device = allocation == nullptr ? u16{0} : state_.books.block(allocation->row.block)->row.device;
            if (auto attached = why_attached(free.command))
                giving.decision = std::unexpected(*std::move(attached));
            else
                give_up(Command(std::move(free.command)), device, giving);
        }
        tell_freed(giving, std::move(done));
    }
    free_zombie(serial);
}

Result<report::AllocationTold> Runner::renew_lease(RenewLeaseCommand command) {
    const AllocationId id = command.id;
    report::AllocationTold told;
    TRY_DO(commit(std::move(command), [&](const core::Decision&) { told = report::allocation(state_, *state_.books.allocation(id)); }));
    return told;
}

// ----------------------------------------------------------------------------------------------------------------------------- timers
void Runner::schedule_leases() {
    if (stopping_) return;
    // What is being read or made ready cannot end now: its last user, or its being ready, comes by here again.
    const auto& leases = state_.books.leases();
    const auto can_end = [this](const std::pair<u64, u64>& lease) {
        return !in_use(lease.second) && state_.transfers.of(lease.second).empty() &&
               state_.books.allocation_by_serial(lease.second)->row.status == AllocationStatus::live;
    };
    const auto first = std::find_if(leases.begin(), leases.end(), can_end);
    if (first == leases.end()) return;
    const u64 soonest = first->first;
    if (!lease_timers_.empty() && *lease_timers_.begin() <= soonest) return;
    lease_timers_.insert(soonest);
    ports_.executor->post_at(soonest, [this, soonest] { expire_leases(soonest); });
}

void Runner::expire_leases(u64 timer_ns) {
    for (bool more = true; more;) {
        Told told;
        Result<core::Decision> decision;
        {
            const Lock lock(lock_);
            lease_timers_.erase(timer_ns);
            if (stopping_) return;  // Clients' holds go with this core; what they hold is the next one's to judge.
            ExpireCommand command;
            for (const auto& [serial, count] : uses_) command.in_use.push_back(serial);
            UnderLock nothing;
            decision = commit_locked(Command(std::move(command)), nothing, told);
        }
        more = decision && !decision->events.empty();
        if (decision) finish(told, decision->effects);
    }
}

/// Sees to it that an append finds room, and that a start need not replay much more than the state is large: so what snapshots cost stays
/// in proportion to what is recorded, however large the state grows.
void Runner::keep_ledger() {
    if (!preparing_ledger_ && ledger_->room_bytes() <= options_.ledger_segment_bytes / 2) {
        preparing_ledger_ = true;
        ports_.executor->post([this] { prepare_ledger(); });
    }
    if (snapshot_running_ || unsaved_bytes_ < std::max(options_.ledger_segment_bytes / 2, snapshot_bytes_)) return;
    snapshot_running_ = true;
    ports_.executor->post([this] { write_snapshot(); });
}

void Runner::prepare_ledger() {
    {
        const Lock lock(lock_);
        if (stopping_) return;
    }
    const auto prepared = ledger_->prepare();
    {
        const Lock lock(lock_);
        preparing_ledger_ = false;
        if (stopping_) return;
        if (!prepared) {
            if (snapshot_running_) return;
            snapshot_running_ = true;  // It may make the room that is missing, and is tried again until it succeeds.
        }
    }
    if (!prepared) return write_snapshot();
    record_unrecorded();
}

/// A snapshot that failed is tried again each second until it succeeds.
void Runner::write_snapshot() {
    u64 sequence = 0;
    std::vector<std::byte> bytes;
    {
        core::State copy;
        {
            const Lock lock(lock_);
            if (stopping_) return;
            sequence = ledger_->sequence();
            copy = state_;  // They share their rows until one changes.
            unsaved_bytes_ = 0;
        }
        bytes = core::save(copy);
    }
    const auto written = ledger_->snapshot(sequence, bytes);
    {
        const Lock lock(lock_);
        if (stopping_) return;
        if (written) {
            snapshot_running_ = false;
            snapshot_bytes_ = bytes.size();
        } else {
            if (ledger_->room_bytes() <= options_.ledger_segment_bytes / 8)
                read_only_reason_ = "The ledger cannot be kept: " + describe(written.error());
            ports_.executor->post_at(ports_.clock().monotonic_ns + ns_per_second, [this] { write_snapshot(); });
        }
    }
    if (written) record_unrecorded();
}

/// There is room again for what the ledger could not take.
void Runner::record_unrecorded() {
    std::vector<Command> unrecorded;
    {
        const Lock lock(lock_);
        read_only_reason_.clear();
        unrecorded.swap(unrecorded_);
    }
    for (Command& command : unrecorded) conclude(std::move(command));
    const Lock lock(lock_);
    schedule_leases();  // Their ends may have been refused meanwhile.
}

/// Whoever waits for a load that waits for room is told at once that the daemon stops: the next core goes on with it.
bool Runner::owes_an_answer() const {
    const auto runs = [this](const auto& waiters) { return !waiting_loads_.contains(waiters.first); };
    return !allocation_waiters_.empty() || std::ranges::any_of(operation_waiters_, runs) || !release_waiters_.empty() ||
           !transfer_waiters_.empty();
}

void Runner::stop(u64 wait_ns_max) {
    std::map<u64, Waiting> left;
    std::vector<WaitingTransfer> left_transfers;
    {
        const Lock lock(lock_);
        stopping_ = true;
        left.swap(waiting_);
        left_transfers.swap(waiting_transfers_);
    }
    for (WaitingTransfer& waiting : left_transfers) waiting.done(refuse(Code::busy, "daemon", "The daemon is stopping."));
    for (auto& [order, waiting] : left) waiting.done(refuse(Code::busy, "daemon", "The daemon is stopping."));
    std::map<u64, std::vector<Done<report::OperationTold>>> loads;
    {
        std::unique_lock held(lock_);
        answered_.wait_for(held, std::chrono::nanoseconds(wait_ns_max), [this]() REQUIRES(lock_) { return !owes_an_answer(); });
        loads.swap(operation_waiters_);
    }
    tell_releases();
    for (auto& [serial, waiters] : loads)
        for (auto& done : waiters) done(refuse(Code::busy, "daemon", "The daemon is stopping; a load goes on if its memory is kept."));
    for (const Loading::Running& job : ports_.loading->running()) ports_.loading->cancel(job.job);
}

void Runner::abandon() {
    const Lock lock(lock_);
    read_only_reason_ = "The core is gone.";
    snapshot_running_ = true;
    stopping_ = true;
}

u64 Runner::hash() {
    const Lock lock(lock_);
    return core::state_hash(state_);
}

std::vector<std::string> Runner::findings() {
    const Lock lock(lock_);
    return core::audit(state_);
}
}  // namespace vramd::engine
