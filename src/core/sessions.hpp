/// Clients' sessions and what each holds, so that the next core spares it until its client comes back.
///
/// The core only remembers: which sessions have a client at present, and that what is held is spared, the engine sees to. What is freed is
/// held by nobody any more, with the same event.
///
/// Invariants: a session's number is never used again; no two sessions have one key; each hold names an allocation that is ready, at most
/// once; what ends with its session is not persistent. Only `apply` changes anything. A pure value, whose copies share the sessions.
#pragma once
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/shared_part.hpp"
#include "terms/event.hpp"

namespace vramd::core {
struct Hold {
    AllocationId id;
    HoldMode mode = HoldMode::read;
    bool ends_with_session = false;
    bool operator==(const Hold&) const = default;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.mode, s.ends_with_session);
    }
};
struct Session {
    SessionId id;
    u64 key_sum = 0;
    std::string owner;
    std::string client;
    std::map<u64, Hold> holds{};  ///< By the allocation's serial.

    /// Null where it does not hold this one.
    [[nodiscard]] const Hold* hold(AllocationId allocation) const;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.id, s.key_sum, s.owner, s.client, s.holds);
    }
};

class Sessions {
public:
    void apply(const SessionBegun& event);
    void apply(const HoldTaken& event);
    void apply(const HoldEnded& event);
    void apply(const SessionEnded& event);
    void apply(const AllocationFreed& event);
    void apply(const AllocationDropped& event);

    /// Null where there is none.
    [[nodiscard]] const Session* session(SessionId id) const;
    [[nodiscard]] const Session* numbered(u64 number) const;
    [[nodiscard]] const Session* with_key(u64 key_sum) const;
    /// All, by number.
    [[nodiscard]] std::vector<const Session*> all() const;
    /// The next session's number.
    [[nodiscard]] u64 next() const { return next_; }

    void audit(std::vector<std::string>& findings) const;
    void save(std::vector<std::byte>& out) const;
    [[nodiscard]] static Result<Sessions> restore(std::span<const std::byte> bytes);

private:
    void let_go(u64 allocation, u64 session);
    void let_go_all(u64 allocation);

    std::map<u64, SharedPart<Session>> rows_;  ///< By number.
    u64 next_ = 1;
    // Derived.
    std::map<u64, u64> by_key_;
    std::map<u64, std::set<u64>> holders_;  ///< By the allocation's serial.
};
}  // namespace vramd::core
