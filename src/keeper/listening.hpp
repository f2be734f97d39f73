/// The sockets that clients knock at, bound once per keeper's life; and the word to systemd. Room-internal.
#pragma once
#include <string_view>

#include "base/result.hpp"
#include "keeper/link.hpp"
#include "keeper/places.hpp"

namespace vramd::keeper {
/// Binds what `places` names. Unix sockets get mode 0666, for who the peer is decides what it may do; the file of a daemon that is gone is
/// replaced, that of one that listens is not. Errors: `conflict` (an address in use, in words), `system_failed`.
[[nodiscard]] Result<Listeners> listen_at(const Places& places);
/// Removes the socket files.
void remove_sockets(const Places& places);
/// Tells systemd, when it asked to be told (sd_notify(3)'s protocol: a datagram to $NOTIFY_SOCKET).
void notify_service_manager(std::string_view state);
}  // namespace vramd::keeper
