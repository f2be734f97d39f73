#include "attach/client.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>

namespace vramd::attach {
namespace {
/// The kernel counts an unread packet as more than this, and in the moment that it wakes us for the last one still as 1.
constexpr int empty_queue_bytes_max = 200;
}  // namespace

Client::Client(World& world, u64 number_of_it, ipc::Channel channel_to_it, ipc::Peer peer_of_it, Caller caller)
    : number(number_of_it),
      peer(peer_of_it),
      channel(std::move(channel_to_it)),
      session(world, number_of_it, std::move(caller), [this](Outgoing packet) { send(std::move(packet)); }),
      unread_bytes_max_(world.quotas.unread_bytes_max) {}

void Client::send(Outgoing packet) {
    if (gone || (unsent_.empty() && try_send(packet))) return;
    unsent_bytes_ += packet.text.size();
    unsent_.push_back(std::move(packet));
    if (stuck_since_ns == 0) stuck_since_ns = monotonic_ns();
    if (unsent_bytes_ > unread_bytes_max_) gone = true;
}

void Client::flush() {
    while (!gone && !unsent_.empty() && try_send(unsent_.front())) {
        unsent_bytes_ -= unsent_.front().text.size();
        unsent_.pop_front();
        stuck_since_ns = unsent_.empty() ? 0 : monotonic_ns();
    }
}

/// True when there is nothing left to do with the packet: it was sent, or the peer is gone.
bool Client::try_send(const Outgoing& packet) {
    std::vector<int> descriptors;
    for (const Fd& fd : packet.descriptors) descriptors.push_back(fd.get());
    const auto sent = channel.send(packet.text, descriptors);
    if (!sent && sent.error().code == Code::busy) return false;
    if (sent)
        untaken += descriptors.size();
    else
        gone = true;
    return true;
}

bool Client::may_be_read(const Quotas& quotas, u64 user_pending) const {
    if (!unsent_.empty()) return false;
    return pending() == 0 || (pending() < quotas.untaken_descriptors_max && user_pending < quotas.untaken_descriptors_per_uid_max);
}

void Client::look_at_taken() {
    if (untaken == 0) return;
    int queued_bytes = 0;
    if (ioctl(channel.descriptor(), SIOCOUTQ, &queued_bytes) == 0 && queued_bytes <= empty_queue_bytes_max) untaken = 0;
}
}  // namespace vramd::attach
