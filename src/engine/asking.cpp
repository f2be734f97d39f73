#include "engine/asking.hpp"

#include <algorithm>

#include "base/invariant.hpp"

namespace vramd::engine {
u64 Holders::add(u64 serial, u64 session, Asked asked) {
    const u64 number = next_++;
    all_.emplace(number, Holder{serial, session, std::move(asked)});
    of_[serial].insert(number);
    return number;
}

bool Holders::remove(u64 number, u64 now_ns) {
    const auto found = all_.extract(number);
    INVARIANT(!found.empty());
    const Holder& holder = found.mapped();
    const auto same = of_.find(holder.serial);
    same->second.erase(number);
    if (same->second.empty()) of_.erase(same);
    return holder.pending && now_ns <= holder.until_ns;
}

bool Holders::keeps(u64 number) {
    const auto found = all_.find(number);
    return found != all_.end() && std::exchange(found->second.pending, false);
}

bool Holders::may_be_asked(u64 number, const Holder& holder, const Plea& plea, Reach reach, u64 now_ns) const {
    if (holder.session != 0 && holder.session == plea.session) return false;
    if (now_ns < holder.until_ns) return holder.pending;
    return reach == Reach::anybody && !plea.asked.contains(number);
}

u64 Holders::askable(u64 serial, const Plea& plea, Reach reach, u64 now_ns) const {
    const auto found = of_.find(serial);
    if (found == of_.end()) return 0;
    return static_cast<u64>(
        std::ranges::count_if(found->second, [&](u64 number) { return may_be_asked(number, all_.at(number), plea, reach, now_ns); }));
}

std::vector<Asked> Holders::ask(u64 serial, Plea& plea, u64 now_ns, u64 until_ns) {
    std::vector<Asked> told;
    const auto found = of_.find(serial);
    if (found == of_.end()) return told;
    for (const u64 number : found->second) {
        Holder& holder = all_.at(number);
        plea.holders.insert(number);
        // It was asked for somebody else, and knows; when that time is over it may be asked for this one.
        if (holder.until_ns > now_ns) continue;
        plea.asked.insert(number);
        holder.until_ns = until_ns;
        holder.pending = true;
        told.push_back(holder.asked);
    }
    return told;
}

std::set<u64> Holders::still_held(const Plea& plea) const {
    std::set<u64> serials;
    for (const u64 number : plea.holders)
        if (const auto found = all_.find(number); found != all_.end()) serials.insert(found->second.serial);
    return serials;
}

bool Holders::awaited(const Plea& plea, u64 now_ns) const {
    return std::ranges::any_of(plea.holders, [&](u64 number) {
        const auto found = all_.find(number);
        return found != all_.end() && found->second.pending && now_ns < found->second.until_ns;
    });
}
}  // namespace vramd::engine
