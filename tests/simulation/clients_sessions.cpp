/// Clients of the attach protocol: sessions that hold memory, through the deaths of cores.
///
/// Who holds something finds it there, in its place and with its bytes, in each core, until it lets go. A core's death gives its sessions
/// ten seconds of the next core: whoever comes back by then has all that it had. Who does not, holds nothing any more when the core has got
/// round to it; in between nothing is promised either way.
#include <algorithm>

#include "clients.hpp"

namespace vramd::simulation {
namespace {
constexpr std::size_t sessions_max = 4;
constexpr std::size_t holds_max = 6;
constexpr u64 grace_ns = engine::session_grace_seconds * ns_per_second;

std::optional<engine::AttachMode> mode_of(u64 drawn) {
    return std::array<std::optional<engine::AttachMode>, 4>{std::nullopt, engine::AttachMode::read, engine::AttachMode::private_,
                                                            engine::AttachMode::write}[drawn];
}
}  // namespace

/// A session's holds that the core keeps to, and those that it may have ended already.
bool Clients::is_firm(const ClientSession& session) const {
    return session.seat == Seat::connected || (session.seat == Seat::waiting && world_.now_ns() < session.grace_until_ns);
}

Clients::ClientSession* Clients::any_session(Choices& choices, Seat seat) {
    std::vector<ClientSession*> seated;
    for (auto& [id, session] : sessions_)
        if (session.seat == seat) seated.push_back(&session);
    return seated.empty() ? nullptr : seated[choices.below(seated.size())];
}

void Clients::begin_session(Choices& choices) {
    if (sessions_.size() >= sessions_max) return;
    ClientSession session;
    session.owner = caller_of(choices.below(3));
    session.key_sum = ++last_key_;
    const auto begun = world_.core().begin_session({session.owner.owner, "client", session.key_sum, 0});
    if (!begun && excused(begun.error(), nullptr)) return;
    if (!begun) fail("a session was refused: " + describe(begun.error()));
    session.id = *begun;
    sessions_.emplace(session.id, std::move(session));
}

/// Takes hold of one's own memory, or of a model.
void Clients::take_hold(Choices& choices) {
    ClientSession* const session = any_session(choices, Seat::connected);
    if (session == nullptr || session->holds.size() >= holds_max) return;
    std::optional<AllocationId> id = any(choices);
    Held* held = nullptr;
    if (choices.one_in(3)) {
        const auto model = world_.core().model(model_names[choices.below(std::size(model_names))]);
        if (!model || model->best().state != ModelState::resident) return;
        id = model->best().allocation;
    } else {
        if (!id || held_.at(*id).owner.owner != session->owner.owner || held_.at(*id).ending || expired(held_.at(*id))) return;
        held = &held_.at(*id);
    }
    const bool whole_block = held == nullptr || held->fixed.has_value();
    const auto mode = whole_block ? mode_of(choices.below(held == nullptr ? 3 : 4)) : std::nullopt;
    const bool ends = held != nullptr && held->lease_until_ns != 0 && choices.one_in(2);
    auto taken = world_.core().attach(session->owner, *id, mode, {session->id, ends});
    if (!taken && excused(taken.error(), held)) return;
    if (!taken) fail("memory cannot be attached: " + describe(taken.error()));
    if (held != nullptr) renewed(*held);
    SessionHold& hold = session->holds[*id];
    if (!hold.attachment || mode) hold.mode = mode ? static_cast<HoldMode>(static_cast<u8>(*mode) + 1) : HoldMode::none;
    hold.ends_with_session |= ends;
    hold.place = place_of(*id);
    hold.attachment = *std::move(taken);
    count_holds();
    if (held == nullptr) met_["a session holds a model"] += 1;
    if (held != nullptr && held->moving == 0 && upkeeps_.empty() && !held->in_transfer()) check_refused(*id, *held);
}

/// Nobody frees it while somebody holds it, but by force.
void Clients::check_refused(AllocationId id, const Held& held) {
    bool answered = false;
    world_.core().free({held.owner, id}, false, [&answered](const Result<engine::Freed>& freed) {
        answered = true;
        if (freed || freed.error().code != Code::leased) fail("memory that a client has attached can be freed");
    });
    if (!answered) fail("a free of what clients hold waits");
}

void Clients::let_hold_go(Choices& choices) {
    ClientSession* const session = any_session(choices, Seat::connected);
    if (session == nullptr || session->holds.empty()) return;
    auto at = session->holds.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices.below(session->holds.size())));
    const auto gone = world_.core().let_go(session->id, at->first);
    if (!gone && excused(gone.error(), nullptr)) return;
    if (!gone) fail("a hold cannot be let go of: " + describe(gone.error()));
    if (at->second.ends_with_session && *gone == engine::Kept::until_it_ends) {  // A zombie it has done with.
        at->second.mode = HoldMode::none;
        return;
    }
    const SessionHold going = std::move(at->second);  // Whoever waits for its end is answered when nobody counts it any more.
    session->holds.erase(at);
    count_holds();
}

