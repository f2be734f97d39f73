/// Clients' holds on allocations. A hold is a use like a reader's (content.cpp), so whatever spares what is in use spares this too; but
/// nobody waits for its end, for a client may keep it for days.
///
/// What a session holds is recorded too (core/sessions.hpp). A core that starts holds it again at once, for as long as sessions are kept:
/// until their clients come back with their keys, or the grace is over. The record ends by a client's own word or end, never by a core's.
#include "base/invariant.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
class HeldAttachment final : public Attachment {
public:
    HeldAttachment(Runner& runner, u64 serial, u64 session, Range range, u64 block_bytes, std::string device_id)
        : runner_(runner), serial_(serial), session_(session), range_(range), block_bytes_(block_bytes), device_id_(std::move(device_id)) {}
    ~HeldAttachment() override { runner_.detach(serial_, holder_); }

    u64 offset_bytes() const override { return range_.offset_bytes(); }
    u64 size_bytes() const override { return range_.size_bytes(); }
    u64 block_bytes() const override { return block_bytes_; }
    const std::string& device_id() const override { return device_id_; }
    Fd take_memory() override { return std::move(memory_); }
    void let_ask(Asked asked) override {
        INVARIANT(holder_ == 0);
        holder_ = runner_.add_holder(serial_, session_, std::move(asked));
    }
    void keeps() override { runner_.holder_keeps(holder_); }

private:
    friend class Runner;
    Runner& runner_;
    u64 serial_;
    u64 session_;
    u64 holder_ = 0;  ///< Among those who can be asked; 0: it cannot.
    Range range_;
    u64 block_bytes_;
    std::string device_id_;
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

HoldMode hold_mode_of(std::optional<AttachMode> mode) {
    if (!mode) return HoldMode::none;
    return *mode == AttachMode::read ? HoldMode::read : *mode == AttachMode::write ? HoldMode::write : HoldMode::private_;
}
}  // namespace

Result<std::unique_ptr<Attachment>> Runner::attach(const Caller& caller, AllocationId id, std::optional<AttachMode> mode,
                                                   const Holder& holder) {
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
        const memory::BlockRow& block = state_.books.block(allocation->row.block)->row;
        if (mode && block.kind == BlockKind::arena)
            return refuse(Code::unsupported, "block",
                          "The allocation lies in a block with others of its owner, which a descriptor would give too; allocate with "
                          "allocationType \"mapped\", or with shareable: true.");
        TRY(place, hold_locked(*allocation, 0, std::nullopt, writes ? Access::write : Access::read));
        attached_[id.serial] += 1;
        held =
            std::make_unique<HeldAttachment>(*this, id.serial, caller.session, place->range, block.size_bytes, place->device->facts().id);
        seals = standing == Standing::shared && allocation->row.model == 0;
    }
    // Without the lock: what is refused from here on lets go of the allocation again.
    if (mode) {
        if (seals) TRY_DO(place->device->seal_for_sharing(place->key));
        TRY(held->memory_,
            place->device->share(place->key, mode == AttachMode::write ? device::Sharing::writable : device::Sharing::read_only));
    }
    if (holder.session)  // Nobody is given what the next core would not know of.
        TRY_DO(commit(TakeHoldCommand{holder.session, id, hold_mode_of(mode), holder.ends_with_session}));
    else
        accessed(id);
    return held;
}

void Runner::detach(u64 serial, u64 holder) {
    EndedUses ended;
    {
        const Lock lock(lock_);
        const auto found = attached_.find(serial);
        INVARIANT(found != attached_.end());
        if (--found->second == 0) attached_.erase(found);
        remove_holder(holder, serial);
        end_use(serial, ended);
    }
    follow(std::move(ended));
}

// --------------------------------------------------------------------------------------------------------------------------- sessions
Result<SessionId> Runner::begin_session(BeginSessionCommand command) {
    command.secret = ports_.secret();
    TRY(const core::Decision begun, commit(std::move(command)));
    return begun.session;
}

/// After a replay: what sessions hold is spared from here on, and counted.
void Runner::keep_sessions() {
    const Lock lock(lock_);
    for (const core::Session* session : state_.sessions.all()) {
        kept_sessions_.insert(session->id.serial);
        for (const auto& [serial, held] : session->holds) {
            hold(serial);
            attached_[serial] += 1;
        }
    }
}

Result<ResumedSession> Runner::resume_session(const Caller& caller, u64 key_sum) {
    const Lock lock(lock_);
    const core::Session* session = state_.sessions.with_key(key_sum);
    if (session == nullptr || session->owner != caller.owner)
        return refuse(Code::not_found, "session", "There is no session with this key that is yours.");
    if (kept_sessions_.erase(session->id.serial) == 0)
        return refuse(Code::conflict, "session", "Another connection has the session, or had it and is just ending.");
    ResumedSession resumed{session->id, {}};
    for (const auto& [serial, held] : session->holds) {
        const memory::AllocationRow& row = state_.books.allocation(held.id)->row;
        const memory::BlockRow& block = state_.books.block(row.block)->row;
        TRY(const Range range, Range::within(block.size_bytes, row.offset_bytes, row.size_bytes));
        // It counts already: keep_sessions.
        auto hold = std::make_unique<HeldAttachment>(*this, serial, caller.session, range, block.size_bytes,
                                                     state_.books.devices()[block.device].id);
        resumed.held.push_back({held.id, held.mode, held.ends_with_session, std::move(hold)});
    }
    return resumed;
}

