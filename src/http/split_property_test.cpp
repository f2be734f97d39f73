#include <doctest/doctest.h>

#include "base/choices.hpp"
#include "http/chunked.hpp"
#include "http/head_check.hpp"
#include "http/test_server.hpp"

namespace vramd::http::testing {
namespace {
std::string hex(u64 number) {
    char text[20];
    std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(number));
    return text;
}

/// Some requests as bytes, and the bodies that their replies must have, in order.
struct Conversation {
    std::string bytes;
    std::vector<std::string> answers;
};

std::string chunked_body(Choices& choices, std::string_view body) {
    std::string bytes;
    while (!body.empty()) {
        const u64 size = 1 + choices.below(body.size());
        bytes += hex(size) + (choices.one_in(4) ? ";x=\"y\"" : "") + "\r\n" + std::string(body.substr(0, size)) + "\r\n";
        body.remove_prefix(size);
    }
    return bytes + "0\r\n" + (choices.one_in(3) ? "Trailer: x\r\n" : "") + "\r\n";
}

Conversation conversation(Choices& choices) {
    Conversation made;
    for (u64 i = 1 + choices.below(8); i > 0; --i) {
        std::string body;
        for (u64 size = choices.below(200); size > 0; --size) body += "GET\r\n /0:"[choices.below(10)];
        const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\n";
        if (choices.one_in(3)) {
            made.bytes += "GET /p" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
            body = "GET /p" + std::to_string(i) + "|p" + std::to_string(i);
        } else if (choices.one_in(2)) {
            made.bytes += head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
        } else {
            made.bytes += head + "Transfer-Encoding: chunked\r\n\r\n" + chunked_body(choices, body);
        }
        made.answers.push_back(body);
    }
    return made;
}

/// The bodies of replies with Content-Length.
std::vector<std::string> bodies_of(std::string_view all) {
    std::vector<std::string> bodies;
    for (;;) {
        const std::size_t end = all.find("\r\n\r\n");
        if (end == std::string_view::npos) return bodies;
        const std::string_view head = all.substr(0, end);
        const std::size_t at = head.find("Content-Length: ");
        if (at == std::string_view::npos) return bodies;
        const u64 size = std::strtoull(std::string(head.substr(at + 16, 20)).c_str(), nullptr, 10);
        bodies.emplace_back(all.substr(end + 4, size));
        all.remove_prefix(end + 4 + size);
    }
}
}  // namespace

TEST_CASE("however the network cuts a conversation, every request gets its own answer") {
    TestServer server;
    for (u64 seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        const Conversation made = conversation(choices);
        RawClient client(server.unix_address);
        std::string_view rest = made.bytes;
        while (!rest.empty()) {
            const u64 size = 1 + choices.below(std::min<u64>(rest.size(), choices.one_in(2) ? 3 : 400));
            client.send(rest.substr(0, size));
            rest.remove_prefix(size);
        }
        client.end_sending();
        CHECK(bodies_of(client.read_all()) == made.answers);
    }
}

TEST_CASE("chunks decode to the same bytes wherever they are cut") {
    for (u64 seed = 1; seed <= 50; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        std::string body;
        for (u64 size = choices.below(60); size > 0; --size) body += "0\r\nab"[choices.below(5)];
        const std::string bytes = chunked_body(choices, body) + "after";
        ChunkDecoder decoder;
        std::string got;
        u64 used = 0;
        for (u64 end = 0; !decoder.done() && end <= bytes.size();) {
            end = std::min<u64>(bytes.size(), end + 1 + choices.below(5));
            while (used < end && !decoder.done()) {
                const Result<u64> taken = decoder.feed(std::string_view(bytes).substr(used, end - used));
                REQUIRE(taken.has_value());
                used += *taken;
                const u64 data = std::min(decoder.data_left_bytes(), end - used);
                if (data == 0) continue;
                got += bytes.substr(used, data);
                decoder.take(data);
                used += data;
            }
        }
        CHECK(decoder.done());
        CHECK(got == body);
        CHECK(bytes.substr(used) == "after");
    }
}

TEST_CASE("a head's end is found at the same place however it comes, and no byte string makes the checks misbehave") {
    const std::string head = "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    for (std::size_t step = 1; step < head.size(); ++step) {
        HeadScanner scanner(Caps{});
        for (std::size_t size = step;; size += step) {
            const Result<u64> end = scanner.scan(std::string_view(head + "body").substr(0, size));
            REQUIRE(end.has_value());
            if (*end == 0) continue;
            CHECK(*end == head.size());
            break;
        }
    }
    for (u64 seed = 1; seed <= 3000; ++seed) {  // Broken heads: anything but a crash or a wrong acceptance.
        Choices choices = Choices::from_seed(seed);
        std::string broken = head;
        for (u64 i = 1 + choices.below(4); i > 0; --i) broken[choices.below(broken.size())] = static_cast<char>(choices.below(256));
        HeadScanner scanner(Caps{});
        const Result<u64> end = scanner.scan(broken);
        if (!end || *end == 0 || !check_lines(std::string_view(broken).substr(0, *end))) continue;
        auto raw = parse_head(std::string_view(broken).substr(0, *end));
        if (!raw) continue;
        const auto checked = check_head(*std::move(raw), HostPolicy{Door::unix_socket, 0, {}}, Peer{});
        if (checked) CHECK(checked->head.path.starts_with('/'));
    }
}
}  // namespace vramd::http::testing
