#include "api/etag.hpp"

#include <doctest/doctest.h>

using namespace vramd;
using namespace vramd::api;

namespace {
http::RequestHead with(std::string name, std::string value) {
    http::RequestHead head;
    head.headers.add(std::move(name), std::move(value));
    return head;
}
}  // namespace

TEST_CASE("a write with the tag that was read goes through, one with an older tag or a weak one is refused and names the present tag") {
    CHECK(check_if_match({}, etag_of(7)).has_value());
    for (const char* const tags : {"\"r7\"", "*", "\"r6\", \"r7\"", " \"a,b\" ,\"r7\" "})
        CHECK_MESSAGE(check_if_match(with("If-Match", tags), etag_of(7)), tags);
    for (const char* const tags : {"\"r6\"", "W/\"r7\"", "r7", "", "\"r77\"", "\"r6\",W/\"r7\"", "\"r7"}) {
        const auto checked = check_if_match(with("If-Match", tags), etag_of(7));
        REQUIRE_MESSAGE(!checked.has_value(), tags);
        CHECK(checked.error().code == Code::precondition_failed);
        CHECK(checked.error().detail.find("\"r7\"") != std::string::npos);
    }
}

TEST_CASE("a reader that has this version already is told so, by a weak tag too") {
    CHECK(matches_none({}, etag_of(7)));
    CHECK(matches_none(with("If-None-Match", "\"r6\""), etag_of(7)));
    for (const char* const tags : {"\"r7\"", "W/\"r7\"", "*", "\"r1\", W/\"r7\""})
        CHECK_MESSAGE(!matches_none(with("If-None-Match", tags), etag_of(7)), tags);
}

TEST_CASE("the revision comes back from its tag, and from nothing else") {
    for (const u64 revision : {u64{0}, u64{1}, ~u64{0}}) CHECK(if_match_revision(with("If-Match", etag_of(revision))).value() == revision);
    CHECK(!if_match_revision({}).value().has_value());
    CHECK(!if_match_revision(with("If-Match", "*")).value().has_value());
    for (const char* const tag : {"\"r\"", "r7", "\"r-1\"", "\"r7 \"", "\"r18446744073709551616\"", "W/\"r7\"", "\"r1\",\"r2\"", ""})
        CHECK_MESSAGE(!if_match_revision(with("If-Match", tag)).has_value(), tag);
}

TEST_CASE("two bodies have two tags") {
    CHECK(etag_of_body("a") != etag_of_body("b"));
    CHECK(etag_of_body("a") == etag_of_body("a"));
}
