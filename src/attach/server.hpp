/// The attach protocol's socket: who connects, packets in and out, and that no client costs another anything.
///
/// One thread serves all with epoll. Each turn takes a few packets of each connection. A connection whose answers are not read is not read
/// from either; when nothing of them is taken for a while it is closed. Descriptors that a client sends are never installed
/// (ipc/frame.hpp), and its connection is closed. Source: unix(7), epoll(7).
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "api/event_streams.hpp"
#include "attach/quotas.hpp"
#include "base/fd.hpp"
#include "engine/engine.hpp"

namespace vramd::attach {
struct Options {
    Fd listening;        ///< A non-blocking SOCK_SEQPACKET socket that listens.
    u32 daemon_uid = 0;  ///< Whose clients are admins, as root's are.
    Quotas quotas{};
    /// A process that holds a zombie for so long, as this server sees it, is ended. 0: nobody is.
    u64 zombie_grace_ns = 0;
    /// Takes a sentence for the log; called by the server's thread.
    std::function<void(const std::string&)> say{};
};

class Server {
public:
    /// Begins to serve. The engine and the streams of events must outlive the server. Errors: `system_failed`.
    [[nodiscard]] static Result<std::unique_ptr<Server>> start(Options options, engine::Engine& engine, api::EventStreams& streams);
    /// Closes all connections. What clients hold is let go of; nothing of theirs is freed, for the daemon may go on as another core.
    virtual ~Server() = default;
    /// Accepts nobody from here on: who connects waits for the next core. Thread-safe.
    virtual void close_door() = 0;
    /// Open connections. Thread-safe.
    [[nodiscard]] virtual u64 connections() const = 0;
};
}  // namespace vramd::attach
