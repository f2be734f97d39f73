/// The REST door: turns requests into calls of the engine and its answers into JSON, by one table of routes.
///
/// `route` (http::Handler) finds the route and checks what the head alone can tell: path, method, Accept, Content-Type, who asks. The
/// body then goes through the strict codec, the route's handler calls the engine, and what comes back is written from the same
/// description that /openapi.json is made from. Nothing blocks: an operation that takes time keeps the `Responder` and answers later.
/// Who asks: over a Unix socket the kernel's peer, `uid:N`; root and the daemon's own uid are admins. Over TCP a bearer token's owner
/// and role, else `http` as a user.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "api/page.hpp"
#include "engine/engine.hpp"
#include "http/handler.hpp"
#include "http/server.hpp"

namespace vramd::api {
/// One line of the token file: `token owner role`.
struct Token {
    std::string secret;
    std::string owner;
    Role role = Role::user;
};

struct Options {
    u32 daemon_uid = 0;                   ///< Peers with this uid, or root's, are admins.
    std::vector<Token> tokens;            ///< For `Authorization: Bearer …`, over either door.
    std::span<const PageFile> page = {};  ///< The web page's files; empty: a plain page says that there is none.
};

class EventStreams;

class Api : public http::Handler {
public:
    /// `engine` must outlive this object and every request that it was handed. Thread-safe once made.
    [[nodiscard]] static std::unique_ptr<Api> make(engine::Engine& engine, Options options);
    /// Where /metrics has the server's own figures from; until then they are 0. `counts` is called from handlers only: what it
    /// reads may end once the server has stopped.
    virtual void count_by(std::function<http::ServerCounts()> counts) = 0;
    /// The streams of events, for other doors; as long as this object.
    [[nodiscard]] virtual EventStreams& event_streams() = 0;
};
}  // namespace vramd::api
