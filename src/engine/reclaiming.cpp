/// Asking clients to let go of what they hold, where that is all that stands between a request and its room.
///
/// Who is asked, the core's own plan says: it is made as if what those hold who can be asked were not in use. So the same order names the
/// victims, and no more of them than are needed beside what nobody holds. Nothing is taken: a client that lets go ends its use, and then
/// the request that waits evicts what is left. asking.hpp has the rules of who is asked when.
#include <algorithm>

#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
/// The uses that a command's decision spares, where it can be tried with fewer.
std::vector<u64>* in_use_of(Command& command) {
    if (auto* allocate = std::get_if<AllocateCommand>(&command)) return &allocate->in_use;
    if (auto* inspected = std::get_if<InspectedCommand>(&command)) return &inspected->in_use;
    if (auto* placed = std::get_if<PlaceModelCommand>(&command)) return &placed->in_use;
    if (auto* reclaim = std::get_if<ReclaimCommand>(&command)) return &reclaim->in_use;
    return nullptr;
}

/// Whether what was tried is enough. Of pressure's relief all is welcome that anybody gives.
bool is_enough(const Command& command, const core::Decision& trial, Reach reach) {
    if (const auto* reclaim = std::get_if<ReclaimCommand>(&command))
        return reach == Reach::anybody || trial.freed_bytes >= reclaim->wanted_bytes.value_or(0);
    return std::ranges::none_of(trial.events, [](const Event& event) {
        const auto* ended = std::get_if<OperationEnded>(&event);
        return ended != nullptr && ended->state == OperationState::failed;
    });
}
}  // namespace

/// The uses that would be left if those let go who can be asked, sorted.
std::vector<u64> Runner::staying_uses(const Plea& plea, Reach reach, u64 now_ns) {
    std::vector<u64> serials;
    for (const auto& [serial, count] : uses_)
        if (holders_.askable(serial, plea, reach, now_ns) < count) serials.push_back(serial);
    return serials;
}

/// What of the models that the command would evict is held; nothing if all of them are not enough.
std::optional<std::vector<u64>> Runner::held_victims(const Command& command, Reach reach, Moment now) {
    const auto trial = core::decide(state_, command, now);
    if (!trial || !is_enough(command, *trial, reach)) return std::nullopt;
    std::vector<u64> serials;
    for (const Event& event : trial->events)
        if (const auto* gone = std::get_if<ModelGone>(&event); gone != nullptr && in_use(gone->allocation.serial))
            serials.push_back(gone->allocation.serial);
    return serials;
}

/// Leaves out those, the most missed first, in whose stead what nobody holds can go.
std::vector<u64> Runner::fewest(Command& command, std::vector<u64> victims, Reach reach, Moment now) {
    std::vector<u64>& staying = *in_use_of(command);
    for (std::size_t i = victims.size(); i-- > 0;) {
        const u64 spared = victims[i];
        const auto at = staying.insert(std::ranges::lower_bound(staying, spared), spared);
        const auto left = held_victims(command, reach, now);
        const bool fewer =
            left && std::ranges::all_of(*left, [&](u64 serial) { return std::ranges::find(victims, serial) != victims.end(); });
        if (fewer)
            std::erase(victims, spared);
        else
            staying.erase(at);
    }
    return victims;
}

/// Asks holders for what the command needs, if with that it would have its room. Answers whether anybody is asked, or was already.
bool Runner::ask_for(Command& command, Plea& plea, Told& told) {
    if (holders_.empty()) return false;
    const Moment now = ports_.clock();
    std::vector<u64>& in_use_now = *in_use_of(command);
    const std::vector<u64> in_use_before = in_use_now;
    std::vector<u64> victims;
    for (const Reach reach : {Reach::asked, Reach::anybody}) {
        in_use_now = staying_uses(plea, reach, now.monotonic_ns);
        const auto held = held_victims(command, reach, now);
        if (!held) continue;
        victims = std::holds_alternative<ReclaimCommand>(command) ? *held : fewest(command, *held, reach, now);
        break;
    }
    in_use_now = in_use_before;
    const u64 until_ns = std::min(plea.deadline_ns, now.monotonic_ns + asked_within_max_ns);
    for (const u64 serial : victims) ask_one(serial, plea, until_ns, told);
    return !victims.empty();
}

void Runner::ask_one(u64 serial, Plea& plea, u64 until_ns, Told& told) {
    const u64 now_ns = ports_.clock().monotonic_ns;
    const auto holders = holders_.ask(serial, plea, now_ns, until_ns);
    if (holders.empty()) return;
    const model::Copy& copy = *state_.catalogue.copy(serial);
    const Ask ask{copy.allocation, state_.catalogue.model(copy.model)->names.front(), block_bytes_of(serial), until_ns - now_ns};
    for (const Asked& asked : holders) told.push_back([asked, ask] { asked(ask); });
    work_.asked += holders.size();
    work_.asked_bytes += ask.bytes * holders.size();
    ports_.executor->post_at(until_ns, [this] { retry_waiting(); });  // Others may be asked then, or the same ones for others.
}

u64 Runner::block_bytes_of(u64 serial) const {
    const memory::Allocation* allocation = state_.books.allocation_by_serial(serial);
    return allocation == nullptr ? 0 : state_.books.block(allocation->row.block)->row.size_bytes;
}

/// What is held still by those who were asked for it.
u64 Runner::still_held_bytes(const Plea& plea) const {
    u64 bytes = 0;
    for (const u64 serial : holders_.still_held(plea)) bytes += block_bytes_of(serial);
    return bytes;
}

u64 Runner::add_holder(u64 serial, u64 session, Asked asked) {
    u64 number = 0;
    bool waits = false;
    {
        const Lock lock(lock_);
        const memory::Allocation* allocation = state_.books.allocation_by_serial(serial);
        if (allocation == nullptr || allocation->row.model == 0) return 0;  // What is not a model's nobody could evict then either.
        number = holders_.add(serial, session, std::move(asked));
        waits = somebody_waits();
    }
    if (waits) retry_waiting();
    return number;
}

void Runner::holder_keeps(u64 number) {
    {
        const Lock lock(lock_);
        if (!holders_.keeps(number)) return;
        work_.kept += 1;
        if (!somebody_waits()) return;
    }
    retry_waiting();
}

void Runner::remove_holder(u64 number, u64 serial) {
    if (number == 0 || !holders_.remove(number, ports_.clock().monotonic_ns)) return;
    work_.given += 1;
    work_.given_bytes += block_bytes_of(serial);
}

bool Runner::somebody_waits() const { return !waiting_.empty() || !waiting_loads_.empty(); }
}  // namespace vramd::engine
