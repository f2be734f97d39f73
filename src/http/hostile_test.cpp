#include <doctest/doctest.h>

#include "http/head_check.hpp"
#include "http/test_server.hpp"

namespace vramd::http::testing {
namespace {
/// What is sent, and the status of the only reply; each must also end the connection. "@PORT@" becomes the listener's port.
struct Vector {
    std::string name;
    std::string bytes;
    int status;
};

std::string request(std::string_view line, std::string_view headers, std::string_view body = {}) {
    return std::string(line) + "\r\nHost: localhost:@PORT@\r\n" + std::string(headers) + "\r\n" + std::string(body);
}
std::string get(std::string_view target) { return request("GET " + std::string(target) + " HTTP/1.1", ""); }
std::string post(std::string_view headers, std::string_view body = {}) { return request("POST /echo HTTP/1.1", headers, body); }
std::string chunked(std::string_view body) { return post("Transfer-Encoding: chunked\r\n", body); }
std::string with_host(std::string_view host) { return "GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n"; }
std::string with_nul() { return request("GET / HTTP/1.1", std::string("X: a") + '\0' + "b\r\n"); }
std::string many_headers(int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += "X" + std::to_string(i) + ": 1\r\n";
    return request("GET / HTTP/1.1", all);
}

const std::vector<Vector> vectors = {
    // Lines
    {"a bare line feed after the request line", "GET / HTTP/1.1\nHost: localhost:@PORT@\r\n\r\n", 400},
    {"bare line feeds only", "GET / HTTP/1.1\nHost: localhost:@PORT@\n\n", 400},
    {"a bare line feed after a header", "GET / HTTP/1.1\r\nHost: localhost:@PORT@\nX: 1\r\n\r\n", 400},
    {"a carriage return inside a header", request("GET / HTTP/1.1", "X: a\rb\r\n"), 400},
    {"a folded header", request("GET / HTTP/1.1", "X: a\r\n b\r\n"), 400},
    {"a header folded by a tab", request("GET / HTTP/1.1", "X: a\r\n\tb\r\n"), 400},
    {"a header line that begins with a space", "GET / HTTP/1.1\r\n Host: localhost:@PORT@\r\n\r\n", 400},
    {"NUL in a header", with_nul(), 400},
    {"an escape character in a header", request("GET / HTTP/1.1", "X: \x1b[31m\r\n"), 400},
    {"a space before the colon", request("GET / HTTP/1.1", "X : 1\r\n"), 400},
    {"a header without a colon", request("GET / HTTP/1.1", "X\r\n"), 400},
    {"a header without a name", request("GET / HTTP/1.1", ": 1\r\n"), 400},
    {"a header name with a slash", request("GET / HTTP/1.1", "X/Y: 1\r\n"), 400},
    {"two blank lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: localhost:@PORT@\r\n\r\n", 400},
    {"no request at all", "hello\r\n\r\n", 400},
    {"TLS", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15), 400},
    {"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
    // The request line
    {"no version", "GET /\r\nHost: localhost:@PORT@\r\n\r\n", 400},
    {"HTTP/0.9", request("GET / HTTP/0.9", ""), 400},
    {"HTTP/1.2", request("GET / HTTP/1.2", ""), 400},
    {"HTTP/3.0", request("GET / HTTP/3.0", ""), 400},
    {"two spaces in the request line", request("GET  / HTTP/1.1", ""), 400},
    {"a tab in the request line", request("GET\t/ HTTP/1.1", ""), 400},
    {"a space in the target", request("GET /a b HTTP/1.1", ""), 400},
    {"a lower-case method", request("get / HTTP/1.1", ""), 501},
    {"TRACE", request("TRACE / HTTP/1.1", ""), 501},
    {"CONNECT", request("CONNECT localhost:80 HTTP/1.1", ""), 501},
    {"a method with a control character", request("G\x01T / HTTP/1.1", ""), 400},
    // Targets
    {"a target without a slash", get("status"), 400},
    {"an asterisk without OPTIONS", get("*"), 400},
    {"a fragment", get("/a#b"), 400},
    {"raw UTF-8 in the target", get("/caf\xc3\xa9"), 400},
    {"a percent sign at the end", get("/a%"), 400},
    {"a percent sign with one digit", get("/a%4"), 400},
    {"a percent sign with no hex digits", get("/a%zz"), 400},
    {"an encoded NUL", get("/a%00b"), 400},
    {"an encoded line feed", get("/a%0ab"), 400},
    {"an encoded NUL in the query", get("/a?b=%00"), 400},
    {"a lone continuation byte", get("/a%80"), 400},
    {"an overlong slash", get("/a%c0%af"), 400},
    {"an overlong NUL of three bytes", get("/a%e0%80%80"), 400},
    {"a surrogate", get("/a%ed%a0%80"), 400},
    {"beyond U+10FFFF", get("/a%f4%90%80%80"), 400},
    {"a cut sequence in the query", get("/a?b=%e2%82"), 400},
    {"an absolute target of another host", get("http://evil.example/"), 400},
    {"an absolute target without a path", get("http://localhost"), 400},
    // Host and Origin
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"no Host under 1.0", "GET / HTTP/1.0\r\n\r\n", 400},
    {"two Hosts", request("GET / HTTP/1.1", "Host: localhost:@PORT@\r\n"), 400},
    {"an empty Host", with_host(""), 400},
    {"a Host with a path", with_host("localhost:@PORT@/x"), 400},
    {"a Host with a user", with_host("user@localhost:@PORT@"), 400},
    {"a Host whose port is no number", with_host("localhost:x"), 400},
    {"a rebound name", with_host("evil.example:@PORT@"), 403},
    {"a name that begins like ours", with_host("localhost.evil.example:@PORT@"), 403},
    {"our name on another port", with_host("localhost:1"), 403},
    {"our name without its port", with_host("localhost"), 403},
    {"a short form of the loopback", with_host("127.1:@PORT@"), 403},
    {"the loopback as one number", with_host("2130706433:@PORT@"), 403},
    {"the unspecified address", with_host("0.0.0.0:@PORT@"), 403},
    {"a foreign origin", request("GET / HTTP/1.1", "Origin: http://evil.example\r\n"), 403},
    {"the null origin", request("GET / HTTP/1.1", "Origin: null\r\n"), 403},
    {"our host's origin on another port", request("GET / HTTP/1.1", "Origin: http://localhost:1\r\n"), 403},
    {"an https origin", request("GET / HTTP/1.1", "Origin: https://localhost:@PORT@\r\n"), 403},
    {"a picture of another site's page", request("GET / HTTP/1.1", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"), 403},
    {"two tokens", request("GET / HTTP/1.1", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400},
    {"two types", post("Content-Type: application/json\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n", "{}"), 400},
    {"two origins", request("GET / HTTP/1.1", "Origin: http://localhost:@PORT@\r\nOrigin: http://localhost:@PORT@\r\n"), 400},
    // Framing
    {"Content-Length and Transfer-Encoding", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
    {"Transfer-Encoding and Content-Length", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"), 400},
    {"two different lengths", post("Content-Length: 4\r\nContent-Length: 5\r\n", "aaaaa"), 400},
    {"two equal lengths", post("Content-Length: 4\r\nContent-Length: 4\r\n", "aaaa"), 400},
    {"a list of lengths", post("Content-Length: 4, 4\r\n", "aaaa"), 400},
    {"a length with a sign", post("Content-Length: +4\r\n", "aaaa"), 400},
    {"a negative length", post("Content-Length: -1\r\n", ""), 400},
    {"a hexadecimal length", post("Content-Length: 0x4\r\n", "aaaa"), 400},
    {"an empty length", post("Content-Length: \r\n", ""), 400},
    {"a length beyond 64 bits", post("Content-Length: 18446744073709551617\r\n", "a"), 400},
    {"a length of 2^63", post("Content-Length: 9223372036854775808\r\n", "a"), 400},
    {"an unknown coding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400},
    {"chunked and identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 400},
    {"gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400},
    {"two codings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
    {"chunked under 1.0", request("POST /echo HTTP/1.0", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
    {"a coding hidden by a vertical tab",
     post("Transfer-Encoding: \x0b"
          "chunked\r\n",
          "0\r\n\r\n"),
     400},
    {"an unknown expectation", post("Expect: 200-ok\r\nContent-Length: 1\r\n", "a"), 400},
    // Chunks
    {"a chunk size with a bare line feed", chunked("4\naaaa\r\n0\r\n\r\n"), 400},
    {"a chunk that ends with a bare line feed", chunked("4\r\naaaa\n0\r\n\r\n"), 400},
    {"a chunk that ends with a bare carriage return", chunked("4\r\naaaa\rX0\r\n\r\n"), 400},
    {"a chunk longer than it says", chunked("4\r\naaaaa\r\n0\r\n\r\n"), 400},
    {"a chunk size that is no number", chunked("zz\r\naaaa\r\n0\r\n\r\n"), 400},
    {"a chunk size with 0x", chunked("0x4\r\naaaa\r\n0\r\n\r\n"), 400},
    {"a negative chunk size", chunked("-1\r\naaaa\r\n0\r\n\r\n"), 400},
    {"a missing chunk size", chunked("\r\naaaa\r\n0\r\n\r\n"), 400},
    {"a chunk size of 17 digits", chunked("00000000000000004\r\naaaa\r\n0\r\n\r\n"), 400},
    {"a chunk size that overflows", chunked("ffffffffffffffff\r\na"), 400},
    {"a chunk size of 2^63", chunked("8000000000000000\r\na"), 400},
    {"a chunk extension with a bare line feed", chunked("4;a=b\naaaa\r\n0\r\n\r\n"), 400},
    {"chunk extensions without end", chunked("1;" + std::string(9000, 'x') + "\r\na\r\n0\r\n\r\n"), 400},
    {"a trailer without a colon", chunked("0\r\nGET / HTTP/1.1\r\n\r\n"), 400},
    {"a trailer with a space before its colon", chunked("0\r\nX : a\r\n\r\n"), 400},
    {"trailers without end", chunked("0\r\nX: " + std::string(9000, 'x') + "\r\n\r\n"), 400},
    {"a folded trailer", chunked("0\r\nX: a\r\n b\r\n\r\n"), 400},
    // Sizes
    {"a request line of 9 KiB", get("/" + std::string(9 * kib, 'a')), 431},
    {"a request line without end", "GET /" + std::string(9 * kib, 'a'), 431},
    {"a head of 40 KiB", request("GET / HTTP/1.1", "X: " + std::string(40 * kib, 'a') + "\r\n"), 431},
    {"65 headers", many_headers(64), 431},
    {"1,000 headers", many_headers(1000), 431},
    {"a body one byte over the limit", post("Content-Length: 1048577\r\n", std::string(mib + 1, 'a')), 413},
    {"a body said to be endless", post("Content-Length: 9223372036854775807\r\n", std::string(100'000, 'a')), 413},
    {"chunks over the limit", chunked("fffff\r\n" + std::string(0xfffff, 'a') + "\r\n2\r\naa\r\n0\r\n\r\n"), 413},
};

std::string filled_in(std::string bytes, u16 port) {
    const std::string mark = "@PORT@";
    for (std::size_t at = bytes.find(mark); at != std::string::npos; at = bytes.find(mark))
        bytes.replace(at, mark.size(), std::to_string(port));
    return bytes;
}

std::size_t replies_in(std::string_view all) {
    std::size_t count = 0;
    for (std::size_t at = all.find("HTTP/1.1 "); at != std::string_view::npos; at = all.find("HTTP/1.1 ", at + 1)) ++count;
    return count;
}
}  // namespace

TEST_CASE("every hostile request gets one refusal, and what follows it is never read as a request") {
    REQUIRE(vectors.size() >= 100);
    Caps caps;
    caps.drain_ms_max = 200;
    TestServer server(caps);
    for (const Vector& vector : vectors) {
        CAPTURE(vector.name);
        RawClient client(server.tcp_address);
        const u64 smuggled_before = server.handler.routed.load();
        client.send(filled_in(vector.bytes + "GET /smuggled HTTP/1.1\r\nHost: localhost:@PORT@\r\n\r\n", server.tcp_address.port));
        client.end_sending();
        const std::string all = client.read_all();
        CHECK(client.ended());
        CHECK(!client.reset());
        CHECK(replies_in(all) == 1);
        CHECK(all.substr(0, 12) == "HTTP/1.1 " + std::to_string(vector.status));
        CHECK(all.find("application/problem+json") != std::string::npos);
        CHECK(all.find("/smuggled") == std::string::npos);
        CHECK(server.handler.routed.load() - smuggled_before <= 1);
    }
    Client healthy(server.tcp_address);
    CHECK(healthy.exchange({}).value().status == 200);
}

TEST_CASE("every prefix of a hostile request, cut by the client, leaves the server healthy") {
    TestServer server;
    for (std::size_t i = 0; i < vectors.size(); i += 7) {
        const std::string bytes = filled_in(vectors[i].bytes, server.tcp_address.port);
        for (std::size_t size = 0; size < std::min<std::size_t>(bytes.size(), 120); size += 11) {
            RawClient client(server.tcp_address);
            client.send(std::string_view(bytes).substr(0, size));
            client.close();
        }
    }
    Client healthy(server.unix_address);
    CHECK(healthy.exchange({}).value().status == 200);
    CHECK(soon([&] { return server.server->counts().connections == 1; }));
}

TEST_CASE("requests that look odd but are right are served") {
    TestServer server;
    const auto answer = [&](std::string bytes) {
        RawClient client(server.tcp_address);
        client.send(filled_in(std::move(bytes), server.tcp_address.port));
        client.end_sending();
        return client.read_all();
    };
    CHECK(answer(get("/a%20b%2Fc/%C3%A9?x=1+2&y=%26&z")).find("GET /a b/c/\xc3\xa9|a b/c|\xc3\xa9?x=1 2?y=&?z=") != std::string::npos);
    CHECK(answer("\r\n" + get("/one")).find("GET /one") != std::string::npos);
    CHECK(answer(get("http://localhost:@PORT@/abs")).find("GET /abs") != std::string::npos);
    CHECK(answer(with_host("[::1]:@PORT@")).starts_with("HTTP/1.1 200"));
    CHECK(answer(with_host("127.0.0.2:@PORT@")).starts_with("HTTP/1.1 200"));
    CHECK(answer(with_host("LOCALHOST:@PORT@")).starts_with("HTTP/1.1 200"));
    CHECK(answer(request("GET / HTTP/1.1", "Origin: http://127.0.0.1:@PORT@\r\n")).starts_with("HTTP/1.1 200"));
    CHECK(answer(request("GET / HTTP/1.0", "")).find("Connection: close") != std::string::npos);
    CHECK(answer(many_headers(63)).starts_with("HTTP/1.1 200"));
    CHECK(answer(chunked("4;a=\"b\"\r\nabcd\r\n003\r\nefg\r\n0\r\nX: y\r\n\r\n")).ends_with("abcdefg"));
    CHECK(answer(post("Content-Length: 0\r\n")).starts_with("HTTP/1.1 200"));
    CHECK(answer(post("Content-Length: 1048576\r\n", std::string(mib, 'b'))).ends_with(std::string(100, 'b')));
}

TEST_CASE("from another machine a server is called by any of its names, and its own page's requests are taken") {
    const HostPolicy policy{Door::tcp, 7070, {}};
    const auto code_of = [&](std::string_view from, std::string_view host, std::string_view more) {
        auto raw = parse_head("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n" + std::string(more) + "\r\n");
        REQUIRE(raw.has_value());
        const auto checked = check_head(*std::move(raw), policy, Peer{Door::tcp, 0, 0, std::string(from)});
        return checked ? std::string("taken") : std::string(facts_of(checked.error().code).name);
    };
    for (const std::string_view far : {"192.0.2.9:5000", "[2001:db8::9]:5000"}) {
        CHECK(code_of(far, "192.0.2.2:7070", {}) == "taken");
        CHECK(code_of(far, "box.example:80", {}) == "taken");
        CHECK(code_of(far, "box.example:7070", "Origin: http://box.example:7070\r\n") == "taken");
        CHECK(code_of(far, "box.example:7070", "Origin: http://elsewhere.example\r\n") == "forbidden");
        CHECK(code_of(far, "box.example:7070", "Origin: null\r\n") == "forbidden");
        CHECK(code_of(far, "box/x", {}) == "malformed-request");
    }
    CHECK(code_of("127.0.0.1:5000", "box.example:7070", {}) == "forbidden");
    CHECK(code_of("[::1]:5000", "box.example:7070", "Origin: http://box.example:7070\r\n") == "forbidden");
}

TEST_CASE("over the Unix socket any Host is taken, for only local processes reach it") {
    TestServer server;
    for (const std::string_view host : {"localhost", "vramd", "", "a.b:80"}) {
        RawClient client(server.unix_address);
        client.send(with_host(host));
        client.end_sending();
        CHECK(client.read_all().starts_with("HTTP/1.1 200"));
    }
    RawClient none(server.unix_address);
    none.send("GET / HTTP/1.1\r\n\r\n");
    CHECK(none.read_until("\r\n\r\n").starts_with("HTTP/1.1 400"));
    RawClient foreign(server.unix_address);
    foreign.send("GET / HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n\r\n");
    CHECK(foreign.read_until("\r\n\r\n").starts_with("HTTP/1.1 403"));
}

TEST_CASE("a refusal of a body that is on its way ends the connection in order, not by a reset") {
    Caps caps;
    caps.drain_ms_max = 200;
    TestServer server(caps);
    RawClient client(server.unix_address);
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + std::string(150'000, 'a'));
    CHECK(client.read_until("too-large").starts_with("HTTP/1.1 413"));
    client.end_sending();
    (void)client.read_all();
    CHECK(client.ended());
    CHECK(!client.reset());
}

TEST_CASE("a head that dribbles in is refused when its time is up") {
    Caps caps;
    caps.head_wait_ms_max = 100;
    caps.drain_ms_max = 50;
    TestServer server(caps);
    RawClient slow(server.tcp_address);
    slow.send("GET / HTTP/1.1\r\nHo");
    CHECK(slow.read_all().starts_with("HTTP/1.1 400"));
    CHECK(slow.ended());
    RawClient silent(server.tcp_address);
    CHECK(silent.read_all().empty());
    CHECK(silent.ended());
}

TEST_CASE("a body that stops coming is refused, and a client that never reads is let go") {
    Caps caps;
    caps.body_idle_ms_max = 100;
    caps.drain_ms_max = 50;
    TestServer server(caps);
    RawClient stalled(server.tcp_address);
    stalled.send(filled_in(post("Content-Length: 10\r\n", "abc"), server.tcp_address.port));
    CHECK(stalled.read_all().starts_with("HTTP/1.1 400"));
    RawClient unread(server.tcp_address);
    unread.send(filled_in(get("/bytes"), server.tcp_address.port));
    CHECK(soon([&] { return server.handler.routed.load() == 2; }));
    CHECK(soon([&] { return server.server->counts().connections == 0; }));
}

TEST_CASE("an idle connection is closed when its time is up") {
    Caps caps;
    caps.keep_alive_idle_ms_max = 60;
    TestServer server(caps);
    RawClient client(server.tcp_address);
    client.send(filled_in(get("/"), server.tcp_address.port));
    const std::string all = client.read_all();
    CHECK(all.starts_with("HTTP/1.1 200"));
    CHECK(client.ended());
}

TEST_CASE("a header that a handler copies from a request cannot start another one") {
    struct CopyingHandler final : Handler {
        Routing route(const RequestHead&) override {
            Reply reply = text_reply("ok");
            reply.headers.emplace_back("Location", "/x\r\nSet-Cookie: a=b");
            return reply;
        }
    } handler;
    Fd listening(::socket(AF_INET, SOCK_STREAM, 0));
    REQUIRE(listen(listening.get(), 8) == 0);
    sockaddr_in bound{};
    socklen_t size = sizeof bound;
    REQUIRE(getsockname(listening.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0);
    Options options;
    options.listeners.push_back({std::move(listening), Door::tcp});
    const auto server = Server::start(std::move(options), handler).value();
    Client client(Address{Door::tcp, {}, "127.0.0.1", ntohs(bound.sin_port)});
    const ClientReply reply = client.exchange({}).value();
    CHECK(reply.headers.find("Set-Cookie") == nullptr);
    CHECK(*reply.headers.find("Location") == "/xSet-Cookie: a=b");
}

TEST_CASE("a client that leaves behind more requests than are read ahead is noticed too") {
    TestServer server;
    RawClient client(server.tcp_address);
    client.send("GET /wait HTTP/1.1\r\nHost: localhost:" + std::to_string(server.tcp_address.port) + "\r\n\r\n");
    REQUIRE(soon([&] { return server.handler.routed.load() == 1; }));
    client.send(std::string(40 * kib, 'x'));
    CHECK(server.handler.gone_told.load() == 0);
    client.end_sending();
    CHECK(soon([&] { return server.handler.gone_told.load() == 1; }));
    CHECK(server.handler.routed.load() == 1);
    const std::lock_guard lock(server.handler.held_mutex);
    server.handler.held.clear();
}
}  // namespace vramd::http::testing
