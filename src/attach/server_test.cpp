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
    explicit Served(Quotas quotas = {}) : path(daemon.folder / "attach.sock") {
        at.sun_family = AF_UNIX;
        std::memcpy(at.sun_path, path.c_str(), path.native().size() + 1);
        Fd listening(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        REQUIRE(bind(listening.get(), address(), sizeof(sockaddr_un)) == 0);
        REQUIRE(listen(listening.get(), SOMAXCONN) == 0);
        server = std::move(Server::start({std::move(listening), 12345, quotas}, *daemon.core).value());
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
    /// Until this holds.
    template <class Holds>
    static bool soon(Holds&& holds) {
        const u64 deadline = monotonic_ns() + 20 * ns_per_second;
        while (!holds() && monotonic_ns() < deadline) std::this_thread::yield();
        return holds();
    }

    engine::Daemon daemon;
    std::filesystem::path path;
    sockaddr_un at{};
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
