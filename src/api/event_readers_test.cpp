/// What readers of events cost who never read: a real server, real sockets, and the heap counted.
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();  // GCC 12 has it in its library and no header for it.
#else
#include <malloc.h>
#endif

#include "api/api.hpp"
#include "api/event_streams.hpp"
#include "engine/test_daemon.hpp"
#include "http/test_server.hpp"

using namespace vramd;
using namespace vramd::http::testing;

namespace {
u64 heap_bytes() {
#if defined(__SANITIZE_ADDRESS__)
    return __sanitizer_get_current_allocated_bytes();
#else
    const auto heap = mallinfo2();
    return heap.uordblks + heap.hblkhd;
#endif
}
/// More than a socket takes by itself.
void record_much(engine::Daemon& daemon) {
    for (int i = 0; i < 1'500; ++i) {
        const auto made = daemon.allocate("anna", 4096);
        REQUIRE(made.has_value());
        REQUIRE(daemon.free("anna", made->record.id).has_value());
    }
}
}  // namespace

TEST_CASE("a reader of events that never reads costs one piece and its connection") {
    constexpr std::size_t readers = 100;
    constexpr u64 connection_bytes = 12 * kib;
    engine::Daemon daemon;
    record_much(daemon);
    const auto api = api::Api::make(*daemon.core, {getuid(), {}});
    TestServer server({}, 2, api.get());
    const auto read_all = [&] {
        http::Client client(server.unix_address);
        http::ClientRequest request;
        request.target = "/api/events?from=1&follow=false";
        return client.exchange(std::move(request)).value().body.size();
    };
    REQUIRE(read_all() > 400 * kib);  // From here on the events are written out, which all readers share.
    std::vector<std::unique_ptr<RawClient>> clients;
    for (std::size_t i = 0; i < readers; ++i) clients.push_back(std::make_unique<RawClient>(server.unix_address));
    const u64 before = heap_bytes();
    for (auto& client : clients) {
        client->send("GET /api/events?from=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        CHECK(!client->read_until("\r\n\r\n").empty());
    }
    (void)read_all();  // Whoever came before it has had as many turns as a socket takes pieces.
    const u64 each = (heap_bytes() - before) / readers;
    CAPTURE(each);
    CHECK(each < api::EventStreams::piece_bytes + connection_bytes);
    clients.clear();
    server.server->stop(0);
}
