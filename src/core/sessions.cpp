#include "core/sessions.hpp"

#include "base/invariant.hpp"
#include "terms/archive.hpp"

namespace vramd::core {
const Hold* Session::hold(AllocationId allocation) const {
    const auto found = holds.find(allocation.serial);
    return found != holds.end() && found->second.id == allocation ? &found->second : nullptr;
}

void Sessions::apply(const SessionBegun& event) {
    INVARIANT(event.id.serial >= next_ && !by_key_.contains(event.key_sum));
    next_ = event.id.serial + 1;
    by_key_[event.key_sum] = event.id.serial;
    rows_.emplace(event.id.serial, SharedPart<Session>::made_of(Session{event.id, event.key_sum, event.owner, event.client}));
}

void Sessions::apply(const HoldTaken& event) {
    const auto row = rows_.find(event.session.serial);
    INVARIANT(row != rows_.end());
    row->second.own().holds[event.id.serial] = Hold{event.id, event.mode, event.ends_with_session};
    holders_[event.id.serial].insert(event.session.serial);
}

void Sessions::apply(const HoldEnded& event) { let_go(event.id.serial, event.session.serial); }

void Sessions::apply(const SessionEnded& event) {
    const auto row = rows_.find(event.id.serial);
    INVARIANT(row != rows_.end());
    const SharedPart<Session> ended = row->second;  // Stays while its holds go.
    for (const auto& [serial, hold] : ended->holds) let_go(serial, event.id.serial);
    by_key_.erase(ended->key_sum);
    rows_.erase(row);
}

void Sessions::apply(const AllocationFreed& event) { let_go_all(event.id.serial); }
void Sessions::apply(const AllocationDropped& event) { let_go_all(event.id.serial); }

void Sessions::let_go(u64 allocation, u64 session) {
    const auto row = rows_.find(session);
    const auto holders = holders_.find(allocation);
    INVARIANT(row != rows_.end() && holders != holders_.end());
    row->second.own().holds.erase(allocation);
    holders->second.erase(session);
    if (holders->second.empty()) holders_.erase(holders);
}

void Sessions::let_go_all(u64 allocation) {
    const auto holders = holders_.extract(allocation);
    if (holders.empty()) return;
    for (const u64 session : holders.mapped()) rows_.at(session).own().holds.erase(allocation);
}

const Session* Sessions::session(SessionId id) const {
    const auto found = rows_.find(id.serial);
    return found != rows_.end() && found->second->id == id ? &*found->second : nullptr;
}

const Session* Sessions::numbered(u64 number) const {
    const auto found = rows_.find(number);
    return found == rows_.end() ? nullptr : &*found->second;
}

const Session* Sessions::with_key(u64 key_sum) const {
    const auto found = by_key_.find(key_sum);
    return found == by_key_.end() ? nullptr : &*rows_.at(found->second);
}

std::vector<const Session*> Sessions::all() const {
    std::vector<const Session*> list;
    for (const auto& [number, row] : rows_) list.push_back(&*row);
    return list;
}

void Sessions::audit(std::vector<std::string>& findings) const {
    std::size_t holds = 0;
    std::size_t indexed = 0;
    for (const auto& [number, row] : rows_) {
        const std::string name = "the session " + std::to_string(number);
        if (row->id.serial != number || number >= next_) findings.push_back(name + " has another's number.");
        if (const auto key = by_key_.find(row->key_sum); key == by_key_.end() || key->second != number)
            findings.push_back(name + " is not found by its key.");
        for (const auto& [serial, hold] : row->holds) {
            const auto holders = holders_.find(serial);
            if (hold.id.serial != serial || holders == holders_.end() || !holders->second.contains(number))
                findings.push_back(name + " is not known as a holder of allocation " + std::to_string(serial) + ".");
        }
        holds += row->holds.size();
    }
    for (const auto& [serial, sessions] : holders_) indexed += sessions.size();
    if (holds != indexed) findings.push_back("sessions hold less than their index says.");
    if (by_key_.size() != rows_.size()) findings.push_back("there are more keys of sessions than sessions.");
}

void Sessions::save(std::vector<std::byte>& out) const {
    ArchiveWriter writer(out);
    std::vector<Session> rows;
    for (const auto& [number, row] : rows_) rows.push_back(*row);
    writer(next_, rows);
}

Result<Sessions> Sessions::restore(std::span<const std::byte> bytes) {
    ArchiveReader reader(bytes);
    Sessions sessions;
    std::vector<Session> rows;
    reader(sessions.next_, rows);
    TRY_DO(reader.finish());
    for (const Session& row : rows) {
        sessions.by_key_[row.key_sum] = row.id.serial;
        for (const auto& [serial, hold] : row.holds) sessions.holders_[serial].insert(row.id.serial);
        sessions.rows_.emplace(row.id.serial, SharedPart<Session>::made_of(row));
    }
    if (sessions.rows_.size() != rows.size()) return refuse(Code::system_failed, "snapshot", "The snapshot holds a session twice.");
    return sessions;
}
}  // namespace vramd::core