/// A client ends: what it held is let go of, what was its own is freed.
void Clients::end_session(Choices& choices) {
    ClientSession* const session = any_session(choices, Seat::connected);
    if (session != nullptr) end_one(*session);
}

void Clients::end_one(ClientSession& session) {
    session.seat = Seat::ending;
    count_holds();  // Before those are answered who wait for it.
    for (auto& [id, hold] : session.holds) hold.attachment.reset();
    world_.core().end_session(session.id);
    for (const auto& [id, hold] : session.holds) {
        const auto held = held_.find(id);
        if (!hold.ends_with_session || held == held_.end()) continue;
        held->second.doomed = true;
        world_.core().free({held->second.owner, id}, true, [](const Result<engine::Freed>&) {});  // Another may have it: see_zombies.
    }
    see_sessions();
}

/// Somebody comes back with its key: its owner, in time or too late, or one who has no business with it.
void Clients::resume_session(Choices& choices) {
    if (sessions_.empty()) return;
    auto at = sessions_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices.below(sessions_.size())));
    ClientSession& session = at->second;
    const auto strange = world_.core().resume_session({"stranger", Role::admin}, session.key_sum);
    if (strange || strange.error().code != Code::not_found) fail("a stranger went on with a session");
    auto resumed = world_.core().resume_session(session.owner, session.key_sum);
    if (session.seat != Seat::waiting) {
        if (resumed) fail("a session was given twice");
        return;
    }
    if (!resumed) {
        if (is_firm(session)) fail("a session cannot be gone on with: " + describe(resumed.error()));
        return;
    }
    if (resumed->id != session.id || resumed->held.size() != session.holds.size()) fail("a session came back as another");
    for (engine::HeldBefore& before : resumed->held) {
        const auto hold = session.holds.find(before.id);
        if (hold == session.holds.end() || hold->second.mode != before.mode || hold->second.ends_with_session != before.ends_with_session)
            fail("a session came back with other holds");
        hold->second.attachment = std::move(before.hold);
    }
    met_["a session was gone on with"] += session.holds.empty() ? 0 : 1;
    session.seat = Seat::connected;
    count_holds();
}

/// The core is dead: nothing that is let go of from here on is known to anybody.
void Clients::lose_connections() {
    for (auto& [id, session] : sessions_) {
        for (auto& [allocation, hold] : session.holds) hold.attachment.reset();
        session.seat = Seat::waiting;  // Also one whose end was not recorded: the next core does not know better.
        session.grace_until_ns = world_.now_ns() + grace_ns;
    }
}

/// What holds mean for the memory under them.
void Clients::count_holds() {
    for (auto& [id, held] : held_) held.firm = held.loose = 0, held.may_go = false;
    for (const auto& [number, session] : sessions_)
        for (const auto& [id, hold] : session.holds) {
            const auto held = held_.find(id);
            if (held == held_.end()) continue;
            (is_firm(session) ? held->second.firm : held->second.loose) += 1;
            held->second.may_go |= !is_firm(session) && hold.ends_with_session;
        }
}

