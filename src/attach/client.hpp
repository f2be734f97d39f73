/// One connection's way out: what its socket does not take now, and what its peer has not taken yet. Room-internal.
#pragma once
#include <deque>

#include "attach/session.hpp"
#include "ipc/frame.hpp"

namespace vramd::attach {
class Client {
public:
    Client(World& world, u64 number, ipc::Channel channel, ipc::Peer peer, Caller caller);

    /// Sends, or keeps what the socket does not take; a peer that leaves too much unread is marked gone.
    void send(Outgoing packet);
    /// Sends on what was kept.
    void flush();
    /// Whether an answer could be sent now; `user_untaken` counts the descriptors that this user's connections have not taken.
    [[nodiscard]] bool may_be_read(const Quotas& quotas, u64 user_untaken) const;
    /// Looks whether the peer has taken all that was sent. Answers how many descriptors it took by that.
    [[nodiscard]] u64 look_at_taken();

    const u64 number;
    const ipc::Peer peer;
    ipc::Channel channel;
    Session session;
    bool readable = true;  ///< There may be packets.
    bool gone = false;
    u64 stuck_since_ns = 0;  ///< Since when nothing can be sent; 0: it can.
    u64 untaken = 0;         ///< Descriptors sent since the peer had taken all.
    u64 untaken_told = 0;    ///< Of those, what the user's sum counts.

private:
    [[nodiscard]] bool try_send(const Outgoing& packet);

    u64 unread_bytes_max_;
    std::deque<Outgoing> unsent_;
    u64 unsent_bytes_ = 0;
};
}  // namespace vramd::attach
