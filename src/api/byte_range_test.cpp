#include "api/byte_range.hpp"

#include <doctest/doctest.h>

using namespace vramd;
using namespace vramd::api;

namespace {
/// "3+4" for offset 3 and 4 bytes, "whole", or the refusal's code.
std::string asked(const std::string& header, u64 size_bytes) {
    const auto range = range_from(&header, size_bytes);
    if (!range) return std::string(facts_of(range.error().code).name);
    if (!*range) return "whole";
    return std::to_string((*range)->offset_bytes()) + "+" + std::to_string((*range)->size_bytes());
}
std::string placed(const std::string& header, std::optional<u64> body_bytes, u64 size_bytes) {
    const auto range = content_range_from(&header, body_bytes, size_bytes);
    if (!range) return std::string(facts_of(range.error().code).name);
    return std::to_string(range->offset_bytes()) + "+" + std::to_string(range->size_bytes());
}
}  // namespace

TEST_CASE("one range is read as the RFC says: from, from to, the last so many, cut at the end") {
    CHECK(asked("bytes=0-9", 10) == "0+10");
    CHECK(asked("bytes=0-0", 10) == "0+1");
    CHECK(asked("bytes=9-9", 10) == "9+1");
    CHECK(asked("bytes=3-", 10) == "3+7");
    CHECK(asked("bytes=-4", 10) == "6+4");
    CHECK(asked("bytes=-40", 10) == "0+10");
    CHECK(asked("bytes=5-100", 10) == "5+5");
    CHECK(asked("bytes=5-18446744073709551615", 10) == "5+5");
    CHECK(asked("bytes=5-99999999999999999999999", 10) == "5+5");
}

TEST_CASE("a range that begins at the end or beyond it is refused") {
    for (const std::string header :
         {"bytes=10-", "bytes=10-11", "bytes=18446744073709551615-18446744073709551615", "bytes=-0", "bytes=99999999999999999999-"})
        CHECK_MESSAGE(asked(header, 10) == "out-of-range", header);
}

TEST_CASE("what is no single range of bytes answers the whole") {
    for (const std::string header : {"bytes=", "bytes=-", "bytes=a-b", "bytes=2-1", "bytes=0-1,3-4", "items=0-1", "bytes 0-1", "bytes=+1-2",
                                     "bytes= 1-2", "bytes=1-2x"})
        CHECK_MESSAGE(asked(header, 10) == "whole", header);
    CHECK(range_from(nullptr, 10).value() == std::nullopt);
}

TEST_CASE("a body goes where Content-Range says, if it agrees with the body and with the size") {
    CHECK(placed("bytes 2-5/10", 4, 10) == "2+4");
    CHECK(placed("bytes 2-5/*", 4, 10) == "2+4");
    CHECK(placed("bytes 2-5/*", std::nullopt, 10) == "2+4");
    CHECK(placed("bytes 9-9/10", 1, 10) == "9+1");
    CHECK(placed("bytes 9-10/*", 2, 10) == "out-of-range");
    CHECK(placed("bytes 10-10/*", 1, 10) == "out-of-range");
    CHECK(placed("bytes 2-5/11", 4, 10) == "invalid-field");
    CHECK(placed("bytes 2-5/10", 5, 10) == "invalid-field");
    for (const std::string header :
         {"", "bytes", "bytes 5-2/10", "bytes */10", "bytes=2-5/10", "bytes 2-5", "bytes a-5/10", "bytes 0-18446744073709551615/*"})
        CHECK_MESSAGE(placed(header, 4, 10) == "invalid-field", header);
}

TEST_CASE("without Content-Range a body goes to the start, and one that is too long is refused before a byte is written") {
    CHECK(content_range_from(nullptr, 4, 10).value() == Range::within(10, 0, 4).value());
    CHECK(content_range_from(nullptr, 10, 10).has_value());
    CHECK(content_range_from(nullptr, 11, 10).error().code == Code::out_of_range);
    CHECK(content_range_from(nullptr, std::nullopt, 10).value().size_bytes() == 10);
}
