/// Transfers on their way: accepted, begun when their turn comes, copied by the transfer engine, ended by one command.
///
/// A transfer holds its source and an existing target as a reader of content does, so nothing frees them under it. What is moved may be
/// read and written all the while: a write makes the copy begin anew, and a reader at its end is waited for.
#include <algorithm>

#include "base/invariant.hpp"
#include "device/channel.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
/// How often a move begins anew because its content was written meanwhile.
constexpr u64 attempts_max = 8;
/// The span over which the present rate is taken.
constexpr u64 rate_span_ns = 100'000'000;

u64 rate_of(u64 bytes, u64 ns) { return ns == 0 ? 0 : static_cast<u64>(u128{bytes} * ns_per_second / ns); }
}  // namespace

void Runner::transfer(TransferCommand command, Until until, Done<report::TransferTold> done) {
    WaitingTransfer waiting{std::move(command), until, ports_.clock().monotonic_ns + 5 * ns_per_second, std::move(done)};
    if (waiting.command.secret == 0) waiting.command.secret = ports_.secret();
    if (waiting.command.allocation_secret == 0) waiting.command.allocation_secret = ports_.secret();
    try_transfer(std::move(waiting));
}

/// The field of what a free waits for, if the caller may see it: a free that was accepted lets no transfer come between.
std::optional<std::string_view> Runner::being_freed(const TransferCommand& command) const {
    const auto waits = [&](AllocationId id) {
        const memory::Allocation* allocation = freeing_.contains(id.serial) ? state_.books.allocation(id) : nullptr;
        return allocation != nullptr && core::may_see(state_, command.caller, *allocation);
    };
    if (waits(command.source)) return "/sourceAllocationId";
    if (command.target && waits(*command.target)) return "/targetAllocationId";
    return std::nullopt;
}

/// One attempt. It is repeated while blocks are being released that it needs, or while its source is being moved to close a hole.
void Runner::try_transfer(WaitingTransfer waiting) {
    Told told;
    Result<core::Decision> decision;
    std::optional<report::TransferTold> accepted;
    bool too_late = false;
    {
        const Lock lock(lock_);
        const u64 source = waiting.command.source.serial;
        const memory::Move* moving = state_.books.move(source);
        if (moving != nullptr && moving->operation != 0 && in_use(source)) {
            after_use_[source].push_back([this, waiting = std::move(waiting)]() mutable { try_transfer(std::move(waiting)); });
            return;
        }
        waiting.command.frozen = frozen_blocks();
        waiting.command.in_use = used_allocations();
        waiting.command.closed = closed_to(newcomer, static_cast<u64>(waiting.command.priority));
        std::move_only_function<void(const core::Decision&)> enlist = [&](const core::Decision& made) {
            const memory::Transfer* transfer = made.transfer ? state_.transfers.transfer(made.transfer) : nullptr;
            if (transfer == nullptr) return;
            if (waiting.until == Until::ended)
                transfer_waiters_[made.transfer.serial].push_back(std::move(waiting.done));
            else
                accepted = report::transfer(state_, *transfer);
        };
        if (stopping_)
            decision = refuse(Code::busy, "daemon", "The daemon is stopping.");
        else if (waiting.command.mode == TransferMode::move && attached_to(source) > 0)
            decision =
                refuse(Code::leased, "/sourceAllocationId", "Clients have the allocation attached: it stays where it is. Copy it instead.");
        else if (const auto field = being_freed(waiting.command))
            decision = refuse(Code::conflict, *field, "The allocation is being freed.");
        else
            decision = commit_locked(Command(waiting.command), enlist, told);
        if (decision) count_overtaken(*decision, newcomer);
        if (decision && decision->again_after_release && ports_.clock().monotonic_ns < waiting.deadline_ns) {
            waiting_transfers_.push_back(std::move(waiting));
        } else if (decision && decision->again_after_release) {
            too_late = true;  // The releases that it has recorded must run all the same.
        }
    }
    if (!decision) return waiting.done(std::unexpected(decision.error()));
    finish(told, decision->effects);
    if (too_late)
        return waiting.done(
            refuse(Code::insufficient_memory, "/targetDeviceId",
                   "The memory that is being given back did not come in time; ask again, or allow more time by timeoutSeconds."));
    if (accepted) waiting.done(*std::move(accepted));
}

