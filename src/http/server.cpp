/// Accepting, the lanes' threads, and the end of it all. With connection.cpp and connection_reply.cpp the only users of Asio.
#include "http/server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>

#include "base/clock.hpp"
#include "base/invariant.hpp"
#include "http/connection.hpp"
#include "http/problem.hpp"
#include "http/reply_head.hpp"

namespace vramd::http {
namespace {
using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
constexpr int accepted_per_turn_max = 64;
constexpr u64 tick_ms_max = 250;
constexpr u64 stopping_tick_ms = 10;
constexpr int socket_buffer_bytes = static_cast<int>(mib);

u16 port_of(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
    if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
    return 0;
}

/// Who is at the other end, and the name under which its connections are counted.
std::pair<Peer, std::string> peer_of(int socket, Door door, const sockaddr_storage& address) {
    Peer peer;
    peer.door = door;
    if (door == Door::unix_socket) {
        ucred credentials{};
        socklen_t size = sizeof credentials;
        // A failure leaves the overflow uid, to which nothing belongs.
        if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) credentials = {0, 65534, 65534};
        peer.uid = credentials.uid;
        peer.pid = credentials.pid;
        peer.address = "unix:uid=" + std::to_string(peer.uid);
        return {peer, peer.address};
    }
    char text[INET6_ADDRSTRLEN] = {};
    if (address.ss_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
        inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
        peer.address = "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
    } else {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
        peer.address = std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
    }
    return {peer, text};
}

void tune(int socket, Door door) {
    // Best effort: a socket that refuses these works all the same.
    const int on = 1;
    if (door == Door::tcp)
        (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    else
        (void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &socket_buffer_bytes, sizeof socket_buffer_bytes);
}

/// Says 503 to one connection too many, without giving it a seat.
void turn_away(const Fd& socket) {
    const Reply reply =
        problem_reply(Error{Code::busy, "connections", 0, 0,
                            "As many connections are open as may be, in all or of this user; close one, or try again later."},
                      {});
    const auto now = static_cast<i64>(clock_ns(CLOCK_REALTIME_COARSE) / ns_per_second);
    const std::string bytes = reply_head(reply, ReplyFraming::length, reply.body.size(), Persistence::close, now) + reply.body;
    (void)send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);  // It is closed next whether it listened or not.
    (void)shutdown(socket.get(), SHUT_WR);
}

class RunningServer final : public Server {
public:
    RunningServer(Options options, Handler& handler) : shared_(options.caps, handler), extra_hosts_(std::move(options.extra_hosts)) {
        for (u32 i = 0; i < std::max<u32>(options.threads, 1); ++i) lanes_.push_back(std::make_unique<Lane>(shared_));
    }
    ~RunningServer() override {
        stop(0);
        for (const auto& lane : lanes_) lane->door->close();
    }

    Result<void> open(Listener listener);
    void run();
    void stop(u64 grace_ms) override;
    [[nodiscard]] ServerCounts counts() const override {
        ServerCounts told{shared_.seats->taken(), shared_.requests.load(std::memory_order_relaxed),
                          shared_.refused.load(std::memory_order_relaxed), shared_.dropped_readers.load(std::memory_order_relaxed)};
        for (std::size_t i = 0; i < reply_classes; ++i) told.replies[i] = shared_.replies[i].load(std::memory_order_relaxed);
        return told;
    }

private:
    struct OpenDoor {
        const HostPolicy& policy;
        Descriptor listening;
    };
    enum class Accepted : u8 { one, none, exhausted };
    Awaitable<void> accept_at(OpenDoor& door);
    [[nodiscard]] Accepted accept_one(OpenDoor& door);
    static void welcome(Lane& lane, Socket socket, Peer peer, const HostPolicy& policy, std::unique_ptr<Seats::Seat> seat);
    static Awaitable<void> keep_time(Lane& lane);
    void stop_lane(Lane& lane, u64 deadline_ns);

