#include "core/state.hpp"

#include "base/checksum.hpp"
#include "core/reclaim.hpp"
#include "terms/archive.hpp"

namespace vramd::core {
namespace {
template <class T>
concept ForBooks = requires(memory::Books& books, const T& event) {
    books.apply(event);
};
template <class T>
concept ForTransfers = requires(memory::Transfers& transfers, const T& event) {
    transfers.apply(event);
};
template <class T>
concept ForKeys = requires(Keys& keys, const T& event) {
    keys.apply(event);
};
template <class T>
concept ForSessions = requires(Sessions& sessions, const T& event) {
    sessions.apply(event);
};
/// Appends a part's saved form behind its size.
template <class Part>
void save_part(const Part& part, std::vector<std::byte>& out) {
    const std::size_t at = out.size();
    ArchiveWriter writer(out);
    writer(u64{0});
    part.save(out);
    const u64 size = out.size() - at - sizeof(u64);
    std::memcpy(out.data() + at, &size, sizeof size);
}
/// Takes one part off the front of `bytes`.
template <class Part>
Result<Part> restore_part(std::span<const std::byte>& bytes) {
    u64 size = 0;
    if (bytes.size() < sizeof size) return refuse(Code::system_failed, "snapshot", "The snapshot is shorter than its head.");
    std::memcpy(&size, bytes.data(), sizeof size);
    bytes = bytes.subspan(sizeof size);
    if (size > bytes.size()) return refuse(Code::system_failed, "snapshot", "The snapshot is shorter than its head says.");
    const std::span<const std::byte> own = bytes.first(size);
    bytes = bytes.subspan(size);
    return Part::restore(own);
}
}  // namespace

void apply(State& state, const Event& event) {
    if (const auto* moved = std::get_if<AllocationMoved>(&event))  // Who moved it is known until it is moved.
        if (const memory::Move* move = state.books.move(moved->id.serial)) state.catalogue.count_move(move->operation, move->granted_bytes);
    std::visit(
        [&state](const auto& kind) {
            if constexpr (ForBooks<std::decay_t<decltype(kind)>>)
                state.books.apply(kind);
            else if constexpr (ForTransfers<std::decay_t<decltype(kind)>>)
                state.transfers.apply(kind);
            else if constexpr (std::is_same_v<std::decay_t<decltype(kind)>, PressureChanged>)
                state.pressures.apply(kind);
            else if constexpr (!std::is_same_v<std::decay_t<decltype(kind)>, KeyUsed> && !ForSessions<std::decay_t<decltype(kind)>>)
                state.catalogue.apply(kind);
            if constexpr (ForKeys<std::decay_t<decltype(kind)>>) state.keys.apply(kind);          // Besides: some ends give a key back.
            if constexpr (ForSessions<std::decay_t<decltype(kind)>>) state.sessions.apply(kind);  // Besides: what ends is held no more.
        },
        event);
}

namespace {
/// What sessions hold is there.
void audit_sessions(const State& state, std::vector<std::string>& findings) {
    state.sessions.audit(findings);
    for (const Session* session : state.sessions.all())
        for (const auto& [serial, hold] : session->holds) {
            const memory::Allocation* allocation = state.books.allocation(hold.id);
            const std::string name =
                "allocation " + std::to_string(serial) + ", which session " + std::to_string(session->id.serial) + " holds,";
            if (allocation == nullptr || allocation->row.status == AllocationStatus::pending)
                findings.push_back(name + " is not there.");
            else if (hold.ends_with_session && allocation->row.persistent)
                findings.push_back(name + " is persistent and was to end with it.");
        }
}
}  // namespace

std::vector<std::string> audit(const State& state) {
    std::vector<std::string> findings;
    state.books.audit(findings);
    state.catalogue.audit(findings);
    state.transfers.audit(findings);
    state.keys.audit(findings);
    state.pressures.audit(state.books.devices().size(), findings);
    audit_sessions(state, findings);
    for (const auto& [serial, transfer] : state.transfers.transfers()) {
        const TransferPlan& plan = transfer.plan;
        if (!transfer.is_open()) continue;
        if (state.books.allocation(plan.source) == nullptr || state.books.allocation(plan.target) == nullptr)
            findings.push_back("transfer " + std::to_string(serial) + " is open and its source or target is not there.");
        if (plan.keeps_id() && state.books.move(plan.source.serial) == nullptr)
            findings.push_back("transfer " + std::to_string(serial) + " moves an allocation that has no second place.");
    }
    for (const auto& [serial, move] : state.books.moves())
        if (move.operation == 0 && state.transfers.changing(serial) == nullptr)
            findings.push_back("allocation " + std::to_string(serial) + " has a second place for a transfer that is not there.");
    for (const auto& [serial, copy] : state.catalogue.copies()) {
        const memory::Allocation* allocation = state.books.allocation(copy.allocation);
        const std::string name = "the copy " + std::to_string(serial) + " of model " + std::to_string(copy.model);
        if (allocation == nullptr || allocation->row.model != copy.model ||
            state.books.block(allocation->row.block)->row.device != copy.device)
            findings.push_back(name + " has no memory of its own.");
        else if ((copy.state == ModelState::resident) != (allocation->row.status == AllocationStatus::live))
            findings.push_back(name + " and its memory disagree about being ready.");
    }
    if (const auto& cache = state.catalogue.cache(); cache && excess_cached_bytes(state, cache->max_bytes) > 0)
        findings.push_back("the RAM cache keeps more than it may.");
    for (const auto& [serial, allocation] : state.books.allocations())
        if (allocation.row.model != 0 && state.catalogue.copy(serial) == nullptr)
            findings.push_back("allocation " + std::to_string(serial) + " holds a model that is not there.");
    return findings;
}

std::vector<std::byte> save(const State& state) {
    std::vector<std::byte> out;
    save_part(state.books, out);
    save_part(state.catalogue, out);
    save_part(state.transfers, out);
    save_part(state.pressures, out);
    save_part(state.keys, out);
    if (state.sessions.next() > 1) save_part(state.sessions, out);  // Without one it is as it was before there were any.
    return out;
}

Result<State> restore(std::span<const std::byte> bytes) {
    State state;
    TRY(state.books, restore_part<memory::Books>(bytes));
    TRY(state.catalogue, restore_part<model::Catalogue>(bytes));
    TRY(state.transfers, restore_part<memory::Transfers>(bytes));
    TRY(state.pressures, restore_part<memory::Pressures>(bytes));
    TRY(state.keys, restore_part<Keys>(bytes));
    if (!bytes.empty()) {
        TRY(state.sessions, restore_part<Sessions>(bytes));
    }
    if (!bytes.empty()) return refuse(Code::system_failed, "snapshot", "The snapshot is longer than its parts.");
    return state;
}

u64 state_hash(const State& state) { return checksum(save(state)); }

bool may_see(const State& state, const Caller& caller, const memory::Allocation& allocation) {
    return may_see(state, caller, memory::Use{0, allocation.row.owner, allocation.row.purpose, allocation.row.model != 0});
}

bool may_see(const State& state, const Caller& caller, const memory::Use& use) {
    return caller.role == Role::admin || use.of_model || state.books.name(use.owner) == caller.owner;
}
}  // namespace vramd::core
