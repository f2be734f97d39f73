/// The server on a real socket: what hostile clients cost others.
#include "attach/server.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/json.hpp"
#include "attach/message.hpp"
#include "base/clock.hpp"
#include "engine/test_daemon.hpp"
#include "ipc/frame.hpp"

using namespace vramd;
using namespace vramd::attach;

namespace {
u64 open_descriptors() {
    u64 count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) count += entry.path().empty() ? 0 : 1;
    return count;
}

struct Served {
    explicit Served(Quotas quotas = {}, u64 zombie_grace_ns = 0) : path(daemon.folder / "attach.sock") {
        at.sun_family = AF_UNIX;
        std::memcpy(at.sun_path, path.c_str(), path.native().size() + 1);
        Fd listening(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        REQUIRE(bind(listening.get(), address(), sizeof(sockaddr_un)) == 0);
        REQUIRE(listen(listening.get(), SOMAXCONN) == 0);
        Options options{std::move(listening), 12345, quotas};
        options.zombie_grace_ns = zombie_grace_ns;
        options.say = [this](const std::string& sentence) {
            const Lock held(lock);
            log.push_back(sentence);
        };
        server = std::move(Server::start(std::move(options), *daemon.core, streams).value());
    }
    [[nodiscard]] const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&at); }
    ipc::Channel connect() {
        Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        REQUIRE(::connect(socket.get(), address(), sizeof(sockaddr_un)) == 0);
        return ipc::Channel(std::move(socket));
    }
    ipc::Channel greeted() {
        ipc::Channel channel = connect();
        CHECK(ask(channel, R"({"jsonrpc":"2.0","id":1,"method":"hello","params":{"version":1}})").find("\"result\"") != std::string::npos);
        return channel;
    }
    std::vector<std::string> said() {
        const Lock held(lock);
        return log;
    }
    static std::string ask(const ipc::Channel& channel, std::string_view text) {
        REQUIRE(channel.send(text).has_value());
        return hear(channel);
    }
    /// The next packet; "closed" at the end.
    static std::string hear(const ipc::Channel& channel) {
        const auto received = channel.receive(ipc::Descriptors::taken);
        REQUIRE(received.has_value());
        return received->kind == ipc::Received::Kind::closed ? "closed" : received->text;
    }
    /// Begins a stream of events: its socket, or none where that is refused.
    static Fd subscribe(const ipc::Channel& channel, std::string_view params) {
        REQUIRE(channel.send(R"({"jsonrpc":"2.0","id":9,"method":"subscribe","params":)" + std::string(params) + "}").has_value());
        auto received = channel.receive(ipc::Descriptors::taken);
        REQUIRE(received.has_value());
        return received->fds.empty() ? Fd() : std::move(received->fds.front());
    }
    /// What comes over it until this is in it, or until its end.
    static std::string read_until(const Fd& stream, std::string_view last) {
        std::string text;
        std::array<char, 4096> piece;
        while (last.empty() || text.find(last) == std::string::npos) {
            const ssize_t got = ::read(stream.get(), piece.data(), piece.size());
            if (got <= 0) break;
            text.append(piece.data(), static_cast<std::size_t>(got));
        }
        return text;
    }
    /// Until this holds.
    template <class Holds>
    static bool soon(Holds&& holds) {
        const u64 deadline = monotonic_ns() + 20 * ns_per_second;
        while (!holds() && monotonic_ns() < deadline) std::this_thread::yield();
        return holds();
    }

    engine::Daemon daemon;
    api::EventStreams streams{daemon.core->events()};
    std::filesystem::path path;
    sockaddr_un at{};
    Mutex lock;
    std::vector<std::string> log;  ///< Under the lock, while the server is there.
    std::unique_ptr<Server> server;
};

constexpr std::string_view allocate = R"({"jsonrpc":"2.0","id":2,"method":"allocate","params":{"sizeBytes":4096}})";
constexpr std::string_view list = R"({"jsonrpc":"2.0","id":3,"method":"list"})";
}  // namespace