Result<Kept> Runner::let_go(SessionId session, AllocationId id) {
    if (session) TRY_DO(commit(LetGoCommand{session, id}));
    const Lock lock(lock_);
    const memory::Allocation* allocation = state_.books.allocation(id);
    const bool ended = allocation == nullptr || allocation->row.status == AllocationStatus::zombie;
    return ended ? Kept::no : Kept::until_it_ends;
}

void Runner::end_session(SessionId session) { conclude(EndSessionCommand{session, Code::cancelled}); }

/// The grace is over: what nobody went on with ends, as it does with its client.
void Runner::end_kept_sessions() {
    for (;;) {
        SessionId ended;
        std::vector<core::Hold> holds;
        {
            const Lock lock(lock_);
            if (stopping_ || kept_sessions_.empty()) return;
            const core::Session* session = state_.sessions.numbered(kept_sessions_.extract(kept_sessions_.begin()).value());
            ended = session->id;
            for (const auto& [serial, held] : session->holds) holds.push_back(held);
        }
        for (const core::Hold& held : holds) detach(held.id.serial, 0);
        conclude(EndSessionCommand{ended, Code::timed_out});
        for (const core::Hold& held : holds)
            if (held.ends_with_session) free({{{}, Role::admin, {}}, held.id}, true, [](const Result<Freed>&) {});
    }
}

// ------------------------------------------------------------------------------------------------------------------------- who holds
u64 Runner::attached_to(u64 serial) const {
    const auto found = attached_.find(serial);
    return found == attached_.end() ? 0 : found->second;
}

u64 Runner::attached_to(const model::Model& model) const {
    u64 clients = 0;
    for (const model::Copy* copy : state_.catalogue.copies_of(model.id.serial)) clients += attached_to(copy->allocation.serial);
    return clients;
}

/// Why a free that is not forced is refused: clients read the memory in place.
std::optional<Error> Runner::why_attached(const FreeCommand& command) const {
    const u64 clients = command.abandon ? 0 : attached_to(command.id.serial);
    const memory::Allocation* allocation = clients == 0 ? nullptr : state_.books.allocation(command.id);
    if (allocation == nullptr || allocation->row.model != 0 || !core::may_see(state_, command.caller, *allocation)) return std::nullopt;
    return Error{Code::leased, "allocation", 0, 0,
                 "Clients have the allocation attached (attachedClients is " + std::to_string(clients) +
                     "); it can be freed when they have detached it or ended, or now, by force: then it counts as used until they have."};
}

/// The last one let go of a zombie; what has to wait for a reader or for the ledger comes by here again.
void Runner::free_zombie(u64 serial) {
    AllocationId id;
    {
        const Lock lock(lock_);
        const memory::Allocation* allocation = state_.books.allocation_by_serial(serial);
        if (allocation == nullptr || allocation->row.status != AllocationStatus::zombie || in_use(serial)) return;
        id = allocation->row.id;
    }
    conclude(FreeCommand{{{}, Role::admin, {}}, id});
}

/// At a start: zombies whose holders ended with the core before.
void Runner::free_zombies() {
    std::vector<u64> zombies;
    {
        const Lock lock(lock_);
        for (const auto& [serial, allocation] : state_.books.allocations())
            if (allocation.row.status == AllocationStatus::zombie) zombies.push_back(serial);
    }
    for (const u64 serial : zombies) free_zombie(serial);
}

std::vector<ZombieTold> Runner::zombies() {
    std::vector<ZombieTold> told;
    const Lock lock(lock_);
    bool any = false;
    for (u16 device = 0; device < state_.books.devices().size(); ++device) any = any || state_.books.sums(device).abandoned > 0;
    if (!any) return told;
    for (const auto& [serial, clients] : attached_) {
        const memory::Allocation* allocation = state_.books.allocation_by_serial(serial);
        if (allocation != nullptr && allocation->row.status == AllocationStatus::zombie)
            told.push_back({allocation->row.id, allocation->row.granted_bytes});
    }
    return told;
}

/// Models that are in use cannot be had by reclaiming them.
void Runner::leave_out_used(report::DeviceBooks& books, u16 device) const {
    for (const auto& [serial, copy] : state_.catalogue.copies())
        if (copy.device == device && copy.state == ModelState::resident && !copy.pinned && in_use(copy.allocation.serial))
            books.reclaimable_bytes -= state_.books.allocation(copy.allocation)->row.granted_bytes;
}
}  // namespace vramd::engine
