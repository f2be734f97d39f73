/// Allocations on their way to a second place. Readers and writers never wait for a move: who writes meanwhile spoils it, and who is at
/// the content when the copy ends keeps the first place.
#include <algorithm>
#include <iterator>

#include "base/invariant.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
void Runner::start_one(const MoveEffect& effect) {
    transfer::Job job;
    bool there = false;
    {
        const Lock lock(lock_);
        const memory::Allocation* allocation = state_.books.allocation(effect.id);
        const memory::Move* move = state_.books.move(effect.id.serial);
        if (allocation == nullptr || move == nullptr) return;  // Freed, or its device lost, since the decision.
        device::Device* from_device = nullptr;
        device::Device* to_device = nullptr;
        const auto from = spec_of(allocation->row.block, from_device);
        const auto to = spec_of(move->block, to_device);
        there = from && to;
        if (there) {
            const u64 bytes = std::min(allocation->row.granted_bytes, move->granted_bytes);
            const auto source = Range::within(from->size_bytes, allocation->row.offset_bytes, bytes);
            const auto target = Range::within(to->size_bytes, move->offset_bytes, bytes);
            INVARIANT(source && target);
            job.kind = transfer::Kind::copy;
            job.source = transfer::Place{from_device, from->key, *source};
            job.target = transfer::Place{to_device, to->key, *target};
            job.priority = transfer::Priority::low;
            job.source_stands = transfer::Source::may_change;
        }
        moving_[effect.id.serial] = in_use(effect.id.serial);
        hold(effect.id.serial);
    }
    if (!there)
        return move_ended(effect.id,
                          refuse(Code::device_lost, "device",
                                 "The device of this memory is not there: it was lost, or is configured no more. Its status says which."));
    if (job.source->range.size_bytes() <= transfer::run_now_max_bytes)
        return move_ended(effect.id, ports_.transfer->run_now(std::move(job)));
    const auto ticket = ports_.transfer->submit(
        std::move(job), [this, id = effect.id](const Result<transfer::Outcome>& outcome) { move_ended(id, outcome); });
    if (!ticket) move_ended(effect.id, std::unexpected(ticket.error()));
}

void Runner::move_ended(AllocationId id, const Result<transfer::Outcome>& outcome) {
    MovedCommand command{id, false, {}};
    if (!outcome) command.failed = outcome.error().code;
    Told told;
    Result<core::Decision> decision;
    EndedUses ended;
    {
        const Lock lock(lock_);
        const auto spoiled = moving_.extract(id.serial);
        INVARIANT(!spoiled.empty());
        command.stale = spoiled.mapped() || uses_.at(id.serial) > 1;
        std::move_only_function<void(const core::Decision&)> nothing;
        decision = commit_locked(Command(command), nothing, told);
        if (!decision && decision.error().code == Code::read_only && options_.read_only == ReadOnly::no) {
            command.stale = true;  // By the time it can be recorded, the content may be another.
            unrecorded_.emplace_back(command);
        }
        end_use(id.serial, ended);  // With the commit: the upkeep that it lets go on would take our own hold for somebody's use.
        // What waited for the move does not wait for who reads besides, and keeps no newcomer out any longer.
        if (auto waiting = after_use_.extract(id.serial); !waiting.empty())
            std::ranges::move(waiting.mapped(), std::back_inserter(ended.next));
    }
    follow(std::move(ended));
    if (decision) finish(told, decision->effects);
}
}  // namespace vramd::engine
