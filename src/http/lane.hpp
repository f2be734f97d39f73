/// One thread's event loop and the connections that live on it. Included by connection.cpp and server.cpp only: nobody else sees Asio.
///
/// Everything of a lane and of its connections is touched on the lane's thread alone, so none of it has a lock. Other threads come in
/// through `LaneDoor::post`, which stays valid, and does nothing, after the lane is gone.
#pragma once
// Asio's coroutine frames come from aligned_alloc through a cache that GCC 12 cannot see through: it reports their delete as mismatched.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
// Each loop has one thread, and what other threads post goes through a mutex: the fences around handlers order nothing more, and the
// thread sanitizer cannot see them.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK 1
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <unordered_set>

#include "base/mutex.hpp"
#include "http/head_check.hpp"
#include "http/seats.hpp"
#include "http/server.hpp"

namespace vramd::http {
namespace asio = boost::asio;
using Executor = asio::io_context::executor_type;
template <class T>
using Awaitable = asio::awaitable<T, Executor>;
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;
using SteadyClock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<SteadyClock, asio::wait_traits<SteadyClock>, Executor>;
/// Completes with a tuple whose first member is the error code.
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<Executor>> when_done{asio::use_awaitable_t<Executor>{}};

/// What all lanes of a server share.
struct Shared {
    Shared(const Caps& given_caps, Handler& given_handler)
        : caps(given_caps),
          handler(given_handler),
          seats(std::make_shared<Seats>(given_caps.connections_max, given_caps.connections_per_peer_max)) {}
    const Caps caps;
    Handler& handler;
    const std::shared_ptr<Seats> seats;
    std::atomic<u64> requests = 0;
    std::atomic<u64> refused = 0;
    std::atomic<u64> dropped_readers = 0;
    std::array<std::atomic<u64>, reply_classes> replies{};  ///< By the first digit of their status, from 1xx on.
};

/// The way into a lane's thread. Thread-safe.
class LaneDoor {
public:
    explicit LaneDoor(asio::io_context& loop) : loop_(&loop) {}
    template <class Job>
    void post(Job job) {
        const Lock lock(mutex_);
        if (loop_ != nullptr) asio::post(*loop_, std::move(job));
    }
    void close() {
        const Lock lock(mutex_);
        loop_ = nullptr;
    }

private:
    Mutex mutex_;
    asio::io_context* loop_ GUARDED_BY(mutex_);
};

class Connection;

struct Lane {
    explicit Lane(Shared& given_shared) : shared(given_shared), door(std::make_shared<LaneDoor>(loop)), ticker(loop) {}
    Shared& shared;
    std::unordered_set<Connection*> connections;  ///< Before `loop`: connections that its destruction ends take themselves out.
    asio::io_context loop{1};
    const std::shared_ptr<LaneDoor> door;
    Timer ticker;
    bool stopping = false;
    u64 stop_deadline_ns = 0;
};
}  // namespace vramd::http
