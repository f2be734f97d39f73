#include "core/keys.hpp"

#include "terms/archive.hpp"

namespace vramd::core {
void Keys::apply(const KeyUsed& event) {
    if (const auto before = numbers_.find({event.owner, event.key, event.call}); before != numbers_.end()) forget(before->second);
    while (!rows_.empty()) {
        const KeyUsed& oldest = rows_.begin()->second;
        const bool old = event.wall_ns > oldest.wall_ns && event.wall_ns - oldest.wall_ns > used_key_ns_max;
        if (rows_.size() < used_keys_max && !old) break;
        forget(rows_.begin()->first);
    }
    const u64 number = next_++;
    rows_.emplace(number, event);
    numbers_[{event.owner, event.key, event.call}] = number;
    if (!event.subject.empty()) by_subject_[event.subject] = number;
}

void Keys::apply(const AllocationDropped& event) { give_back(to_text(event.id)); }

void Keys::apply(const OperationEnded& event) {
    if (event.state != OperationState::succeeded) give_back(to_text(event.id));
}

void Keys::apply(const TransferEnded& event) {
    if (event.state != TransferState::succeeded) give_back(to_text(event.id));
}

void Keys::give_back(const std::string& subject) {
    if (const auto found = by_subject_.find(subject); found != by_subject_.end()) forget(found->second);
}

void Keys::forget(u64 number) {
    const auto row = rows_.find(number);
    const KeyUsed& used = row->second;
    numbers_.erase({used.owner, used.key, used.call});
    // A subject may have had two keys (a change made, another with its own key made of it): the newer one stays.
    if (const auto subject = by_subject_.find(used.subject); subject != by_subject_.end() && subject->second == number)
        by_subject_.erase(subject);
    rows_.erase(row);
}

const KeyUsed* Keys::find(const std::string& owner, const std::string& key, u64 call, u64 wall_ns) const {
    const auto number = numbers_.find({owner, key, call});
    if (number == numbers_.end()) return nullptr;
    const KeyUsed& used = rows_.at(number->second);
    return wall_ns > used.wall_ns && wall_ns - used.wall_ns > used_key_ns_max ? nullptr : &used;
}

void Keys::audit(std::vector<std::string>& findings) const {
    if (rows_.size() > used_keys_max) findings.push_back("More keys of requests are kept than there may be.");
    if (numbers_.size() != rows_.size()) findings.push_back("The keys of requests and their index differ in number.");
    for (const auto& [name, number] : numbers_)
        if (!rows_.contains(number)) findings.push_back("The index of keys of requests names one that is not there.");
    for (const auto& [subject, number] : by_subject_)
        if (!rows_.contains(number) || rows_.at(number).subject != subject)
            findings.push_back("The index of the subjects of keys is wrong for " + subject + ".");
}

void Keys::save(std::vector<std::byte>& out) const {
    ArchiveWriter writer(out);
    std::vector<KeyUsed> rows;
    for (const auto& [number, row] : rows_) rows.push_back(row);
    writer(rows);
}

Result<Keys> Keys::restore(std::span<const std::byte> bytes) {
    ArchiveReader reader(bytes);
    std::vector<KeyUsed> rows;
    reader(rows);
    TRY_DO(reader.finish());
    Keys keys;
    for (const KeyUsed& row : rows) {
        const u64 number = keys.next_++;
        keys.rows_.emplace(number, row);
        keys.numbers_[{row.owner, row.key, row.call}] = number;
        if (!row.subject.empty()) keys.by_subject_[row.subject] = number;
    }
    if (keys.numbers_.size() != rows.size()) return refuse(Code::system_failed, "snapshot", "The snapshot holds a request's key twice.");
    return keys;
}
}  // namespace vramd::core
