/// A real server on real sockets for the room's tests, with a handler that has one route of each kind; and a client that sends raw bytes.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/checksum.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"
#include "http/client.hpp"
#include "http/problem.hpp"
#include "http/server.hpp"

namespace vramd::http::testing {
/// Memory that replies are served from: the same random bytes for all tests, made once.
struct Arena {
    std::vector<std::byte> bytes;
};
inline const Arena& arena_of(u64 size_bytes) {
    static const Arena arena = [&] {
        Arena made{std::vector<std::byte>(size_bytes)};
        SeededRandom random(size_bytes);
        for (std::byte& byte : made.bytes) byte = static_cast<std::byte>(random.next());
        return made;
    }();
    return arena;
}

inline Reply text_reply(std::string body) {
    Reply reply;
    reply.content_type = "text/plain";
    reply.body = std::move(body);
    return reply;
}

/// /echo: the body. /path: what was decoded. /bytes?size=N: N bytes of the arena. /upload: to the arena, answers the checksum. /later:
/// answered by another thread. /drop: never answered. /wait: told when the client goes. /stream: chunks from another thread. /paced:
/// chunks, each when the one before is out. /now: without the body read.
class TestHandler final : public Handler {
public:
    static constexpr u64 arena_bytes = 24 * mib;
    ~TestHandler() override {
        for (std::thread& thread : threads_) thread.join();
    }

    Routing route(const RequestHead& head) override {
        routed.fetch_add(1);
        if (head.path == "/echo")
            return BufferBody{mib, [](Request request, Responder responder) { std::move(responder)(text_reply(std::move(request.body))); }};
        if (head.path == "/bytes") return bytes_reply(head);
        if (head.path == "/upload") return StreamBody{upload_sink()};
        if (head.path == "/later")
            return BufferBody{mib, [this](Request request, Responder responder) { later(std::move(request), std::move(responder)); }};
        if (head.path == "/drop") return BufferBody{mib, [](Request, Responder) {}};
        if (head.path == "/wait") return BufferBody{mib, [this](Request, Responder responder) { hold(std::move(responder)); }};
        if (head.path == "/paced") return BufferBody{mib, [this](Request, Responder responder) { paced(std::move(responder)); }};
        if (head.path == "/stream") return BufferBody{mib, [this](Request, Responder responder) { stream(std::move(responder)); }};
        if (head.path == "/flood") return BufferBody{mib, [this](Request, Responder responder) { flood(std::move(responder)); }};
        if (head.path == "/broken") return broken_reply();
        if (head.path == "/refusing") return StreamBody{refusing_sink()};
        std::string told = std::string(name_of(head.method)) + " " + head.path;
        for (const std::string& segment : head.segments) told += "|" + segment;
        for (const Field& field : head.query) told += "?" + field.first + "=" + field.second;
        return text_reply(told);
    }

