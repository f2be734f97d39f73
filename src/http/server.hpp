/// The HTTP/1.1 server: sockets, caps, timeouts, strictness. It knows no route; a `Handler` does.
///
/// It takes descriptors that already listen (the keeper holds them, so that a restart of the core refuses nobody) and serves them with a
/// few threads, each with an event loop of its own; a connection stays on one of them. Whatever a client can make grow has a limit in
/// `Caps`.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "base/fd.hpp"
#include "http/handler.hpp"

namespace vramd::http {
/// A socket that listens, and what kind it is.
struct Listener {
    Fd listening;
    Door door = Door::tcp;
};

/// What a client can use up. Beyond a size: 431 or 413. Beyond a time: the connection is closed.
struct Caps {
    u64 request_line_bytes_max = 8 * kib;
    u64 head_bytes_max = 32 * kib;
    u64 headers_max = 64;
    u64 head_wait_ms_max = 10'000;          ///< From a request's first byte (or the connection's start) to the end of its head.
    u64 body_idle_ms_max = 30'000;          ///< Between two pieces of a body, either way.
    u64 keep_alive_idle_ms_max = 75'000;    ///< Between two requests.
    u64 drain_ms_max = 2'000;               ///< How long a refused body is still read, so that the refusal arrives.
    u64 connections_max = 12'000;           ///< In all; beyond: 503 and close.
    u64 connections_per_peer_max = 11'000;  ///< Of one uid, or one address. Below the sum, so that nobody alone can shut the others out.
};

struct Options {
    std::vector<Listener> listeners;
    u32 threads = 2;
    Caps caps;
    std::vector<std::string> extra_hosts;  ///< Host names that TCP doors take beside the loopback's, with the listener's port.
};

/// 1xx, 2xx, 3xx, 4xx, 5xx.
inline constexpr std::size_t reply_classes = 5;

/// Counters since the start; each is exact, together they are not one moment's.
struct ServerCounts {
    u64 connections = 0;                       ///< Open now.
    u64 requests = 0;                          ///< Heads that passed the checks.
    u64 refused = 0;                           ///< Requests that the room refused itself.
    u64 dropped_readers = 0;                   ///< Streams closed because their reader was too slow.
    std::array<u64, reply_classes> replies{};  ///< Those begun, by the class of their status.
};

/// Started on construction, stopped on destruction.
class Server {
public:
    /// Serves until stopped. `handler` must outlive the server. Errors: `system_failed` when a descriptor does not listen.
    [[nodiscard]] static Result<std::unique_ptr<Server>> start(Options options, Handler& handler);
    virtual ~Server() = default;
    /// No new connections at once; requests that run may end within `grace_ms`; then everything is closed and the threads have ended. Call
    /// once.
    virtual void stop(u64 grace_ms) = 0;
    [[nodiscard]] virtual ServerCounts counts() const = 0;
};
}  // namespace vramd::http
