/// What a stop does to connections that have just come.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "http/test_server.hpp"

using namespace vramd;
using namespace vramd::http;
using namespace vramd::http::testing;

namespace {
/// Listens on a Unix socket; the descriptor outlives the servers, as the keeper's does.
struct Listening {
    Listening() {
        char name[] = "/tmp/vramd-stop-XXXXXX";
        folder = mkdtemp(name);
        address = {Door::unix_socket, folder + "/s", {}, 0};
        sockaddr_un bound{};
        bound.sun_family = AF_UNIX;
        std::copy(address.socket_path.begin(), address.socket_path.end(), bound.sun_path);
        socket = Fd(::socket(AF_UNIX, SOCK_STREAM, 0));
        REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&bound), sizeof bound) == 0);
        REQUIRE(listen(socket.get(), 64) == 0);
    }
    ~Listening() {
        unlink(address.socket_path.c_str());
        rmdir(folder.c_str());
    }
    std::string folder;
    Address address;
    Fd socket;
};

struct GreetingHandler final : Handler {
    Routing route(const RequestHead&) override { return text_reply("served"); }
};
}  // namespace

TEST_CASE("who has sent a request before a stop is served by it, or waits for the next server: never cut off") {
    Listening listening;
    GreetingHandler handler;
    int served = 0, waiting = 0;
    for (int round = 0; round < 150; ++round) {
        Options options;
        options.threads = 3;
        options.listeners.push_back({*listening.socket.duplicate(), Door::unix_socket});
        const auto server = Server::start(std::move(options), handler).value();
        std::vector<std::unique_ptr<RawClient>> clients;
        for (int i = 0; i < 8; ++i) {
            clients.push_back(std::make_unique<RawClient>(listening.address));
            clients.back()->send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        while (server->counts().connections < static_cast<u64>(round % 9)) std::this_thread::yield();  // Accepted, and no more than that.
        server->stop(2000);
        for (const auto& client : clients) {
            pollfd state{client->descriptor(), POLLIN, 0};
            if (poll(&state, 1, 0) == 0) {
                ++waiting;
                continue;
            }
            CHECK(client->read_all().ends_with("served"));
            ++served;
        }
        // What waits is the next server's, here the end's.
        Options rest;
        rest.listeners.push_back({*listening.socket.duplicate(), Door::unix_socket});
        const auto next = Server::start(std::move(rest), handler).value();
        for (const auto& client : clients)
            if (pollfd state{client->descriptor(), POLLIN, 0}; poll(&state, 1, 0) == 0)
                CHECK(client->read_until("served").ends_with("served"));
        next->stop(2000);
    }
    CHECK(served > 0);
    CHECK(waiting > 0);
}