    const Arena& arena = arena_of(arena_bytes);
    std::atomic<u64> routed = 0;
    std::atomic<u64> gone_told = 0;
    std::atomic<u64> pushes_refused = 0;
    std::atomic<u64> sinks_alive = 0;
    std::mutex held_mutex;
    std::vector<Responder> held;

private:
    Reply bytes_reply(const RequestHead& head) {
        const std::string* size = head.query_value("size");
        Reply reply;
        reply.content_type = "application/octet-stream";
        BodySource source;
        source.size_bytes = size == nullptr ? arena_bytes : std::strtoull(size->c_str(), nullptr, 10);
        source.pull = [this](u64 offset, u64 max) -> Result<std::span<const std::byte>> {
            return std::span<const std::byte>(arena.bytes).subspan(offset, max);
        };
        reply.source = std::move(source);
        return reply;
    }
    /// Counts itself, so that a test sees that a sink whose client left is let go of.
    struct Alive {
        explicit Alive(std::atomic<u64>& given) : count(given) { count.fetch_add(1); }
        ~Alive() { count.fetch_sub(1); }
        Alive(const Alive&) = delete;
        std::atomic<u64>& count;
    };
    struct Upload {
        std::vector<std::byte> bytes;
        u64 size = 0;
        std::unique_ptr<Alive> alive;
    };
    BodySink upload_sink() {
        auto upload = std::make_shared<Upload>();
        upload->bytes.resize(arena_bytes);
        upload->alive = std::make_unique<Alive>(sinks_alive);
        BodySink sink;
        sink.room = [upload](u64 offset, u64 max) -> Result<std::span<std::byte>> {
            if (offset >= upload->bytes.size()) return refuse(Code::out_of_range, "sizeBytes", offset + max, upload->bytes.size());
            return std::span(upload->bytes).subspan(offset, std::min<u64>(max, upload->bytes.size() - offset));
        };
        sink.commit = [upload](u64 size) -> Result<void> {
            upload->size += size;
            return {};
        };
        sink.finish = [upload](u64 size, Responder responder) {
            const u64 sum = checksum(std::span(upload->bytes).first(upload->size));
            std::move(responder)(text_reply(std::to_string(size) + " " + std::to_string(sum)));
        };
        return sink;
    }
    BodySink refusing_sink() {
        BodySink sink;
        sink.room = [](u64, u64) -> Result<std::span<std::byte>> { return refuse(Code::out_of_range, "offsetBytes", 5, 4); };
        sink.commit = [](u64) -> Result<void> { return {}; };
        sink.finish = [](u64, Responder responder) { std::move(responder)(text_reply("never")); };
        return sink;
    }
    Reply broken_reply() {
        Reply reply;
        BodySource source;
        source.size_bytes = 3 * mib;
        source.pull = [this](u64 offset, u64 max) -> Result<std::span<const std::byte>> {
            if (offset > 0) return refuse(Code::device_lost, {}, "The device stopped working.");
            return std::span<const std::byte>(arena.bytes).first(max);
        };
        reply.source = std::move(source);
        return reply;
    }
    void run(std::move_only_function<void()> job) {
        const std::lock_guard lock(held_mutex);
        threads_.emplace_back(std::move(job));
    }
    void later(Request request, Responder responder) {
        run([request = std::move(request), responder = std::move(responder)]() mutable {
            std::move(responder)(text_reply("later " + request.body));
        });
    }
    void hold(Responder responder) {
        responder.on_gone([this] { gone_told.fetch_add(1); });
        const std::lock_guard lock(held_mutex);
        held.push_back(std::move(responder));
    }
    void stream(Responder responder) {
        run([responder = std::move(responder)]() mutable {
            Reply head;
            head.content_type = "text/event-stream";
            EventStream events = std::move(responder).stream(std::move(head));
            for (int i = 0; i < 100; ++i)
                if (events.push("data: " + std::to_string(i) + "\n\n") == Pushed::gone) break;
        });
    }
    void flood(Responder responder) {
        run([this, responder = std::move(responder)]() mutable {
            // Room enough that the server is stuck in writing to the full socket long before the bound is passed.
            EventStream events = std::move(responder).stream(Reply{}, 32 * mib);
            const std::string chunk(16 * kib, 'x');
            for (int i = 0; i < 100'000; ++i) {
                if (events.push(chunk) == Pushed::accepted) continue;
                pushes_refused.fetch_add(1);
                return;
            }
        });
    }
    /// A piece at a time, each when the one before is out: 4 MiB in all, with room for one piece.
    void paced(Responder responder) {
        struct Pace {
            EventStream stream;
            int left = 64;
            void next(const std::shared_ptr<Pace>& self, std::atomic<u64>& told_gone) {
                if (left-- == 0) {
                    stream = EventStream(nullptr);
                } else if (stream.push(std::string(64 * kib, static_cast<char>('a' + left % 26))) == Pushed::gone) {
                    told_gone.fetch_add(1);
                } else {
                    stream.on_drained([self, &told_gone] { self->next(self, told_gone); });
                }
            }
        };
        const auto pace = std::make_shared<Pace>(std::move(responder).stream(Reply{}, 64 * kib));
        pace->next(pace, pushes_refused);
    }
    std::vector<std::thread> threads_;
};

/// Listening sockets on a free loopback port and in a folder of its own, and a server on both.
class TestServer {
public:
    /// Serves its own handler unless another is given, which must outlive it.
    explicit TestServer(Caps caps = {}, u32 threads = 2, Handler* other = nullptr) {
        char folder[] = "/tmp/vramd-http-XXXXXX";
        folder_ = mkdtemp(folder);
        unix_address.door = Door::unix_socket;
        unix_address.socket_path = folder_ + "/http.sock";
        Options options;
        options.threads = threads;
        options.caps = caps;
        options.listeners.push_back({listen_tcp(), Door::tcp});
        options.listeners.push_back({listen_unix(), Door::unix_socket});
        server = *Server::start(std::move(options), other == nullptr ? handler : *other);
    }
    ~TestServer() {
        server.reset();
        {
            const std::lock_guard lock(handler.held_mutex);
            handler.held.clear();
        }
        unlink(unix_address.socket_path.c_str());
        rmdir(folder_.c_str());
    }