void Runner::retry_transfers() {
    std::vector<WaitingTransfer> all;
    {
        const Lock lock(lock_);
        all.swap(waiting_transfers_);
    }
    for (WaitingTransfer& waiting : all) try_transfer(std::move(waiting));
}

/// On the executor: one that is over starts the next, and a thousand small ones must not stand on one stack.
void Runner::start_one(const ScheduleTransfersEffect&) {
    ports_.executor->post([this] { conclude(ScheduleTransfersCommand{}); });
}

std::optional<transfer::Job> Runner::job_of(const memory::Transfer& transfer) {
    const TransferPlan& plan = transfer.plan;
    const memory::AllocationRow& source = state_.books.allocation(plan.source)->row;
    const memory::Move* move = plan.keeps_id() ? state_.books.move(plan.source.serial) : nullptr;
    const memory::AllocationRow& target = state_.books.allocation(plan.target)->row;
    device::Device* from_device = nullptr;
    device::Device* to_device = nullptr;
    const auto from = spec_of(source.block, from_device);
    const auto to = spec_of(move != nullptr ? move->block : target.block, to_device);
    if (!from || !to) return std::nullopt;
    const u64 to_offset = (move != nullptr ? move->offset_bytes : target.offset_bytes) + plan.target_offset_bytes;
    const auto read = Range::within(from->size_bytes, source.offset_bytes + plan.source_offset_bytes, plan.size_bytes);
    const auto written = Range::within(to->size_bytes, to_offset, plan.size_bytes);
    INVARIANT(read && written);
    transfer::Job job;
    job.kind = transfer::Kind::copy;
    job.source = transfer::Place{from_device, from->key, *read};
    job.target = transfer::Place{to_device, to->key, *written};
    job.verify = plan.verify ? transfer::Verify::checksum : transfer::Verify::none;
    job.source_stands = transfer::Source::may_change;
    job.priority = static_cast<transfer::Priority>(plan.priority);
    return job;
}

void Runner::start_one(const TransferEffect& effect) {
    std::optional<transfer::Job> job;
    {
        const Lock lock(lock_);
        const memory::Transfer* transfer = state_.transfers.transfer(effect.id);
        if (transfer == nullptr || transfer->state != TransferState::running) return;
        const TransferPlan& plan = transfer->plan;
        job = job_of(*transfer);
        LiveTransfer& live = live_transfers_[effect.id.serial];
        if (live.begun_ns == 0) live.begun_ns = ports_.clock().monotonic_ns;
        live.sample_ns = 0;
        live.stopping = transfer->ending.has_value();
        if (plan.mode == TransferMode::move) moving_[plan.source.serial] = in_use(plan.source.serial);
        hold(plan.source.serial);
        if (!plan.keeps_id()) {
            if (const auto moving = moving_.find(plan.target.serial); moving != moving_.end()) moving->second = true;
            hold(plan.target.serial);
        }
        if (live.stopping) job.reset();
    }
    if (!job)
        return transfer_copied(
            effect.id, refuse(Code::device_lost, "device",
                              "The device of this memory is not there: it was lost, or is configured no more. Its status says which."));
    const auto ticket = ports_.transfer->submit(
        *std::move(job), [this, id = effect.id](Result<transfer::Outcome> outcome) { transfer_copied(id, std::move(outcome)); });
    if (!ticket) return transfer_copied(effect.id, std::unexpected(ticket.error()));
    bool stop = false;
    {
        const Lock lock(lock_);
        const auto live = live_transfers_.find(effect.id.serial);
        if (live == live_transfers_.end()) return;  // It has ended already.
        live->second.ticket = *ticket;
        stop = live->second.stopping;
    }
    if (stop) (void)ports_.transfer->cancel(*ticket);  // Not there: then it has ended.
}

void Runner::start_one(const StopTransferEffect& effect) {
    transfer::Ticket ticket = 0;
    {
        const Lock lock(lock_);
        const auto live = live_transfers_.find(effect.id.serial);
        if (live == live_transfers_.end()) return;
        live->second.stopping = true;
        ticket = live->second.ticket;
    }
    if (ticket != 0) (void)ports_.transfer->cancel(ticket);  // Not there: then it has ended.
}

