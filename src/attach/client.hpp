/// One connection's way out: what its socket does not take now, and what its peer has not taken yet. Room-internal.
#pragma once
#include <deque>

#include "attach/session.hpp"
#include "base/clock.hpp"
#include "ipc/frame.hpp"

namespace vramd::attach {
class Client {
public:
    Client(World& world, u64 number, ipc::Channel channel, ipc::Peer peer, Caller caller);

    /// Sends, or keeps what the socket does not take; a peer that leaves too much unread is marked gone.
    void send(Outgoing packet);
    /// Sends on what was kept.
    void flush();
    /// Descriptors that the peer has not taken, or may be sent for calls that wait.
    [[nodiscard]] u64 pending() const { return untaken + session.in_flight(); }
    /// Whether one more call may be taken; `user_pending` is the sum over this user's connections.
    [[nodiscard]] bool may_be_read(const Quotas& quotas, u64 user_pending) const;
    [[nodiscard]] bool has_unsent() const { return !unsent_.empty(); }
    /// Looks whether the peer has taken all that was sent.
    void look_at_taken();

    const u64 number;
    const ipc::Peer peer;
    const u64 accepted_ns = monotonic_ns();  ///< The peer's process had begun by then.
    ipc::Channel channel;
    Session session;
    bool readable = true;  ///< There may be packets.
    bool gone = false;
    u64 stuck_since_ns = 0;  ///< Since when nothing can be sent; 0: it can.
    u64 untaken = 0;         ///< Descriptors sent since the peer had taken all.
    u64 counted = 0;         ///< What the user's sum has of `pending`.
    bool told_end = false;   ///< The log says that its process was ended,
    bool told_stay = false;  ///< or why it could not be.

private:
    [[nodiscard]] bool try_send(const Outgoing& packet);

    u64 unread_bytes_max_;
    std::deque<Outgoing> unsent_;
    u64 unsent_bytes_ = 0;
};
}  // namespace vramd::attach
