/// Bytes of allocations: read, written, filled, copied. Whoever is at it holds the allocation still; a free waits or is refused.
#include <algorithm>

#include "base/invariant.hpp"
#include "core/decide.hpp"
#include "engine/channel_content.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
/// A held allocation on a device whose memory this process maps.
class HeldContent final : public Content {
public:
    HeldContent(Runner& runner, u64 serial, device::Mapping mapping, Range range, Access access)
        : runner_(runner), serial_(serial), mapping_(std::move(mapping)), range_(range), access_(access) {}
    ~HeldContent() override { runner_.let_go(serial_); }

    u64 size_bytes() const override { return range_.size_bytes(); }
    Result<std::span<const std::byte>> view(u64 offset_bytes, u64 max_bytes) override {
        TRY(const Range part, Range::within(range_.size_bytes(), offset_bytes, 0));
        const u64 bytes = std::min(max_bytes, range_.size_bytes() - part.offset_bytes());
        return mapping_.read().subspan(range_.offset_bytes() + part.offset_bytes(), bytes);
    }
    Result<std::span<std::byte>> room(u64 offset_bytes, u64 max_bytes) override {
        INVARIANT(access_ == Access::write);
        TRY(const Range part, Range::within(range_.size_bytes(), offset_bytes, 0));
        TRY(const std::span<std::byte> bytes, mapping_.write());
        return bytes.subspan(range_.offset_bytes() + part.offset_bytes(), std::min(max_bytes, range_.size_bytes() - part.offset_bytes()));
    }
    Result<void> commit(u64, u64) override { return {}; }  // The bytes are in place already.

private:
    Runner& runner_;
    u64 serial_;
    device::Mapping mapping_;
    Range range_;
    Access access_;
};

bool Runner::in_use(u64 serial) const { return uses_.contains(serial); }
void Runner::hold(u64 serial) { uses_[serial] += 1; }

/// Under the same lock as what makes the end of the use known: nobody sees the one without the other.
void Runner::end_use(u64 serial, EndedUses& ended) {
    const auto found = uses_.find(serial);
    INVARIANT(found != uses_.end());
    const memory::Allocation* allocation = state_.books.allocation_by_serial(serial);
    const bool wanted = allocation != nullptr && allocation->row.model != 0 && somebody_waits();
    if (--found->second > 0) {
        ended.evictable = ended.evictable || (wanted && holders_.hold(serial));  // Those who are left can perhaps be asked.
        return;
    }
    uses_.erase(found);
    if (auto waiting = after_use_.extract(serial); !waiting.empty())
        for (auto& work : waiting.mapped()) ended.next.push_back(std::move(work));
    const bool abandoned = allocation != nullptr && allocation->row.status == AllocationStatus::zombie;
    if (freeing_.contains(serial) || abandoned) ended.frees.push_back(serial);
    ended.evictable = ended.evictable || wanted;
    schedule_leases();
}

void Runner::follow(EndedUses ended) {
    for (auto& work : ended.next) work();
    for (const u64 serial : ended.frees) free_waiting(serial);
    if (ended.evictable) retry_waiting();
}

void Runner::let_go(u64 serial) {
    EndedUses ended;
    {
        const Lock lock(lock_);
        end_use(serial, ended);
    }
    follow(std::move(ended));
}

/// Finds the bytes and holds their allocation still until `let_go`.
Result<transfer::Place> Runner::hold_place(const Caller& caller, AllocationId id, u64 offset_bytes, std::optional<u64> size_bytes,
                                           Access access) {
    const Lock lock(lock_);
    const memory::Allocation* allocation = state_.books.allocation(id);
    if (allocation == nullptr || !core::may_see(state_, caller, *allocation))
        return refuse(Code::not_found, "allocation", "There is no allocation " + to_text(id) + ", or it is not yours.");
    return hold_locked(*allocation, offset_bytes, size_bytes, access);
}