/// The copy is over. A move that was written meanwhile is copied again; one that is being read waits for its reader.
void Runner::transfer_copied(TransferId id, Result<transfer::Outcome> outcome) {
    TransferredCommand command{id, {}, {}};
    TransferPlan plan;
    enum class Next : u8 { end, copy_again, wait_for_reader } next = Next::end;
    {
        const Lock lock(lock_);
        const memory::Transfer* transfer = state_.transfers.transfer(id);
        const auto found = live_transfers_.find(id.serial);
        INVARIANT(transfer != nullptr && found != live_transfers_.end());
        LiveTransfer& live = found->second;
        plan = transfer->plan;
        command.result.wait_ns = transfer->begun_wall_ns > plan.wall_ns ? transfer->begun_wall_ns - plan.wall_ns : 0;
        command.result.duration_ns = std::max<u64>(ports_.clock().monotonic_ns - live.begun_ns, 1);
        if (outcome) {
            command.result.bytes = outcome->bytes;
            command.result.checksum = outcome->checksum.value_or(0);
            if (outcome->duration_ns > 0) command.result.duration_ns = outcome->duration_ns;
        } else {
            command.error = outcome.error();
            command.result.bytes = live.sample_bytes;
        }
        const u64 source = plan.source.serial;
        const bool moves = plan.mode == TransferMode::move && transfer->state == TransferState::running;
        const bool commits = moves && outcome;
        const bool changed = !outcome && outcome.error().code == Code::conflict;  // Verification met the new bytes first.
        const bool spoiled = moves && (outcome || changed) && moving_.at(source);
        if (spoiled && live.attempts < attempts_max && !live.stopping) {
            ++live.attempts;
            next = Next::copy_again;
        } else if (spoiled) {
            command.error = Error{Code::conflict, "/sourceAllocationId", 0, 0,
                                  "The allocation was written each time that it was copied; move it when its writer rests."};
        } else if (commits && attached_to(source) > 0) {  // Nobody waits for clients.
            command.error = Error{Code::leased, "/sourceAllocationId", 0, 0,
                                  "A client attached the allocation while it was being copied: it stays where it is."};
        } else if (commits && uses_.at(source) > 1) {
            next = Next::wait_for_reader;
            after_use_[source].push_back([this, id, source, outcome]() mutable {
                {
                    const Lock inner(lock_);
                    hold(source);
                }
                transfer_copied(id, std::move(outcome));
            });
        }
        if (next == Next::copy_again) live.ticket = 0;
    }
    if (next == Next::end) return end_transfer(plan, std::move(command));
    let_go(plan.source.serial);
    if (next == Next::wait_for_reader) return;
    if (!plan.keeps_id()) let_go(plan.target.serial);
    start_one(TransferEffect{id});
}

/// Records the end, tells it, and lets source and target go.
void Runner::end_transfer(const TransferPlan& plan, TransferredCommand command) {
    Told told;
    Result<core::Decision> decision;
    EndedUses ended;
    {
        const Lock lock(lock_);
        // Between the look at the content's users and here somebody may have come: the copy does not count then.
        const bool commits = !command.error && plan.mode == TransferMode::move;
        if (commits && (moving_.at(plan.source.serial) || uses_.at(plan.source.serial) > 1))
            command.error =
                Error{Code::conflict, "/sourceAllocationId", 0, 0, "The allocation was used in the moment of its move; try again."};
        std::move_only_function<void(const core::Decision&)> nothing;
        decision = commit_locked(Command(command), nothing, told);
        if (!decision && decision.error().code == Code::read_only && options_.read_only == ReadOnly::no) {
            // By the time it can be recorded, the content may be another.
            if (commits) command.error = decision.error();
            unrecorded_.emplace_back(command);
        }
        live_transfers_.erase(plan.id.serial);
        if (plan.mode == TransferMode::move) moving_.erase(plan.source.serial);
        // With the commit: who sees that it has ended may free what it held.
        end_use(plan.source.serial, ended);
        if (!plan.keeps_id()) end_use(plan.target.serial, ended);
    }
    follow(std::move(ended));
    if (decision) finish(told, decision->effects);
}

