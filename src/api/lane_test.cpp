/// One lane of the server with the real engine behind it: what one caller's long request costs the others.
#include <latch>

#include "api/api.hpp"
#include "engine/test_daemon.hpp"
#include "http/test_server.hpp"

using namespace vramd;
using namespace vramd::http::testing;

TEST_CASE("while advice and dry runs are worked out, others on the same lane are answered") {
    constexpr int executor_threads = 4;
    engine::Daemon daemon;
    const auto api = api::Api::make(*daemon.core, {getuid(), {}});
    std::latch held(executor_threads);
    std::latch released(1);
    for (int i = 0; i < executor_threads; ++i)
        daemon.threads->post([&] {
            held.count_down();
            released.wait();
        });
    held.wait();
    TestServer server({}, 1, api.get());
    RawClient advice(server.unix_address);
    advice.send("GET /api/memory/optimization HTTP/1.1\r\nHost: x\r\n\r\n");
    std::vector<std::unique_ptr<RawClient>> tried;
    for (const std::string path : {"operations/defragment", "operations/optimize", "operations/optimize-models"}) {
        tried.push_back(std::make_unique<RawClient>(server.unix_address));
        tried.back()->send("POST /api/memory/" + path +
                           " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"dryRun\":true}");
    }
    http::Client other(server.unix_address);
    http::ClientRequest request;
    request.target = "/api/memory/status";
    const auto answered = other.exchange(std::move(request));
    CHECK(answered.has_value());
    if (answered) CHECK(answered->status == 200);
    CHECK(advice.read_until("\r\n", 0).empty());
    for (const auto& one : tried) CHECK(one->read_until("\r\n", 0).empty());
    released.count_down();
    CHECK(advice.read_until("\r\n").starts_with("HTTP/1.1 200"));
    for (const auto& one : tried) CHECK(one->read_until("\r\n").starts_with("HTTP/1.1 200"));
    server.server->stop(0);
}
