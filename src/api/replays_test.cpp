#include "api/replays.hpp"

#include <doctest/doctest.h>

using namespace vramd;
using namespace vramd::api;

namespace {
http::Reply reply_of(u16 status, std::string body) { return {status, "application/json", {{"Location", "/x"}}, std::move(body), {}}; }
}  // namespace

TEST_CASE("a request that comes again with its key gets the first one's answer") {
    Replays replays;
    CHECK(replays.begin("k", "body").value() == std::nullopt);
    replays.ended("k", reply_of(201, "made"));
    const auto again = replays.begin("k", "body");
    REQUIRE((again.has_value() && again->has_value()));
    CHECK((*again)->status == 201);
    CHECK((*again)->body == "made");
    CHECK((*again)->headers.back().first == "Idempotent-Replayed");
}

TEST_CASE("while the first request runs a second with its key is refused, and with another body always") {
    Replays replays;
    CHECK(replays.begin("k", "body").has_value());
    CHECK(replays.begin("k", "body").error().code == Code::conflict);
    CHECK(replays.begin("k", "other").error().code == Code::invalid_field);
    CHECK(replays.begin("l", "body").has_value());
}

TEST_CASE("a refusal is not remembered: the key is free for the next try") {
    Replays replays;
    for (const u16 status : {u16{400}, u16{409}, u16{503}, u16{507}}) {
        CHECK(replays.begin("k", "body").value() == std::nullopt);
        replays.ended("k", reply_of(status, "no"));
    }
    CHECK(replays.begin("k", "another").value() == std::nullopt);
}

TEST_CASE("the memory is bounded: the oldest answers go, and keys at work are never dropped") {
    Replays replays;
    CHECK(replays.begin("running", "").has_value());
    for (u64 i = 0; i < 2 * replay_entries_max; ++i) {
        const std::string key = std::to_string(i);
        REQUIRE(replays.begin(key, "").has_value());
        replays.ended(key, reply_of(200, key));
    }
    CHECK(replays.begin("0", "").value() == std::nullopt);
    CHECK(replays.begin("running", "").error().code == Code::conflict);
    Replays full;
    for (u64 i = 0; i < replay_entries_max; ++i) REQUIRE(full.begin(std::to_string(i), "").has_value());
    CHECK(full.begin("one more", "").error().code == Code::busy);
}