// ----------------------------------------------------------------------------------------------------------------------- told and timed
void Runner::note_transfer(const Event& event, Told& told) {
    if (const auto* queued = std::get_if<TransferQueued>(&event)) {
        if (queued->plan.deadline_monotonic_ns != 0) told.push_back([this, plan = queued->plan] { schedule_transfer_end(plan); });
    } else if (const auto* ended = std::get_if<TransferEnded>(&event)) {
        auto waiters = transfer_waiters_.extract(ended->id.serial);
        const memory::Transfer* transfer = state_.transfers.transfer(ended->id);
        work_.transfers_ended[static_cast<std::size_t>(ended->state)] += 1;
        if (ended->state == TransferState::succeeded) work_.transferred_bytes += ended->result.bytes;
        if (ended->state == TransferState::succeeded && transfer != nullptr) {
            const auto id_of = [this](u16 device) { return state_.books.devices()[device].id; };
            work_.link_bytes[{id_of(transfer->plan.source_device), id_of(transfer->plan.target_device)}] += ended->result.bytes;
        }
        if (transfer != nullptr)
            for (const u64 serial : {transfer->plan.source.serial, transfer->plan.target.serial})
                if (freeing_.contains(serial)) told.push_back([this, serial] { free_waiting(serial); });
        if (waiters.empty() || transfer == nullptr) return;
        for (auto& done : waiters.mapped()) {
            report::TransferTold record = report::transfer(state_, *transfer);
            fill_rates(record);
            told.push_back([done = std::move(done), record = std::move(record)]() mutable { done(std::move(record)); });
        }
    }
}

void Runner::schedule_transfer_end(const TransferPlan& plan) {
    ports_.executor->post_at(plan.deadline_monotonic_ns, [this, id = plan.id] { conclude(ExpireTransferCommand{id}); });
}

/// The rate of the last moment, the highest seen, and what the link can do.
void Runner::fill_rates(report::TransferTold& told) {
    const u64 average = rate_of(told.result.bytes, told.result.duration_ns);
    const auto found = live_transfers_.find(told.plan.id.serial);
    if (told.state == TransferState::running && found != live_transfers_.end()) {
        LiveTransfer& live = found->second;
        const u64 now = ports_.clock().monotonic_ns;
        const auto progress = live.ticket == 0 ? std::nullopt : ports_.transfer->progress(live.ticket);
        const u64 bytes = progress ? std::max(progress->bytes_done, live.sample_bytes) : live.sample_bytes;
        told.result.bytes = bytes;
        told.result.duration_ns = now - live.begun_ns;
        told.result.wait_ns = told.begun_wall_ns > told.plan.wall_ns ? told.begun_wall_ns - told.plan.wall_ns : 0;
        const u64 since = now - (live.sample_ns == 0 ? live.begun_ns : live.sample_ns);
        if (since >= rate_span_ns || live.sample_ns == 0) {
            live.current_bytes_per_second = rate_of(bytes - live.sample_bytes, since);
            live.peak_bytes_per_second = std::max(live.peak_bytes_per_second, live.current_bytes_per_second);
            live.sample_ns = now;
            live.sample_bytes = bytes;
        }
        told.current_bytes_per_second = live.current_bytes_per_second;
        told.peak_bytes_per_second = live.peak_bytes_per_second;
    } else {
        told.peak_bytes_per_second = average;
    }
    const device::Device* const source = device_of(told.plan.source_device);
    const device::Device* const target = device_of(told.plan.target_device);
    if (source == nullptr || target == nullptr) return;
    const LinkLimits::Rate limit = link_limits_.copy(LinkLimits::end_of(*source), LinkLimits::end_of(*target));
    if (limit.bytes_per_second == 0) return;
    told.limit_bytes_per_second = limit.bytes_per_second;
    told.limit_measured_wall_ns = limit.measured_wall_ns;
}

Result<report::TransferTold> Runner::cancel_transfer(CancelTransferCommand command) {
    report::TransferTold told;
    TRY_DO(commit(std::move(command), [&](const core::Decision& made) {
        told = report::transfer(state_, *state_.transfers.transfer(made.transfer));
        fill_rates(told);
    }));
    return told;
}

Result<report::TransferTold> Runner::read_transfer(const Caller& caller, TransferId id) {
    const Lock lock(lock_);
    const memory::Transfer* transfer = state_.transfers.transfer(id);
    if (transfer == nullptr || (caller.role != Role::admin && transfer->plan.owner != caller.owner))
        return refuse(Code::not_found, "id", "There is no transfer " + to_text(id) + ", or it is not yours.");
    report::TransferTold told = report::transfer(state_, *transfer);
    fill_rates(told);
    return told;
}

report::TransferPage Runner::transfers(const Caller& caller, const report::TransferFilter& filter) {
    const Lock lock(lock_);
    report::TransferPage page = report::transfers(state_, caller, filter);
    for (report::TransferTold& told : page.items) fill_rates(told);
    return page;
}
}  // namespace vramd::engine