/// Sessions as the core has them, and what they hold as it lies there.
void Clients::see_sessions() {
    count_holds();
    world_.core().look([this](const core::State& state) {
        for (auto at = sessions_.begin(); at != sessions_.end();) {
            ClientSession& session = at->second;
            const bool there = state.sessions.session(session.id) != nullptr;
            if (!there && is_firm(session)) fail("a session was lost");
            for (const auto& [id, hold] : session.holds) {
                const memory::Allocation* allocation = state.books.allocation(id);
                const bool lies = allocation != nullptr && Place{allocation->row.block, allocation->row.offset_bytes} == hold.place;
                if (is_firm(session) && !lies) fail("memory that a client has attached went away, or was moved");
                const auto held = held_.find(id);
                if (!there && hold.ends_with_session && held != held_.end()) held->second.doomed = true;
            }
            met_["a session's grace was over"] += !there && session.seat == Seat::waiting ? 1 : 0;
            at = there ? std::next(at) : sessions_.erase(at);
        }
        see_zombies(state);
        if (state.sessions.all().size() != sessions_.size()) fail("the core knows sessions that nobody began");
    });
    count_holds();
}

/// Freed by force: only those who have it attached have anything to do with it any more.
void Clients::became_zombie(AllocationId id) {
    const Held& held = held_.at(id);
    const bool attached = std::ranges::any_of(readers_, [id](const Reader& reader) { return reader.id == id && reader.attachment; });
    if (!attached && held.firm + held.loose == 0) fail("what nobody has attached became a zombie");
    held_.erase(id);
    zombies_.insert(id);
    met_["memory that clients have attached was freed"] += 1;
}

/// A zombie is there for as long as anybody holds it, and for nobody else. What it is when its sessions are over is seen at the end.
void Clients::see_zombies(const core::State& state) {
    for (const auto& [serial, allocation] : state.books.allocations()) {
        const AllocationId id = allocation.row.id;
        if (allocation.row.status != AllocationStatus::zombie || zombies_.contains(id)) continue;
        const auto held = held_.find(id);  // Of a session that ended while another had it.
        if (held == held_.end() || !(held->second.doomed || held->second.may_go || held->second.ending))
            fail("memory is a zombie that nobody freed");
        if (held->second.doomed) became_zombie(id);
    }
    for (auto at = zombies_.begin(); at != zombies_.end();) {
        const memory::Allocation* zombie = state.books.allocation(*at);
        if (zombie == nullptr && is_read(*at)) fail("a zombie went away under those who have it attached");
        if (zombie != nullptr && zombie->row.status != AllocationStatus::zombie) fail("a zombie came to life");
        at = zombie == nullptr ? zombies_.erase(at) : std::next(at);
    }
}

/// Whose it was sees it, and can do nothing with it.
void Clients::touch_zombie(Choices& choices) {
    if (zombies_.empty()) return;
    const AllocationId id = *std::next(zombies_.begin(), static_cast<std::ptrdiff_t>(choices.below(zombies_.size())));
    const auto told = world_.core().allocation(admin, id);
    if (!told) return;  // Just gone.
    const Caller owner{told->owner, Role::user};
    if (told->status != AllocationStatus::zombie) fail("a zombie is told of as something else");
    if (world_.core().open_content(owner, id, engine::Access::read)) fail("a zombie can be read anew");
    if (world_.core().attach(owner, id, std::nullopt)) fail("a zombie can be attached anew");
    if (world_.core().renew_lease({owner, id, 5})) fail("a zombie has a lease");
}

bool Clients::is_held(AllocationId id) const {
    return std::ranges::any_of(sessions_, [&](const auto& entry) { return is_firm(entry.second) && entry.second.holds.contains(id); });
}
}  // namespace vramd::simulation
