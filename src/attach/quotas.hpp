/// What one client can have of the daemon at once. Beyond it the client waits, is refused or is dropped; nobody else notices.
#pragma once
#include "base/types.hpp"

namespace vramd::attach {
/// Changed by tests only.
struct Quotas {
    u64 connections_max = 4096;
    u64 connections_per_uid_max = 1024;
    u64 held_max = 1024;                        ///< Allocations that one connection holds.
    u64 in_flight_max = 32;                     ///< Calls of one connection that wait: for room, or for a load.
    u64 unread_bytes_max = mib;                 ///< Of answers that do not fit into a connection's socket any more.
    u64 unread_wait_ms_max = 10'000;            ///< How long they may lie there with nothing taken.
    u64 untaken_descriptors_max = 64;           ///< Sent to one connection and not taken by it yet, calls that wait counted in,
    u64 untaken_descriptors_per_uid_max = 256;  ///< of one user's connections, for the kernel counts them all as the daemon's.
    u64 faults_max = 64;                        ///< Messages of one connection that were no calls.
    u64 messages_per_turn = 16;                 ///< Of one connection, before the others have theirs.
};
/// How long what is not persistent lives when its core has died and nobody frees it.
inline constexpr u64 lease_seconds = 10;
/// How often the progress of loads is told.
inline constexpr u64 tick_ms = 100;
}  // namespace vramd::attach