    // Connections point to the policies, doors to the first lane's loop: the order of these members is the order of their lives.
    std::vector<std::unique_ptr<const HostPolicy>> policies_;
    Shared shared_;
    const std::vector<std::string> extra_hosts_;
    std::vector<std::unique_ptr<Lane>> lanes_;
    std::vector<std::unique_ptr<OpenDoor>> doors_;
    std::vector<std::thread> threads_;
    u64 next_lane_ = 0;
};

u64 tick_ms(const Caps& caps) {
    const u64 shortest = std::min({caps.head_wait_ms_max, caps.body_idle_ms_max, caps.keep_alive_idle_ms_max, caps.drain_ms_max});
    return std::clamp<u64>(shortest / 4, 5, tick_ms_max);
}

Result<void> RunningServer::open(Listener listener) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (getsockopt(listener.listening.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0)
        return std::unexpected(system_error("getsockopt(SO_ACCEPTCONN)", errno));
    if (listens == 0) return std::unexpected(system_error("accept", EINVAL));
    const int flags = fcntl(listener.listening.get(), F_GETFL);
    if (flags < 0 || fcntl(listener.listening.get(), F_SETFL, flags | O_NONBLOCK) != 0)
        return std::unexpected(system_error("fcntl", errno));
    policies_.push_back(std::make_unique<const HostPolicy>(HostPolicy{listener.door, port_of(listener.listening.get()), extra_hosts_}));
    doors_.emplace_back(new OpenDoor{*policies_.back(), Descriptor(lanes_[0]->loop, listener.listening.release())});
    return {};
}

void RunningServer::run() {
    for (const auto& door : doors_) asio::co_spawn(lanes_[0]->loop, accept_at(*door), asio::detached);
    for (const auto& lane : lanes_) {
        asio::co_spawn(lane->loop, keep_time(*lane), asio::detached);
        threads_.emplace_back([&loop = lane->loop] { loop.run(); });
    }
}

Awaitable<void> RunningServer::accept_at(OpenDoor& door) {
    Timer pause(lanes_[0]->loop);
    while (!lanes_[0]->stopping) {
        const auto [failed] = co_await door.listening.async_wait(Descriptor::wait_read, when_done);
        if (failed) break;
        Accepted last = Accepted::one;
        for (int i = 0; i < accepted_per_turn_max && last == Accepted::one; ++i) last = accept_one(door);
        if (last != Accepted::exhausted) continue;
        // Out of descriptors or memory: the backlog waits, instead of this loop spinning.
        pause.expires_after(std::chrono::milliseconds(50));
        co_await pause.async_wait(when_done);
    }
}

RunningServer::Accepted RunningServer::accept_one(OpenDoor& door) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    Fd socket(accept4(door.listening.native_handle(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
        if (errno == EAGAIN) return Accepted::none;
        const bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        return exhausted ? Accepted::exhausted : Accepted::one;  // Anything else is that client's own trouble.
    }
    auto [peer, counted_as] = peer_of(socket.get(), door.policy.door, address);
    std::unique_ptr<Seats::Seat> seat = shared_.seats->take(counted_as);
    if (!seat) {
        turn_away(socket);
        return Accepted::one;
    }
    tune(socket.get(), door.policy.door);
    Lane& lane = *lanes_[next_lane_++ % lanes_.size()];
    const asio::generic::stream_protocol protocol(door.policy.door == Door::tcp ? address.ss_family : AF_UNIX, 0);
    Socket moved(lane.loop, protocol, socket.release());
    lane.door->post([&lane, policy = &door.policy, moved = std::move(moved), peer = std::move(peer), seat = std::move(seat)]() mutable {
        welcome(lane, std::move(moved), std::move(peer), *policy, std::move(seat));
    });
    return Accepted::one;
}

void RunningServer::welcome(Lane& lane, Socket socket, Peer peer, const HostPolicy& policy, std::unique_ptr<Seats::Seat> seat) {
    const bool alone = lane.connections.empty();
    auto connection = std::make_shared<Connection>(lane, std::move(socket), std::move(peer), policy, std::move(seat));
    asio::co_spawn(lane.loop, Connection::serve(connection), [connection](const std::exception_ptr&) {
        connection->abort();  // An exception (memory) ends this connection only.
    });
    if (!lane.stopping) return;
    connection->stop_when_idle();  // Accepted just before: its request is there, or it has none.
    if (alone) asio::co_spawn(lane.loop, keep_time(lane), asio::detached);
}

/// Deadlines are kept by looking at all connections now and then: a timer per read would cost more than the read.
Awaitable<void> RunningServer::keep_time(Lane& lane) {
    while (!lane.stopping || !lane.connections.empty()) {
        lane.ticker.expires_after(std::chrono::milliseconds(lane.stopping ? stopping_tick_ms : tick_ms(lane.shared.caps)));
        co_await lane.ticker.async_wait(when_done);
        const u64 now = monotonic_ns();
        for (Connection* connection : lane.connections) {
            connection->tick(now);
            if (lane.stopping && now >= lane.stop_deadline_ns) connection->abort();
        }
    }
}

void RunningServer::stop_lane(Lane& lane, u64 deadline_ns) {
    lane.stopping = true;
    lane.stop_deadline_ns = deadline_ns;
    boost::system::error_code ignored;
    lane.ticker.cancel(ignored);
    if (&lane == lanes_[0].get())
        for (const auto& door : doors_) door->listening.close(ignored);
    for (Connection* connection : lane.connections) connection->stop_when_idle();
}

void RunningServer::stop(u64 grace_ms) {
    if (threads_.empty()) return;
    const u64 deadline_ns = monotonic_ns() + grace_ms * ns_per_ms;
    // The first accepts for all: the others stop after what it handed them.
    lanes_[0]->door->post([this, deadline_ns] {
        stop_lane(*lanes_[0], deadline_ns);
        for (std::size_t i = 1; i < lanes_.size(); ++i)
            lanes_[i]->door->post([this, &lane = *lanes_[i], deadline_ns] { stop_lane(lane, deadline_ns); });
    });
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}
}  // namespace

Result<std::unique_ptr<Server>> Server::start(Options options, Handler& handler) {
    std::vector<Listener> listeners = std::move(options.listeners);
    auto server = std::make_unique<RunningServer>(std::move(options), handler);
    for (Listener& listener : listeners) TRY_DO(server->open(std::move(listener)));
    server->run();
    return server;
}
}  // namespace vramd::http
