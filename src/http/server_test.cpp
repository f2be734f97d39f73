#include <doctest/doctest.h>

#include "base/choices.hpp"
#include "http/test_server.hpp"

namespace vramd::http::testing {
namespace {
ClientRequest asking(std::string method, std::string target, std::string body = {}) {
    ClientRequest request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.body = std::move(body);
    return request;
}

/// The bytes that a path answers, by a streamed download.
std::vector<std::byte> downloaded(Client& client, const std::string& target) {
    std::vector<std::byte> all;
    ClientRequest request = asking("GET", target);
    request.download = [&](std::span<const std::byte> piece) -> Result<void> {
        all.insert(all.end(), piece.begin(), piece.end());
        return {};
    };
    CHECK(client.exchange(std::move(request)).value().status == 200);
    return all;
}

enum class Upload : u8 { sized, chunked };
/// What the server says that it got.
std::string uploaded(Client& client, std::span<const std::byte> bytes, Upload kind, u64 piece_bytes_max) {
    ClientRequest request = asking("PUT", "/upload");
    if (kind == Upload::sized) request.upload_bytes = bytes.size();
    request.upload = [bytes, piece_bytes_max](std::span<std::byte> room) mutable -> Result<u64> {
        const u64 size = std::min({bytes.size(), room.size(), piece_bytes_max});
        std::copy_n(bytes.data(), size, room.data());
        bytes = bytes.subspan(size);
        return size;
    };
    return client.exchange(std::move(request)).value().body;
}

std::string raw_get(const TestServer& server, std::string_view target, std::string_view method = "GET") {
    return std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: localhost:" + std::to_string(server.tcp_address.port) +
           "\r\n\r\n";
}
}  // namespace

TEST_CASE("bytes of any size come down and go up unchanged, over TCP and the Unix socket") {
    TestServer server;
    Choices choices = Choices::from_seed(7);
    std::vector<u64> sizes = {0, 1, 4095, 4096, 4097, mib - 1, mib, mib + 1, 5 * mib + 13, TestHandler::arena_bytes};
    for (int i = 0; i < 6; ++i) sizes.push_back(choices.below(3 * mib));
    for (const Address& address : {server.tcp_address, server.unix_address}) {
        Client client(address);
        for (const u64 size : sizes) {
            CAPTURE(size);
            const std::span<const std::byte> truth = std::span(server.handler.arena.bytes).first(size);
            const std::vector<std::byte> got = downloaded(client, "/bytes?size=" + std::to_string(size));
            CHECK(got.size() == size);
            CHECK(checksum(got) == checksum(truth));
            const std::string expected = std::to_string(size) + " " + std::to_string(checksum(truth));
            CHECK(uploaded(client, truth, Upload::sized, mib) == expected);
            CHECK(uploaded(client, truth, Upload::chunked, std::max<u64>(size / 7, 1000)) == expected);
        }
        CHECK(server.server->counts().connections <= 2);  // Both kept their one connection all along.
    }
    CHECK(soon([&] { return server.handler.sinks_alive.load() == 0; }));
}

TEST_CASE("small uploads in chunks of every size up to twenty bytes arrive whole") {
    TestServer server;
    Client client(server.unix_address);
    const std::span<const std::byte> truth = std::span(server.handler.arena.bytes).first(200);
    const std::string expected = "200 " + std::to_string(checksum(truth));
    for (u64 piece = 1; piece <= 20; ++piece) CHECK(uploaded(client, truth, Upload::chunked, piece) == expected);
}

TEST_CASE("a client is told who it is by the kernel, not by what it says") {
    TestServer server;
    struct PeerHandler final : Handler {
        Routing route(const RequestHead& head) override {
            return text_reply(std::to_string(head.peer.uid) + " " + std::to_string(head.peer.pid) + " " + head.peer.address);
        }
    } handler;
    Client client(server.unix_address);
    CHECK(client.exchange(asking("GET", "/")).value().status == 200);
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    ::close(pair[0]);
    Options wrong;
    wrong.listeners.push_back({Fd(pair[1]), Door::unix_socket});
    CHECK(!Server::start(std::move(wrong), handler).has_value());  // A socket that does not listen is an error, not a silent server.

    char name[] = "/tmp/vramd-peer-XXXXXX";
    const std::string folder = mkdtemp(name);
    Address address{Door::unix_socket, folder + "/s", {}, 0};
    sockaddr_un bound{};
    bound.sun_family = AF_UNIX;
    std::copy(address.socket_path.begin(), address.socket_path.end(), bound.sun_path);
    Fd listening(::socket(AF_UNIX, SOCK_STREAM, 0));
    REQUIRE(bind(listening.get(), reinterpret_cast<sockaddr*>(&bound), sizeof bound) == 0);
    REQUIRE(listen(listening.get(), 8) == 0);
    Options options;
    options.listeners.push_back({std::move(listening), Door::unix_socket});
    const auto started = Server::start(std::move(options), handler).value();
    Client peer(address);
    CHECK(peer.exchange(asking("GET", "/")).value().body ==
          std::to_string(getuid()) + " " + std::to_string(getpid()) + " unix:uid=" + std::to_string(getuid()));
    started->stop(100);
    unlink(address.socket_path.c_str());
    rmdir(folder.c_str());
}

TEST_CASE("pipelined requests are answered one after the other, in order") {
    TestServer server;
    RawClient client(server.tcp_address);
    std::string all_requests;
    for (int i = 0; i < 50; ++i) all_requests += raw_get(server, i % 5 == 0 ? "/later" : "/p" + std::to_string(i));
    client.send(all_requests);
    client.end_sending();
    const std::string all = client.read_all();
    std::size_t at = 0;
    for (int i = 0; i < 50; ++i) {
        const std::size_t found = all.find(i % 5 == 0 ? "later " : "GET /p" + std::to_string(i), at);
        REQUIRE(found != std::string::npos);
        at = found + 1;
    }
}

TEST_CASE("HEAD answers the head that GET would, and no body") {
    TestServer server;
    RawClient client(server.tcp_address);
    client.send(raw_get(server, "/bytes?size=12345", "HEAD") + raw_get(server, "/after"));
    client.end_sending();
    const std::string all = client.read_all();
    CHECK(all.find("Content-Length: 12345\r\n") != std::string::npos);
    const std::size_t second = all.find("\r\n\r\nHTTP/1.1 200");
    CHECK(second != std::string::npos);
    CHECK(all.ends_with("GET /after|after"));
}

TEST_CASE("a client that expects 100-continue gets it before its body, and a refusal without it") {
    TestServer server;
    const std::string host = " HTTP/1.1\r\nHost: localhost:" + std::to_string(server.tcp_address.port) + "\r\nExpect: 100-continue\r\n";
    RawClient client(server.tcp_address);
    client.send("POST /echo" + host + "Content-Length: 3\r\n\r\n");
    CHECK(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 100"));
    client.send("abc");
    CHECK(client.read_until("abc").starts_with("HTTP/1.1 200"));
    RawClient refused(server.tcp_address);
    refused.send("POST /echo" + host + "Content-Length: 99999999\r\n\r\n");
    refused.end_sending();
    const std::string all = refused.read_all();
    CHECK(all.starts_with("HTTP/1.1 413"));
    CHECK(all.find(" 100 ") == std::string::npos);
}

TEST_CASE("a small body that nobody wants is skipped, and the connection goes on") {
    TestServer server;
    RawClient client(server.tcp_address);
    client.send("POST /ignored HTTP/1.1\r\nHost: localhost:" + std::to_string(server.tcp_address.port) +
                "\r\nContent-Length: 5\r\n\r\nGET /" + raw_get(server, "/next"));
    client.end_sending();
    const std::string all = client.read_all();
    CHECK(all.find("POST /ignored") != std::string::npos);
    CHECK(all.find("GET /next") != std::string::npos);
}

TEST_CASE("a refusal in the middle of a large upload reaches the client") {
    TestServer server;
    for (const Address& address : {server.tcp_address, server.unix_address}) {
        Client client(address);
        ClientRequest request = asking("PUT", "/refusing");
        request.upload_bytes = 20 * mib;
        u64 left = 20 * mib;
        request.upload = [&](std::span<std::byte> room) -> Result<u64> {
            const u64 size = std::min<u64>(left, room.size());
            left -= size;
            return size;
        };
        const ClientReply reply = client.exchange(std::move(request)).value();
        CHECK(reply.status == 416);
        CHECK(reply.body.find("\"code\":\"out-of-range\"") != std::string::npos);
        CHECK(reply.body.find("\"limit\":4") != std::string::npos);
    }
}

TEST_CASE("a source that fails on the way breaks the connection, so that the client cannot take the rest for whole") {
    TestServer server;
    Client client(server.tcp_address);
    const auto reply = client.exchange(asking("GET", "/broken"));
    REQUIRE(!reply.has_value());
    CHECK(reply.error().field == "reply");
}

TEST_CASE("an answer may come later from another thread; one that is dropped answers 500") {
    TestServer server;
    for (const Address& address : {server.tcp_address, server.unix_address}) {
        Client client(address);
        for (int i = 0; i < 20; ++i)
            CHECK(client.exchange(asking("POST", "/later", "x" + std::to_string(i))).value().body == "later x" + std::to_string(i));
        const ClientReply dropped = client.exchange(asking("POST", "/drop")).value();
        CHECK(dropped.status == 500);
        CHECK(dropped.body.find("system-failed") != std::string::npos);
    }
}

TEST_CASE("whoever answers late is told when the client leaves, and may still answer") {
    TestServer server;
    RawClient client(server.tcp_address);
    client.send(raw_get(server, "/wait"));
    REQUIRE(soon([&] { return server.handler.routed.load() == 1; }));
    CHECK(server.handler.gone_told.load() == 0);
    client.close();
    CHECK(soon([&] { return server.handler.gone_told.load() == 1; }));
    const auto held = [&] {
        const std::lock_guard lock(server.handler.held_mutex);
        return server.handler.held.size() == 1;
    };
    CHECK(soon(held));
    const std::lock_guard lock(server.handler.held_mutex);
    CHECK(server.handler.held[0].gone());
    std::move(server.handler.held[0])(text_reply("too late"));
    server.handler.held.clear();
}

TEST_CASE("a client that only ended its sending still gets its answer") {
    TestServer server;
    RawClient client(server.tcp_address);
    client.send(raw_get(server, "/wait"));
    client.end_sending();
    REQUIRE(soon([&] { return server.handler.gone_told.load() == 1; }));
    {
        const std::lock_guard lock(server.handler.held_mutex);
        std::move(server.handler.held[0])(text_reply("here it is"));
        server.handler.held.clear();
    }
    CHECK(client.read_all().ends_with("here it is"));
}

TEST_CASE("whoever has answered is not told of the client's end afterwards") {
    TestServer server;
    RawClient client(server.tcp_address);
    client.send(raw_get(server, "/wait"));
    const auto held = [&] {
        const std::lock_guard lock(server.handler.held_mutex);
        return server.handler.held.size() == 1;
    };
    REQUIRE(soon(held));
    std::move(server.handler.held[0])(text_reply("answer"));
    client.close();
    CHECK(soon([&] { return server.server->counts().connections == 0; }));
    CHECK(server.handler.gone_told.load() == 0);
}

TEST_CASE("a stream's pushes arrive in order and its end ends the reply") {
    TestServer server;
    Client client(server.unix_address);
    const ClientReply reply = client.exchange(asking("GET", "/stream")).value();
    CHECK(*reply.headers.find("Content-Type") == "text/event-stream");
    std::string expected;
    for (int i = 0; i < 100; ++i) expected += "data: " + std::to_string(i) + "\n\n";
    CHECK(reply.body == expected);
    CHECK(client.exchange(asking("GET", "/x")).value().status == 200);
}

TEST_CASE("a stream's reader that does not read is dropped, and the pusher is told") {
    TestServer server;
    RawClient client(server.unix_address);
    client.send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(soon([&] { return server.handler.pushes_refused.load() == 1; }));
    CHECK(soon([&] { return server.server->counts().connections == 0; }));
}

TEST_CASE("one connection too many is told 503, and one that ends makes room") {
    Caps caps;
    caps.connections_max = 3;
    TestServer server(caps);
    std::vector<RawClient> clients;
    for (int i = 0; i < 3; ++i) {
        clients.emplace_back(server.tcp_address);
        clients.back().send(raw_get(server, "/x"));
        CHECK(clients.back().read_until("GET /x").starts_with("HTTP/1.1 200"));
    }
    RawClient fourth(server.tcp_address);
    const std::string refusal = fourth.read_all();
    CHECK(refusal.starts_with("HTTP/1.1 503"));
    CHECK(refusal.find("Retry-After: 1\r\n") != std::string::npos);
    clients.pop_back();
    CHECK(soon([&] { return server.server->counts().connections == 2; }));
    RawClient fifth(server.tcp_address);
    fifth.send(raw_get(server, "/x"));
    CHECK(fifth.read_until("GET /x").starts_with("HTTP/1.1 200"));
}

TEST_CASE("one peer cannot take every seat") {
    Caps caps;
    caps.connections_per_peer_max = 2;
    TestServer server(caps);
    RawClient one(server.tcp_address), two(server.tcp_address), three(server.tcp_address);
    CHECK(three.read_all().starts_with("HTTP/1.1 503"));
    Client other_door(server.unix_address);
    CHECK(other_door.exchange(asking("GET", "/x")).value().status == 200);
}

TEST_CASE("many clients at once, of every kind, all get their own answers") {
    TestServer server;
    std::vector<std::thread> threads;
    std::atomic<u64> right = 0;
    for (u64 i = 0; i < 8; ++i) {
        threads.emplace_back([&server, &right, i] {
            Choices choices = Choices::from_seed(i);
            Client client(i % 2 == 0 ? server.tcp_address : server.unix_address);
            for (int round = 0; round < 40; ++round) {
                const std::string mark = std::to_string(i) + "." + std::to_string(round);
                bool good = false;
                switch (choices.below(4)) {
                    case 0:
                        good = client.exchange(asking("POST", "/echo", mark)).value().body == mark;
                        break;
                    case 1:
                        good = client.exchange(asking("POST", "/later", mark)).value().body == "later " + mark;
                        break;
                    case 2:
                        good = client.exchange(asking("GET", "/stream")).value().body.size() == 990;
                        break;
                    default: {
                        const u64 size = choices.below(300'000);
                        good = downloaded(client, "/bytes?size=" + std::to_string(size)).size() == size;
                    }
                }
                if (good) right.fetch_add(1);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(right.load() == 320);
}

TEST_CASE("stopping lets a running request end, ends idle connections, and outlives late answers") {
    TestServer server;
    RawClient idle(server.tcp_address), busy(server.tcp_address);
    idle.send(raw_get(server, "/x"));
    CHECK(idle.read_until("GET /x").starts_with("HTTP/1.1 200"));
    busy.send(raw_get(server, "/wait"));
    const auto held = [&] {
        const std::lock_guard lock(server.handler.held_mutex);
        return server.handler.held.size() == 1;
    };
    REQUIRE(soon(held));
    std::thread stopping([&] { server.server->stop(2000); });
    CHECK(idle.read_all().empty());
    CHECK(idle.ended());
    {
        const std::lock_guard lock(server.handler.held_mutex);
        std::move(server.handler.held[0])(text_reply("just in time"));
        server.handler.held.clear();
    }
    CHECK(busy.read_all().ends_with("just in time"));
    stopping.join();
    RawClient late(server.tcp_address);
    late.send(raw_get(server, "/x"));
    CHECK(late.read_all().empty());
}

TEST_CASE("stopping at once ends a request that nobody answers; its responder may be used afterwards") {
    TestServer server;
    RawClient client(server.unix_address);
    client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    const auto held = [&] {
        const std::lock_guard lock(server.handler.held_mutex);
        return server.handler.held.size() == 1;
    };
    REQUIRE(soon(held));
    server.server.reset();
    CHECK(client.read_all().empty());
    const std::lock_guard lock(server.handler.held_mutex);
    std::move(server.handler.held[0])(text_reply("nobody there"));
    server.handler.held.clear();
}

TEST_CASE("a client that closes at any step of an upload leaves nothing behind") {
    TestServer server;
    const std::string head = "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    for (u64 size = 1; size < head.size() + 100'000; size += size < head.size() ? 13 : 20'011) {
        RawClient client(server.unix_address);
        client.send(head.substr(0, size));
        if (size > head.size()) client.send(std::string(size - head.size(), 'x'));
        client.close();
    }
    CHECK(soon([&] { return server.server->counts().connections == 0; }));
    CHECK(server.handler.sinks_alive.load() == 0);
}
}  // namespace vramd::http::testing
