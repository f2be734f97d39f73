/// The sockets that clients knock at, bound once per keeper's life. Room-internal.
#pragma once
#include "base/result.hpp"
#include "keeper/link.hpp"
#include "keeper/places.hpp"

namespace vramd::keeper {
/// Binds what `places` names. Unix sockets get mode 0666, for who the peer is decides what it may do; the file of a daemon that is gone is
/// replaced, that of one that listens is not. Errors: `conflict` (an address in use, in words), `system_failed`.
[[nodiscard]] Result<Listeners> listen_at(const Places& places);
/// Removes the socket files.
void remove_sockets(const Places& places);
}  // namespace vramd::keeper
