#include <doctest/doctest.h>
#include <sys/eventfd.h>

#include <thread>

#include "http/test_server.hpp"

namespace vramd::http::testing {
TEST_CASE("an address is a URL, host and port, or a socket's path") {
    CHECK(parse_address("http://127.0.0.1:7070").value().port == 7070);
    CHECK(parse_address("http://[::1]:7070/").value().host == "::1");
    CHECK(parse_address("localhost:8").value().host == "localhost");
    CHECK(parse_address("localhost").value().port == 80);
    CHECK(parse_address("unix:/run/vramd/vramd-http.sock").value().socket_path == "/run/vramd/vramd-http.sock");
    CHECK(parse_address("/run/x.sock").value().door == Door::unix_socket);
    for (const std::string_view wrong : {"", "http://", "http://x:y", "http://x:0", "http://x:65536", "x:1/path", "http://[::1"}) {
        CAPTURE(wrong);
        CHECK(!parse_address(wrong).has_value());
    }
}

TEST_CASE("a name becomes one path segment whatever it holds") {
    CHECK(percent_encoded("a/b c\xc3\xa9?~") == "a%2Fb%20c%C3%A9%3F~");
    TestServer server;
    Client client(server.unix_address);
    ClientRequest request;
    request.target = "/m/" + percent_encoded("a/b?#%") + "/tensors";
    CHECK(client.exchange(std::move(request)).value().body == "GET /m/a/b?#%/tensors|m|a/b?#%|tensors");
}

TEST_CASE("nobody at the address, and nobody answering, are told apart") {
    Client none(Address{Door::unix_socket, "/tmp/vramd-there-is-no-such-socket", {}, 0});
    const auto refused = none.exchange({});
    REQUIRE(!refused.has_value());
    CHECK(refused.error().field == "connect");
    CHECK(describe(refused.error()).find("/tmp/vramd-there-is-no-such-socket") != std::string::npos);
    TestServer server;
    Client waiting(server.tcp_address);
    ClientRequest request;
    request.target = "/wait";
    request.wait_ms_max = 50;
    const auto late = waiting.exchange(std::move(request));
    REQUIRE(!late.has_value());
    CHECK(late.error().code == Code::timed_out);
}

TEST_CASE("whoever waits for an answer is let go when its stop descriptor can be read, long before the deadline") {
    TestServer server;
    Client waiting(server.unix_address);
    const Fd stop(eventfd(0, EFD_CLOEXEC));
    const auto ask = [&](const char* target) {
        ClientRequest request;
        request.target = target;
        request.wait_ms_max = 3'600'000;
        request.stop_descriptor = stop.get();
        return waiting.exchange(std::move(request));
    };
    CHECK(ask("/m/a/tensors").value().status == 200);  // While it cannot be read it changes nothing.
    std::thread stopping([&] { eventfd_write(stop.get(), 1); });
    const auto stopped = ask("/wait");
    stopping.join();
    REQUIRE(!stopped.has_value());
    CHECK(stopped.error().code == Code::cancelled);
}

TEST_CASE("a connection that the server closed meanwhile is made again") {
    Caps caps;
    caps.keep_alive_idle_ms_max = 20;
    TestServer server(caps);
    Client client(server.tcp_address);
    CHECK(client.exchange({}).value().status == 200);
    CHECK(soon([&] { return server.server->counts().connections == 0; }));
    CHECK(client.exchange({}).value().status == 200);
}

TEST_CASE("a problem says its code, field, value and limit, and bytes that are not text cannot break it") {
    const Reply reply = problem_reply(Error{Code::invalid_field, "size\"Bytes\n\xff", 5, 4, {}}, "/api/x");
    CHECK(reply.status == 400);
    CHECK(reply.body.find("\"field\":\"size\\\"Bytes\\n\xef\xbf\xbd\"") != std::string::npos);
    CHECK(reply.body.find("\"value\":5,\"limit\":4") != std::string::npos);
    CHECK(reply.body.find("\"instance\":\"/api/x\"") != std::string::npos);
    CHECK(reply.body.find("\"type\":\"/problems/invalid-field\"") != std::string::npos);
}
}  // namespace vramd::http::testing
