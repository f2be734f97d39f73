/// Streams whose pusher waits for the reader.
#include <doctest/doctest.h>

#include "http/test_server.hpp"

using namespace vramd;
using namespace vramd::http;
using namespace vramd::http::testing;

TEST_CASE(
    "who pushes only when the piece before is out needs room for one piece, however slowly it is read, and hears of the reader's end") {
    TestServer server;
    {
        Client client(server.unix_address);
        ClientRequest request;
        request.target = "/paced";
        u64 bytes = 0;
        request.download = [&bytes](std::span<const std::byte> piece) -> Result<void> {
            if (bytes % 5 == 0) std::this_thread::yield();
            bytes += piece.size();
            return {};
        };
        CHECK(client.exchange(std::move(request)).value().status == 200);
        CHECK(bytes == 4 * mib);
    }
    CHECK(server.server->counts().dropped_readers == 0);
    {
        RawClient client(server.unix_address);
        client.send("GET /paced HTTP/1.1\r\nHost: x\r\n\r\n");
        CHECK(!client.read_until("aaaa").empty());
    }
    CHECK(soon([&] { return server.handler.pushes_refused.load() == 1; }));
}