Result<transfer::Place> Runner::hold_locked(const memory::Allocation& allocation, u64 offset_bytes, std::optional<u64> size_bytes,
                                            Access access) {
    TRY_DO(core::check_usable(allocation));
    const memory::AllocationRow& row = allocation.row;
    // Else readers that follow one another would keep a forced free waiting for ever.
    if (freeing_.contains(row.id.serial) || after_use_.contains(row.id.serial))
        return refuse(Code::conflict, "allocation", "The allocation is being freed or moved; try again in a moment.");
    if (access == Access::write && row.model != 0)
        return refuse(Code::conflict, "allocation", "The allocation holds a model, which cannot be changed.");
    TRY(const Range rest, Range::within(row.size_bytes, offset_bytes, 0));
    TRY(const Range part, Range::within(row.size_bytes, offset_bytes, size_bytes.value_or(row.size_bytes - rest.offset_bytes())));
    device::Device* device = nullptr;
    const auto spec = spec_of(row.block, device);
    if (!spec)
        return refuse(Code::device_lost, "device",
                      "The device of this memory is not there: it was lost, or is configured no more. Its status says which.");
    TRY(const Range in_block, Range::within(spec->size_bytes, row.offset_bytes + part.offset_bytes(), part.size_bytes()));
    if (const auto moving = moving_.find(row.id.serial); moving != moving_.end() && access == Access::write) moving->second = true;
    hold(row.id.serial);
    return transfer::Place{device, spec->key, in_block};
}

/// Counts the access and renews a lease. A ledger that cannot take it is no reason to refuse a read.
void Runner::accessed(AllocationId id) { (void)commit(AccessCommand{id}); }

Result<std::unique_ptr<Content>> Runner::hold_content(const Caller& caller, AllocationId id, Access access) {
    TRY(const transfer::Place place, hold_place(caller, id, 0, std::nullopt, access));
    auto mapping = place.device->map(place.key);
    if (mapping) return std::make_unique<HeldContent>(*this, id.serial, *std::move(mapping), place.range, access);
    auto error = std::move(mapping).error();
    if (error.code == Code::unsupported) {
        auto channel = device::channel_to(*place.device, place.key, device::Patience::none);
        if (channel) return content_by_channel(*std::move(channel), place.range, [this, serial = id.serial] { let_go(serial); });
        error = std::move(channel).error();
    }
    let_go(id.serial);
    return std::unexpected(std::move(error));
}

Result<std::unique_ptr<Content>> Runner::open_content(const Caller& caller, AllocationId id, Access access) {
    TRY(auto content, hold_content(caller, id, access));
    accessed(id);
    return content;
}

void Runner::clear(ClearRequest request, Done<Moved> done) {
    if (request.allocation.has_value() == !request.device_id.empty())
        return done(refuse(Code::invalid_field, "/allocationId", "Exactly one of /allocationId and /deviceId must be given."));
    if (request.allocation)
        clear_allocation(std::move(request), std::move(done));
    else
        clear_free(std::move(request), std::move(done));
}

namespace {
/// A place's refusal under the names that the caller gave: a copy has two allocations and two offsets.
std::unexpected<Error> told_of(Error error, std::string_view allocation_field, std::string_view offset_field) {
    if (error.field == "allocation") error.field = allocation_field;
    if (error.field == "offsetBytes") error.field = offset_field;
    if (error.field == "sizeBytes") error.field = "/sizeBytes";
    return std::unexpected(std::move(error));
}
}  // namespace

