#include "api/page.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace vramd;
using namespace vramd::api;

namespace {
constexpr std::string_view html = "<!doctype html>";
constexpr std::string_view script = "const answer = 42;";
constexpr std::string_view packed_script = "packed";

std::array<PageFile, 2> files() {
    return {PageFile{"/", "text/html; charset=utf-8", "aa", std::as_bytes(std::span(html)), {}},
            PageFile{"/assets/index-1f.js", "text/javascript; charset=utf-8", "bb", std::as_bytes(std::span(script)),
                     std::as_bytes(std::span(packed_script))}};
}
http::RequestHead head_for(std::string path, http::Method method = http::Method::get) {
    http::RequestHead head;
    head.method = method;
    head.path = std::move(path);
    return head;
}
std::string header_of(const http::Reply& reply, std::string_view name) {
    for (const auto& [key, value] : reply.headers)
        if (http::equals_without_case(key, name)) return value;
    return {};
}
std::string body_of(http::Reply& reply) {
    if (!reply.source) return reply.body;
    std::string text;
    while (text.size() < reply.source->size_bytes) {
        const auto piece = reply.source->pull(text.size(), 4);  // In small pieces, as a slow socket takes them.
        REQUIRE(piece.has_value());
        text.append(reinterpret_cast<const char*>(piece->data()), piece->size());
    }
    return text;
}
}  // namespace

TEST_CASE("the page comes with a policy that lets it load nothing from elsewhere, and is asked for anew each time") {
    auto reply = page_reply(head_for("/"), files());
    REQUIRE(reply.has_value());
    CHECK(reply->status == 200);
    CHECK(body_of(*reply) == html);
    CHECK(reply->content_type == "text/html; charset=utf-8");
    CHECK(header_of(*reply, "Content-Security-Policy") == page_policy);
    CHECK(page_policy.find("unsafe") == std::string_view::npos);
    CHECK(header_of(*reply, "Cache-Control") == "no-cache");
}

TEST_CASE("a file named by its content is kept for ever, and goes out packed for whoever takes that, under a tag of its own") {
    http::RequestHead head = head_for("/assets/index-1f.js");
    auto plain = page_reply(head, files());
    REQUIRE(plain.has_value());
    CHECK(body_of(*plain) == script);
    CHECK(header_of(*plain, "Cache-Control").find("immutable") != std::string::npos);
    CHECK(header_of(*plain, "Content-Encoding").empty());
    head.headers.add("Accept-Encoding", "gzip");
    auto packed = page_reply(head, files());
    REQUIRE(packed.has_value());
    CHECK(body_of(*packed) == packed_script);
    CHECK(header_of(*packed, "Content-Encoding") == "gzip");
    CHECK(header_of(*packed, "ETag") != header_of(*plain, "ETag"));
}

TEST_CASE("who has a file of the page already gets no second copy of it") {
    http::RequestHead head = head_for("/");
    head.headers.add("If-None-Match", "\"aa\"");
    auto reply = page_reply(head, files());
    REQUIRE(reply.has_value());
    CHECK(reply->status == 304);
    CHECK(body_of(*reply).empty());
}

TEST_CASE("what is no file of the page is left to the routes, and a file of it takes no change") {
    CHECK(!page_reply(head_for("/assets/other.js"), files()).has_value());
    CHECK(!page_reply(head_for("/api/system"), files()).has_value());
    CHECK(!page_reply(head_for("/assets/../assets/index-1f.js"), files()).has_value());
    const auto refused = page_reply(head_for("/", http::Method::put), files());
    REQUIRE(refused.has_value());
    CHECK(refused->status == 405);
    CHECK(header_of(*refused, "Allow") == "GET, HEAD, OPTIONS");
}

TEST_CASE("a vramd that was built without its page says so where the page would be") {
    auto reply = page_reply(head_for("/"), {});
    REQUIRE(reply.has_value());
    CHECK(reply->status == 200);
    CHECK(body_of(*reply).find("-DVRAMD_WEB=OFF") != std::string::npos);
    auto docs = page_reply(head_for("/docs"), {});
    REQUIRE(docs.has_value());
    CHECK(body_of(*docs).find("/openapi.json") != std::string::npos);
    CHECK(!page_reply(head_for("/assets/index-1f.js"), {}).has_value());
}
