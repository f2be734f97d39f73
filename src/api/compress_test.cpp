#include "api/compress.hpp"

#include <doctest/doctest.h>
#include <zlib.h>

using namespace vramd;
using namespace vramd::api;

namespace {
http::RequestHead accepting(const char* encodings) {
    http::RequestHead head;
    head.headers.add("Accept-Encoding", encodings);
    return head;
}
std::string unpacked(const std::string& body, std::size_t size) {
    std::string out(size + 1, '\0');
    z_stream stream{};
    REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
    stream.avail_in = static_cast<uInt>(body.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    inflateEnd(&stream);
    return out;
}
std::string text_of(std::size_t bytes) {
    std::string text;
    for (u64 i = 0; text.size() < bytes; ++i) text += "{\"sizeBytes\":" + std::to_string(i * i) + "},";
    text.resize(bytes);
    return text;
}
}  // namespace

TEST_CASE("gzip is taken where it is named with a weight, or a star stands for it") {
    for (const char* const takes : {"gzip", "GZIP", "x-gzip", "deflate, gzip;q=0.1", "*", "gzip, *;q=0"})
        CHECK_MESSAGE(takes_gzip(accepting(takes)), takes);
    for (const char* const not_ : {"", "identity", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *"})
        CHECK_MESSAGE(!takes_gzip(accepting(not_)), not_);
    CHECK(!takes_gzip({}));
}

TEST_CASE("texts from a KiB on are packed and come back the same; small ones, bytes, and what has a version are left") {
    for (const std::size_t size : {packed_bytes_min, std::size_t{5000}, std::size_t{mib}}) {
        const std::string text = text_of(size);
        http::Reply reply{200, "application/json", {}, text, {}};
        pack(reply);
        CHECK(reply.body.size() < size);
        CHECK(unpacked(reply.body, size) == text);
        CHECK(reply.headers == std::vector<http::Field>{{"Content-Encoding", "gzip"}, {"Vary", "Accept-Encoding"}});
    }
    const auto stays = [](http::Reply reply) {
        const std::string before = reply.body;
        pack(reply);
        return reply.body == before;
    };
    CHECK(stays({200, "application/json", {}, text_of(packed_bytes_min - 1), {}}));
    CHECK(stays({200, "application/octet-stream", {}, text_of(5000), {}}));
    CHECK(stays({200, "application/json", {{"ETag", "\"r7\""}}, text_of(5000), {}}));
    CHECK(!stays({200, "application/json", {{"ETag", "\"abc\""}}, text_of(5000), {}}));
}