void Runner::clear_allocation(ClearRequest request, Done<Moved> done) {
    const AllocationId id = *request.allocation;
    const auto place = hold_place(request.caller, id, request.offset_bytes, request.size_bytes, Access::write);
    if (!place) return done(told_of(place.error(), "/allocationId", "/offsetBytes"));
    accessed(id);
    if (place->range.empty()) {
        let_go(id.serial);
        return done(Moved{});
    }
    transfer::Job job;
    job.kind = request.fill_value == 0 ? transfer::Kind::zero : transfer::Kind::fill;
    job.target = *place;
    job.fill_value = static_cast<std::byte>(request.fill_value);
    auto shared = std::make_shared<Done<Moved>>(std::move(done));
    const auto ticket =
        ports_.transfer->submit(std::move(job), [this, shared, id, device = place->device](Result<transfer::Outcome> outcome) {
            let_go(id.serial);
            if (!outcome) return (*shared)(std::unexpected(outcome.error()));
            const LinkLimits::Rate limit = link_limits_.fill(LinkLimits::end_of(*device));
            const Moved moved{outcome->bytes, outcome->duration_ns, limit.bytes_per_second, 1, 0};
            note_work(device, report::Work::clear, moved);
            (*shared)(moved);
        });
    if (ticket) return;
    let_go(id.serial);
    (*shared)(std::unexpected(ticket.error()));
}

void Runner::copy(CopyRequest request, Done<Moved> done) {
    const auto source = hold_place(request.caller, request.source, request.source_offset_bytes, request.size_bytes, Access::read);
    if (!source) return done(told_of(source.error(), "/sourceAllocationId", "/sourceOffsetBytes"));
    const auto target = hold_place(request.caller, request.target, request.target_offset_bytes, request.size_bytes, Access::write);
    const auto end = [this, request] {
        let_go(request.source.serial);
        let_go(request.target.serial);
    };
    if (!target) {
        let_go(request.source.serial);
        return done(told_of(target.error(), "/targetAllocationId", "/targetOffsetBytes"));
    }
    if (source->device != target->device) {
        end();
        return done(refuse(Code::unsupported, "/targetAllocationId", "A copy stays within one device; use a transfer between two."));
    }
    accessed(request.source);
    accessed(request.target);
    const u64 bytes = std::min(source->range.size_bytes(), target->range.size_bytes());
    if (bytes == 0) {
        end();
        return done(Moved{});
    }
    const auto first = [bytes](const transfer::Place& place) {
        return transfer::Place{place.device, place.key, *Range::within(place.range.end_bytes(), place.range.offset_bytes(), bytes)};
    };
    transfer::Job job;
    job.kind = transfer::Kind::copy;
    job.source = first(*source);
    job.target = first(*target);
    auto shared = std::make_shared<Done<Moved>>(std::move(done));
    const auto ticket =
        ports_.transfer->submit(std::move(job), [this, shared, end, device = source->device](Result<transfer::Outcome> outcome) {
            end();
            if (!outcome) return (*shared)(std::unexpected(outcome.error()));
            const LinkLimits::Rate limit = link_limits_.copy(LinkLimits::end_of(*device), LinkLimits::end_of(*device));
            const Moved moved{outcome->bytes, outcome->duration_ns, limit.bytes_per_second, 2, 0};
            note_work(device, report::Work::copy, moved);
            (*shared)(moved);
        });
    if (ticket) return;
    end();
    (*shared)(std::unexpected(ticket.error()));
}

/// Before it is answered: who then asks for analytics finds it there.
void Runner::note_work(const device::Device* device, report::Work work, const Moved& moved) {
    const Lock lock(lock_);
    for (const auto& [id, configured] : devices_)
        if (configured.device.get() == device) past_.worked(id, work, moved.bytes, moved.duration_ns, ports_.clock().wall_ns);
}

/// A clear of a device's free memory on its way through the holes, one after the other.
struct Runner::Clearing {
    std::vector<transfer::Place> holes;
    std::vector<BlockKey> blocks;  ///< Frozen until it ends.
    std::size_t next = 0;
    u8 fill_value = 0;
    Moved moved;
    std::optional<Error> error;
    Done<Moved> done;

