/// What the keeper says to the service manager that started it (systemd), and what that keeps for it: sd_notify(3)'s protocol, and no
/// library.
///
/// The manager's store of descriptors is the second line behind the keeper: what lies there outlives the keeper itself, and comes back to
/// the next one (inheritance.hpp). It is told of by datagrams that nobody answers, so it may lag behind; whoever takes a store back must
/// live with a descriptor too few and one too many. Room-internal.
///
/// Invariants: nothing here waits for the manager but `settle`, which has a bound; what cannot be sent yet is sent in the order of the
/// calls; a name that was let go of is not sent afterwards, so its descriptor may be closed.
#pragma once
#include <sys/un.h>

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/fd.hpp"
#include "base/types.hpp"
#include "keeper/places.hpp"

namespace vramd::keeper {
class Supervisor {
public:
    /// Reads NOTIFY_SOCKET, FDSTORE (how many descriptors the manager keeps; systemd sets it from 254 on, our unit before) and
    /// WATCHDOG_USEC. Without the first nothing below does anything.
    void find(const Environment& environment);

    /// Lines VARIABLE=VALUE, such as "READY=1".
    void tell(const std::string& state);
    /// Gives it a duplicate of the descriptor, which must stay open until `let_go`. Where its store is full: once there is room again.
    /// A place is always left for one of the first rank, of which there is one at a time.
    enum class Rank : u8 { common, first };
    void keep(const std::string& name, const Fd& descriptor, Rank rank = Rank::common);
    /// It lies there already, since a keeper before this one.
    void know(const std::string& name) { names_.insert(name); }
    void let_go(const std::string& name);
    [[nodiscard]] bool has(const std::string& name) const { return names_.contains(name) || first_ == name; }

    /// Sends what the manager takes now.
    void flush();
    /// Sends all, waiting at most so long.
    void settle(u64 wait_ns_max);
    /// What to poll for POLLOUT before the next `flush`; -1 while nothing waits.
    [[nodiscard]] int wanting() const { return waiting_.empty() ? -1 : socket_.get(); }

    /// When the watchdog wants its next word; none: it wants none.
    [[nodiscard]] std::optional<u64> beat_at_ns() const { return beat_at_ns_; }
    /// Says that the keeper lives, when it is time to.
    void beat(u64 now_ns);

private:
    struct Datagram {
        std::string text;
        std::string name;     ///< Of the descriptor beside it; empty: none.
        int descriptor = -1;  ///< Borrowed.
    };
    void connect_anew();
    void post(Datagram datagram);
    /// 0, or the errno.
    [[nodiscard]] int send_one(const Datagram& datagram) const;

    sockaddr_un address_{};
    socklen_t address_bytes_ = 0;
    Fd socket_;
    std::deque<Datagram> waiting_;
    std::set<std::string> names_;        ///< What lies in the store, or is on its way there.
    std::string first_;                  ///< Of these the one of the first rank; empty: none.
    std::map<std::string, int> beyond_;  ///< What it has no room for.
    u64 store_max_ = 0;
    bool told_full_ = false;
    u64 beat_every_ns_ = 0;
    std::optional<u64> beat_at_ns_;
};
}  // namespace vramd::keeper
