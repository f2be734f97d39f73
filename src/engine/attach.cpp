/// Clients' holds on allocations. A hold is a use like a reader's (content.cpp), so whatever spares what is in use spares this too; but
/// nobody waits for its end, for a client may keep it for days.
#include "base/invariant.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
class HeldAttachment final : public Attachment {
public:
    HeldAttachment(Runner& runner, u64 serial, Range range) : runner_(runner), serial_(serial), range_(range) {}
    ~HeldAttachment() override { runner_.detach(serial_); }

    u64 offset_bytes() const override { return range_.offset_bytes(); }
    u64 size_bytes() const override { return range_.size_bytes(); }
    Fd take_memory() override { return std::move(memory_); }

private:
    friend class Runner;
    Runner& runner_;
    u64 serial_;
    Range range_;
    Fd memory_;
};

namespace {
/// Whose memory it is, to the caller: one's own can be written, another's only be read, and only if it was meant to be.
enum class Standing : u8 { own, shared, none };
Standing standing_to(const core::State& state, const Caller& caller, const memory::Allocation& allocation) {
    if (allocation.row.model != 0) return Standing::shared;
    if (core::may_see(state, caller, allocation)) return Standing::own;
    return allocation.row.shareable ? Standing::shared : Standing::none;
}
}  // namespace

Result<std::unique_ptr<Attachment>> Runner::attach(const Caller& caller, AllocationId id, std::optional<AttachMode> mode) {
    std::unique_ptr<HeldAttachment> held;
    std::optional<transfer::Place> place;
    bool seals = false;
    {
        const Lock lock(lock_);
        const memory::Allocation* allocation = state_.books.allocation(id);
        const Standing standing = allocation == nullptr ? Standing::none : standing_to(state_, caller, *allocation);
        const bool writes = mode == AttachMode::write;
        if (standing == Standing::none || (standing == Standing::shared && allocation->row.model == 0 && writes))
            return refuse(Code::not_found, "allocation",
                          "There is no allocation " + to_text(id) +
                              " that is yours; another's can be attached, to read, if it was allocated with shareable: true.");
        if (mode && state_.books.block(allocation->row.block)->row.kind == BlockKind::arena)
            return refuse(Code::unsupported, "block",
                          "The allocation lies in a block with others of its owner, which a descriptor would give too; allocate with "
                          "allocationType \"mapped\", or with shareable: true.");
        TRY(place, hold_locked(allocation->row, 0, std::nullopt, writes ? Access::write : Access::read));
        attached_[id.serial] += 1;
        held = std::make_unique<HeldAttachment>(*this, id.serial, place->range);
        seals = standing == Standing::shared && allocation->row.model == 0;
    }
    // Without the lock: what is refused from here on lets go of the allocation again.
    if (mode) {
        if (seals) TRY_DO(place->device->seal_for_sharing(place->key));
        TRY(held->memory_,
            place->device->share(place->key, mode == AttachMode::write ? device::Sharing::writable : device::Sharing::read_only));
    }
    accessed(id);
    return held;
}

void Runner::detach(u64 serial) {
    EndedUses ended;
    {
        const Lock lock(lock_);
        const auto found = attached_.find(serial);
        INVARIANT(found != attached_.end());
        if (--found->second == 0) attached_.erase(found);
        end_use(serial, ended);
    }
    follow(std::move(ended));
}

u64 Runner::attached_to(u64 serial) const {
    const auto found = attached_.find(serial);
    return found == attached_.end() ? 0 : found->second;
}

u64 Runner::attached_to(const model::Model& model) const {
    u64 clients = 0;
    for (const model::Copy* copy : state_.catalogue.copies_of(model.id.serial)) clients += attached_to(copy->allocation.serial);
    return clients;
}

/// Why a free is refused at once: it would take the memory from under clients that read it in place.
std::optional<Error> Runner::why_attached(const FreeCommand& command) const {
    const u64 clients = attached_to(command.id.serial);
    const memory::Allocation* allocation = clients == 0 ? nullptr : state_.books.allocation(command.id);
    if (allocation == nullptr || allocation->row.model != 0 || !core::may_see(state_, command.caller, *allocation)) return std::nullopt;
    return Error{Code::leased, "allocation", 0, 0,
                 "Clients have the allocation attached (attachedClients is " + std::to_string(clients) +
                     "); it can be freed when they have detached it or ended."};
}

/// Models that are in use cannot be had by reclaiming them.
void Runner::leave_out_used(report::DeviceBooks& books, u16 device) const {
    for (const auto& [serial, copy] : state_.catalogue.copies())
        if (copy.device == device && copy.state == ModelState::resident && !copy.pinned && in_use(copy.allocation.serial))
            books.reclaimable_bytes -= state_.books.allocation(copy.allocation)->row.granted_bytes;
}
}  // namespace vramd::engine