    void count(const Result<transfer::Outcome>& outcome) {
        if (outcome) {
            moved.bytes += outcome->bytes;
            moved.duration_ns += outcome->duration_ns;
            moved.free_ranges_touched += 1;
        } else if (outcome.error().code != Code::not_found) {  // A block that went meanwhile is cleared by its device.
            error = outcome.error();
        }
    }
};

/// Collects the used holes of a device's arenas and lets nothing be placed there until their blocks are thawed. Errors: not_found.
Result<void> Runner::freeze_used_holes(const std::string& device_id, std::vector<transfer::Place>& holes, std::vector<BlockKey>& blocks) {
    const Lock lock(lock_);
    const auto index = state_.books.device_named(device_id);
    device::Device* device = index ? device_of(*index) : nullptr;
    if (device == nullptr) return core::no_device(state_.books, device_id);
    for (const auto& [key, block] : state_.books.blocks()) {
        if (block.row.device != *index || !block.space || block.row.state != BlockState::ready) continue;
        blocks.push_back(key);
        frozen_[key] += 1;
        block.space->for_each_hole([&, key = key, &row = block.row](const memory::Hole& hole) {
            const u64 end = std::min(row.dirty_bytes, hole.offset_bytes + hole.size_bytes);
            if (end <= hole.offset_bytes) return;
            holes.push_back({device, key, *Range::within(row.size_bytes, hole.offset_bytes, end - hole.offset_bytes)});
        });
    }
    return {};
}

/// Overwrites what free memory was used for: holes of arenas below their dirty mark. (Above it all reads as zero, and pooled blocks are
/// zeroed by their device.) Nothing is placed in those blocks meanwhile.
void Runner::clear_free(ClearRequest request, Done<Moved> done) {
    if (request.caller.role != Role::admin)
        return done(refuse(Code::forbidden, "/deviceId", "Only an admin may clear a device's free memory."));
    auto clearing = std::make_shared<Clearing>();
    const auto frozen = freeze_used_holes(request.device_id, clearing->holes, clearing->blocks);
    if (!frozen) return done(std::unexpected(frozen.error()));
    clearing->fill_value = request.fill_value;
    clearing->done = std::move(done);
    ports_.executor->post([this, clearing] { clear_next(clearing); });
}

void Runner::thaw(const std::vector<BlockKey>& blocks) {
    {
        const Lock lock(lock_);
        for (const BlockKey key : blocks)
            if (--frozen_[key] == 0) frozen_.erase(key);
    }
    retry_waiting();  // Some may have found no room but there.
}

/// One hole after the other: there can be more of them than the transfer engine takes at once.
void Runner::clear_next(std::shared_ptr<Clearing> clearing) {
    while (clearing->next < clearing->holes.size()) {
        transfer::Job job;
        job.kind = clearing->fill_value == 0 ? transfer::Kind::zero : transfer::Kind::fill;
        job.fill_value = static_cast<std::byte>(clearing->fill_value);
        job.target = clearing->holes[clearing->next++];
        if (job.target->range.size_bytes() <= transfer::run_now_max_bytes) {
            clearing->count(ports_.transfer->run_now(std::move(job)));
            continue;
        }
        const auto ticket = ports_.transfer->submit(std::move(job), [this, clearing](Result<transfer::Outcome> outcome) {
            clearing->count(outcome);
            ports_.executor->post([this, clearing] { clear_next(clearing); });
        });
        if (ticket) return;
        clearing->count(std::unexpected(ticket.error()));
    }
    thaw(clearing->blocks);
    if (clearing->moved.free_ranges_touched > 0) {
        const device::Device* const device = clearing->holes.front().device;
        note_work(device, report::Work::clear, clearing->moved);
        clearing->moved.limit_bytes_per_second = link_limits_.fill(LinkLimits::end_of(*device)).bytes_per_second;
    }
    if (clearing->error) return clearing->done(std::unexpected(*clearing->error));
    clearing->done(clearing->moved);
}
}  // namespace vramd::engine