    TestHandler handler;
    Address tcp_address;
    Address unix_address;
    std::unique_ptr<Server> server;

private:
    Fd listen_tcp() {
        Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        (void)bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size);
        (void)listen(socket.get(), 1024);
        (void)getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
        tcp_address.host = "127.0.0.1";
        tcp_address.port = ntohs(address.sin_port);
        return socket;
    }
    Fd listen_unix() {
        Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::copy(unix_address.socket_path.begin(), unix_address.socket_path.end(), address.sun_path);
        (void)bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
        (void)listen(socket.get(), 1024);
        return socket;
    }
    std::string folder_;
};

/// Sends bytes as they are and reads what comes.
class RawClient {
public:
    explicit RawClient(const Address& address) {
        if (address.door == Door::unix_socket) {
            socket_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
            sockaddr_un name{};
            name.sun_family = AF_UNIX;
            std::copy(address.socket_path.begin(), address.socket_path.end(), name.sun_path);
            connected_ = connect(socket_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
        } else {
            socket_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            sockaddr_in name{};
            name.sin_family = AF_INET;
            name.sin_port = htons(address.port);
            inet_pton(AF_INET, address.host.c_str(), &name.sin_addr);
            connected_ = connect(socket_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
        }
    }
    [[nodiscard]] int descriptor() const { return socket_.get(); }
    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t written = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (written <= 0) return;  // The server closed; what it said is still to be read.
            bytes.remove_prefix(static_cast<std::size_t>(written));
        }
    }
    /// Everything up to the server's end of the connection, or until `wait_ms` pass without a byte.
    std::string read_all(int wait_ms = 5000) {
        std::string all;
        while (read_some(all, wait_ms)) {
        }
        return all;
    }
    /// Until `count` replies' heads and the text `until` were seen.
    std::string read_until(std::string_view until, int wait_ms = 5000) {
        std::string all;
        while (all.find(until) == std::string::npos && read_some(all, wait_ms)) {
        }
        return all;
    }
    [[nodiscard]] bool ended() const { return ended_; }
    /// The end was no orderly one: on other systems than Linux the last reply would have been lost with it.
    [[nodiscard]] bool reset() const { return reset_; }
    void close() { socket_.reset(); }
    void end_sending() { shutdown(socket_.get(), SHUT_WR); }

private:
    bool read_some(std::string& all, int wait_ms) {
        pollfd waiting{socket_.get(), POLLIN, 0};
        if (poll(&waiting, 1, wait_ms) <= 0) return false;
        char piece[16384];
        const ssize_t read = recv(socket_.get(), piece, sizeof piece, 0);
        if (read <= 0) {
            ended_ = true;
            reset_ = read < 0;
            return false;
        }
        all.append(piece, static_cast<std::size_t>(read));
        return true;
    }
    Fd socket_;
    bool connected_ = false;
    bool ended_ = false;
    bool reset_ = false;
};

/// Waits for an event of another thread, at most 5 s.
template <class Condition>
bool soon(Condition condition) {
    const u64 deadline = monotonic_ns() + 5 * ns_per_second;
    while (!condition()) {
        if (monotonic_ns() > deadline) return false;
        std::this_thread::yield();
    }
    return true;
}
}  // namespace vramd::http::testing