TEST_CASE("a client's end gives back what it held, and the core's descriptors are as before") {
    Served served;
    (void)served.greeted();
    REQUIRE(Served::soon([&] { return served.server->connections() == 0; }));
    const u64 before = open_descriptors();
    for (int i = 0; i < 20; ++i) {
        const ipc::Channel client = served.greeted();
        CHECK(Served::ask(client, allocate).find("\"descriptor\":0") != std::string::npos);
    }
    CHECK(Served::soon([&] { return served.server->connections() == 0 && served.daemon.core->devices()[0].books.live_bytes == 0; }));
    CHECK(Served::soon([&] { return open_descriptors() <= before; }));
    CHECK(served.daemon.core->audit().ok);
}

TEST_CASE("a client that sends descriptors is told so and closed, and none of them is opened here") {
    Served served;
    const ipc::Channel good = served.greeted();
    const u64 before = open_descriptors();
    for (int i = 0; i < 50; ++i) {
        const ipc::Channel client = served.connect();
        const int fds[] = {0, 1, 2};
        REQUIRE(client.send(list, fds).has_value());
        CHECK(Served::hear(client).find("\"code\":-32600") != std::string::npos);
        CHECK(Served::hear(client) == "closed");
    }
    CHECK(Served::soon([&] { return open_descriptors() <= before; }));
    CHECK(Served::ask(good, list).find("\"items\":[]") != std::string::npos);
}

TEST_CASE("a message that is too long is refused and the connection goes on; too many that are no calls close it") {
    Served served;
    const ipc::Channel client = served.greeted();
    const std::string too_long(70'000, ' ');
    REQUIRE(send(client.descriptor(), too_long.data(), too_long.size(), 0) > 0);
    CHECK(Served::hear(client).find("longer than 64 KiB") != std::string::npos);
    CHECK(Served::ask(client, list).find("\"items\":[]") != std::string::npos);
    std::string last;
    for (u64 i = 0; i < Quotas{}.faults_max && last != "closed"; ++i) last = Served::ask(client, "nonsense");
    CHECK(Served::hear(client) == "closed");
}

TEST_CASE("a client that never reads is closed, and another is answered meanwhile") {
    Quotas quotas;
    quotas.unread_wait_ms_max = 300;
    Served served(quotas);
    const ipc::Channel good = served.greeted();
    const ipc::Channel bad = served.greeted();
    REQUIRE(bad.set_non_blocking().has_value());
    const u64 deadline = monotonic_ns() + 20 * ns_per_second;
    u64 sent = 0, answered = 0;
    while (served.server->connections() == 2 && monotonic_ns() < deadline) {
        sent += bad.send(list).has_value() ? 1 : 0;
        answered += Served::ask(good, list).find("\"items\":[]") != std::string::npos ? 1 : 0;
    }
    CHECK(served.server->connections() == 1);
    CHECK(sent > 10);
    CHECK(answered > 10);
}

TEST_CASE("a client that takes no descriptors gets few of them, and its user's other connections a share") {
    Quotas quotas;
    quotas.untaken_descriptors_max = 4;
    quotas.untaken_descriptors_per_uid_max = 6;
    Served served(quotas);
    const ipc::Channel bad = served.greeted();
    const ipc::Channel worse = served.greeted();
    const ipc::Channel good = served.greeted();
    u64 made = 0;  // By the good one.
    const auto others = [&] {
        return served.daemon.core->allocations(engine::admin, {"", "", {}, {}, UINT64_MAX, 1000}).items.size() - made;
    };
    const auto serve_the_good_one = [&] {
        for (int i = 0; i < 20; ++i, ++made) CHECK(Served::ask(good, allocate).find("\"descriptor\":0") != std::string::npos);
    };
    for (int i = 0; i < 20; ++i) REQUIRE(bad.send(allocate).has_value());
    CHECK(Served::soon([&] { return others() == 4; }));
    serve_the_good_one();
    CHECK(others() == 4);
    for (int i = 0; i < 20; ++i) REQUIRE(worse.send(allocate).has_value());
    CHECK(Served::soon([&] { return others() == 6; }));
    serve_the_good_one();
    CHECK(others() == 6);
    for (int i = 0; i < 20; ++i) CHECK(Served::hear(bad).find("\"descriptor\":0") != std::string::npos);  // It reads after all.
}

TEST_CASE("one user has so many connections and no more, and one that ends makes room") {
    Quotas quotas;
    quotas.connections_per_uid_max = 3;
    Served served(quotas);
    std::vector<ipc::Channel> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(served.greeted());
    const ipc::Channel refused = served.connect();
    CHECK(Served::hear(refused).find("\"busy\"") != std::string::npos);
    CHECK(Served::hear(refused) == "closed");
    clients.pop_back();
    CHECK(Served::soon([&] { return served.server->connections() == 2; }));
    (void)served.greeted();
}

TEST_CASE("connections leave most of the daemon's descriptors to its blocks") {
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit few{256, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    {
        Served served;
        std::vector<ipc::Channel> clients;
        for (int i = 0; i < 32; ++i) clients.push_back(served.greeted());
        CHECK(Served::hear(served.connect()).find("\"busy\"") != std::string::npos);
        CHECK(Served::ask(clients[0], allocate).find("\"descriptor\":0") != std::string::npos);
    }
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

TEST_CASE("clients that flood do not keep another from being answered") {
    Served served;
    const ipc::Channel good = served.greeted();
    std::atomic<bool> over = false;
    std::vector<std::thread> floods;
    for (int i = 0; i < 3; ++i)
        floods.emplace_back([&served, &over] {
            const ipc::Channel client = served.greeted();
            while (!over) {
                for (int k = 0; k < 8; ++k) (void)client.send(list);
                for (int k = 0; k < 8; ++k) (void)client.receive(ipc::Descriptors::taken);
            }
        });
    for (int i = 0; i < 200; ++i) CHECK(Served::ask(good, list).find("\"items\"") != std::string::npos);
    over = true;
    for (std::thread& flood : floods) flood.join();
}

TEST_CASE("a client that goes at any step of its conversation takes nobody with it") {
    Served served;
    const ipc::Channel good = served.greeted();
    const std::string_view steps[] = {
        R"({"jsonrpc":"2.0","id":1,"method":"hello","params":{"version":1}})", allocate, list, allocate, "{", ""};
    for (std::size_t read = 0; read < 2; ++read)
        for (std::size_t last = 0; last < std::size(steps); ++last) {
            const ipc::Channel client = served.connect();
            for (std::size_t i = 0; i <= last; ++i) {
                if (steps[i].empty())
                    (void)shutdown(client.descriptor(), SHUT_WR);
                else
                    (void)client.send(steps[i]);
                if (read == 1) (void)client.receive(ipc::Descriptors::taken);
            }
        }
    CHECK(Served::soon([&] { return served.server->connections() == 1 && served.daemon.core->devices()[0].books.live_bytes == 0; }));
    CHECK(Served::ask(good, list).find("\"items\":[]") != std::string::npos);
    CHECK(served.daemon.core->audit().ok);
}

TEST_CASE("the daemon itself is not ended for what it keeps, the log says so once, and what is held unmapped is let go of") {
    Served served({}, 20 * ns_per_ms);
    const ipc::Channel keeper = served.greeted();  // In this process, as the server.
    const ipc::Channel other = served.greeted();
    const auto made_and_freed = [&](std::string_view call) {
        const std::string made = Served::ask(keeper, call);
        const std::size_t at = made.find("alc_");
        REQUIRE(at != std::string::npos);
        const std::string id = made.substr(at, made.find('"', at) - at);
        const std::string free = R"({"jsonrpc":"2.0","id":4,"method":"free","params":{"force":true,"allocationId":")" + id + "\"}}";
        CHECK(Served::ask(other, free).find("\"zombie\"") != std::string::npos);
        return id;
    };
    const std::string mapped = made_and_freed(allocate);
    CHECK(Served::soon([&] { return !served.said().empty(); }));
    // Its grace is that of the first one's next turn, or longer.
    (void)made_and_freed(R"({"jsonrpc":"2.0","id":2,"method":"allocate","params":{"sizeBytes":100,"allocationType":"default"}})");
    CHECK(Served::soon([&] { return served.daemon.core->zombies().size() == 1; }));
    const std::vector<std::string> said = served.said();
    REQUIRE(said.size() == 1);
    CHECK(said[0].starts_with("cannot end process " + std::to_string(getpid()) + " ("));
    CHECK(said[0].find(mapped + " (4096 bytes)") != std::string::npos);
    CHECK(said[0].find("It is vramd itself.") != std::string::npos);
    CHECK(Served::ask(keeper, list).find("\"zombie\"") != std::string::npos);
}

TEST_CASE("when the server ends, a client sees its connection end and keeps its memory for a moment") {
    Served served;
    const ipc::Channel client = served.greeted();
    CHECK(Served::ask(client, allocate).find("\"descriptor\":0") != std::string::npos);
    served.server->close_door();
    served.server.reset();
    CHECK(Served::hear(client) == "closed");
    CHECK(served.daemon.core->allocations(engine::admin, {}).items.size() == 1);  // Until its lease is over: a next core may take it on.
    CHECK(served.daemon.core->allocations(engine::admin, {}).items[0].attached_clients == 0);
}

TEST_CASE("a stream of events brings what is asked for, to its end, one at a time") {
    Served served;
    const ipc::Channel client = served.greeted();
    Fd stream = Served::subscribe(client, R"({"type":"allocationReserved,allocationFreed"})");
    REQUIRE(stream);
    CHECK(!Served::subscribe(client, "{}"));
    (void)Served::ask(client, allocate);
    // A sign of life, which tells where the stream begins, may come before it.
    const std::string came = Served::read_until(stream, "event: allocationReserved\n");
    CHECK(came.find("event: allocationReserved\n") != std::string::npos);
    CHECK(came.find("event: block") == std::string::npos);
    stream.reset();
    Fd past = Served::subscribe(client, R"({"from":1,"follow":false})");
    REQUIRE(past);
    const std::string all = Served::read_until(past, "");
    CHECK(all.starts_with("id: 1\n"));
    CHECK(all.find("event: allocationReserved\n") != std::string::npos);
    CHECK(!Served::subscribe(client, R"({"from":1000000})"));
    CHECK(!Served::subscribe(client, R"({"type":"nonsense"})"));
    CHECK(!Served::subscribe(client, R"({"deviceId":"nowhere"})"));
}

TEST_CASE("who reads no events loses nothing else, and ends with the server at last") {
    Served served;
    const ipc::Channel client = served.greeted();
    const Fd stream = Served::subscribe(client, R"({"from":1})");
    REQUIRE(stream);
    for (int i = 0; i < 2000; ++i) {  // Far more than a socket takes.
        const std::string made = Served::ask(client, allocate);
        const auto id = made.find("alc_");
        REQUIRE(id != std::string::npos);
        (void)Served::ask(client, R"({"jsonrpc":"2.0","id":4,"method":"free","params":{"allocationId":")" +
                                      made.substr(id, made.find('"', id) - id) + "\"}}");
    }
    CHECK(served.streams.readers() == 1);
    served.server->close_door();
    served.server.reset();
    CHECK(Served::read_until(stream, "").starts_with("id: 1\n"));
    CHECK(Served::soon([&] { return served.streams.readers() == 0; }));
}

TEST_CASE("a stream of events that its reader closed is forgotten") {
    Served served;
    const ipc::Channel client = served.greeted();
    const u64 before = open_descriptors();
    for (int i = 0; i < 20; ++i) REQUIRE(Served::subscribe(client, "{}"));
    CHECK(Served::soon([&] { return served.streams.readers() == 0; }));
    CHECK(Served::soon([&] { return open_descriptors() == before; }));
}

TEST_CASE("a stream of events ends with its connection, so nobody has more of them than connections") {
    Served served;
    std::vector<Fd> streams;
    for (int i = 0; i < 50; ++i) {
        const ipc::Channel client = served.greeted();
        streams.push_back(Served::subscribe(client, R"({"from":1})"));
        REQUIRE(streams.back());
    }
    for (const Fd& stream : streams) (void)Served::read_until(stream, "");
    CHECK(Served::soon([&] { return served.streams.readers() == 0; }));
}
