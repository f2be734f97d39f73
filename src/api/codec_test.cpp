#include "api/codec.hpp"

#include <doctest/doctest.h>

#include "api/arbitrary.hpp"
#include "api/codec_text.hpp"
#include "api/resources_parts.hpp"

using namespace vramd;
using namespace vramd::api;

namespace vramd::api {
namespace {
struct Inner {
    u64 count = 0;
    std::string label;
};
BOOST_DESCRIBE_STRUCT(Inner, (), (count, label))

struct Sample {
    u64 size_bytes = 0;
    std::optional<std::string> owner;
    bool persistent = true;
    Priority priority = Priority::normal;
    Percentage usage_percentage;
    Milliseconds wait_ms;
    Time created_at;
    u32 alignment = 256;
    std::vector<Inner> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(Sample, (),
                      (size_bytes, owner, persistent, priority, usage_percentage, wait_ms, created_at, alignment, items, next_cursor))
}  // namespace

template <>
inline constexpr auto description<Inner> = describe("Inner", "A part.",
                                                    {Field{.member = "count", .tells = "How many.", .max = 10},
                                                     Field{.member = "label", .tells = "Its name.", .min = 1, .max = 8}});
template <>
inline constexpr auto description<Sample> = describe(
    "Sample", "A sample.",
    {Field{.member = "size_bytes", .tells = "Size.", .unit = "bytes", .min = 1},
     Field{.member = "owner", .tells = "Owner.", .max = 64, .presence = Presence::optional},
     Field{.member = "persistent", .tells = "Stays.", .presence = Presence::optional},
     Field{.member = "priority", .tells = "Urgency.", .presence = Presence::optional},
     Field{.member = "usage_percentage", .tells = "Usage.", .presence = Presence::optional},
     Field{.member = "wait_ms", .tells = "Wait.", .presence = Presence::optional},
     Field{.member = "created_at", .tells = "When.", .presence = Presence::optional},
     Field{.member = "alignment", .tells = "Alignment.", .min = 1, .max = gib, .presence = Presence::optional, .rule = Rule::power_of_two},
     Field{.member = "items", .tells = "Parts.", .max = 3, .presence = Presence::optional},
     Field{.member = "next_cursor", .tells = "Next.", .presence = Presence::nullable}});
}  // namespace vramd::api

namespace {
std::string refusal(std::string_view text) {
    const auto parsed = parse<Sample>(text);
    return parsed ? "accepted: " + write(*parsed) : parsed.error().detail;
}
/// The refusal of {"sizeBytes": TOKEN}.
Error refused_size(std::string_view token) {
    const auto parsed = parse<Sample>(R"({"sizeBytes":)" + std::string(token) + "}");
    REQUIRE_MESSAGE(!parsed.has_value(), token);
    CHECK(parsed.error().code == Code::invalid_field);
    CHECK(parsed.error().field == "/sizeBytes");
    return parsed.error();
}
}  // namespace

TEST_CASE("a described struct is read from JSON and written back the same, to the last digit") {
    const std::string text =
        R"({"sizeBytes":9223372036854775807,"owner":"uid:0","persistent":false,"priority":"high","usagePercentage":12.50,"waitMs":0.125,)"
        R"("createdAt":"2026-01-31T08:15:30.250Z","alignment":4096,"items":[{"count":10,"label":"ä\"\\"}],"nextCursor":null})";
    CHECK(refusal(text) == "accepted: " + text);
}

TEST_CASE("what is left out keeps its default or stays empty") {
    const auto parsed = parse<Sample>(R"({"sizeBytes":1})");
    REQUIRE(parsed.has_value());
    CHECK(!parsed->owner.has_value());
    CHECK(parsed->persistent);
    CHECK(parsed->alignment == 256);
}

TEST_CASE("a number that is no integer is refused in words, with the token as it was sent") {
    for (const std::string token : {"1e3", "1.0", "1.5", "-1", "-0.5", "1E+2", "99999999999999999999", "18446744073709551616", "\"1\"",
                                    "true", "null", "[1]", "{}", "0"}) {
        const Error error = refused_size(token);
        const std::string got = token == "[1]" ? "a list" : token == "{}" ? "an object" : token;
        CHECK(error.detail == "/sizeBytes must be an integer from 1 to 9223372036854775807 bytes, got " + got + ".");
    }
    CHECK(refused_size("0").value == 0);
    CHECK(refused_size("0").limit == 1);
    CHECK(refused_size("9223372036854775808").value == u64{1} << 63);
    CHECK(refused_size("9223372036854775808").limit == number_max);
    CHECK(refused_size("18446744073709551615").value == ~u64{0});
}

TEST_CASE("2^53 + 1 arrives exactly, where a reader through doubles would lose the one") {
    const auto parsed = parse<Sample>(R"({"sizeBytes":9007199254740993})");
    REQUIRE(parsed.has_value());
    CHECK(parsed->size_bytes == 9007199254740993);
}

TEST_CASE("an unknown field, a field that comes twice and a missing one are refused by name") {
    CHECK(refusal(R"({"sizeBytes":1,"sizeByte":2})").starts_with("/sizeByte is not a known field; known are: sizeBytes, owner"));
    CHECK(refusal(R"({"sizeBytes":1,"sizeBytes":2})") == "/sizeBytes comes more than once.");
    CHECK(refusal(R"({"sizeBytes":1,"items":[{"count":1,"label":"a"},{"count":1,"count":1,"label":"a"}]})") ==
          "/items/1/count comes more than once.");
    CHECK(refusal("{}") == "/sizeBytes is missing: it must be an integer from 1 to 9223372036854775807 bytes.");
    CHECK(refusal("") == refusal("{}"));
    CHECK(refusal(R"({"sizeBytes":1,"a/b~":0})").starts_with("/a~1b~0 is not"));
}

TEST_CASE("each kind of value says what it must be") {
    CHECK(refusal(R"({"sizeBytes":1,"persistent":1})") == "/persistent must be true or false, got 1.");
    CHECK(refusal(R"({"sizeBytes":1,"priority":"High"})") == "/priority must be one of low, normal, high, critical, got \"High\".");
    CHECK(refusal(R"({"sizeBytes":1,"usagePercentage":100.01})") ==
          "/usagePercentage must be a number with at most 2 decimals from 0.00 to 100.00, got 100.01.");
    CHECK(refusal(R"({"sizeBytes":1,"usagePercentage":1.001})").ends_with("got 1.001."));
    CHECK(refusal(R"({"sizeBytes":1,"usagePercentage":1e1})").ends_with("got 1e1."));
    CHECK(refusal(R"({"sizeBytes":1,"alignment":3})") == "/alignment must be a power of two from 1 to 1073741824, got 3.");
    CHECK(refusal(R"({"sizeBytes":1,"owner":null})") == "/owner must be a text of 0 to 64 bytes, got null.");
    CHECK(refusal(R"({"sizeBytes":1,"owner":"a\u0000b"})").starts_with("/owner must not hold control characters"));
    CHECK(refusal(R"({"sizeBytes":1,"owner":")" + std::string(65, 'a') + "\"}").starts_with("/owner must be a text of 0 to 64 bytes"));
    CHECK(refusal(R"({"sizeBytes":1,"createdAt":"2026-02-30T00:00:00Z"})").starts_with("/createdAt must be a time"));
    CHECK(refusal(R"({"sizeBytes":1,"items":[1]})") == "/items/0 must be an object, got 1.");
    CHECK(refusal(R"({"sizeBytes":1,"items":[{"count":11,"label":"a"}]})") == "/items/0/count must be an integer from 0 to 10, got 11.");
    CHECK(refusal(R"({"sizeBytes":1,"items":[{},{},{},{}]})") == "/items must be a list of 0 to 3 items (it has 4), got a list.");
    CHECK(refusal("[]") == "The body must be an object, got a list.");
}

TEST_CASE("what is not JSON, too deep, too long or not UTF-8 is refused before it is looked at") {
    const auto code_of = [](std::string_view text) { return parse<Sample>(text).error().code; };
    for (const std::string bad :
         {"{", "{\"sizeBytes\":1}}", "{\"sizeBytes\":1} x", "{\"sizeBytes\":01}", "{'a':1}", "{\"sizeBytes\":1,}", "// c\n{}", "nul",
          "{\"owner\":\"\xff\"}", "{\"owner\":\"\\ud800\"}", "{\"sizeBytes\":NaN}", "{\"sizeBytes\":+1}", "\xef\xbb\xbf{}"})
        CHECK_MESSAGE(code_of(bad) == Code::malformed_request, bad);
    CHECK(code_of(std::string(33, '[') + std::string(33, ']')) == Code::malformed_request);
    CHECK(code_of(std::string(32, '[') + std::string(32, ']')) == Code::invalid_field);
    CHECK(code_of(std::string(json_bytes_max + 1, ' ')) == Code::too_large);
    std::string many = "[0";
    for (u64 i = 0; i < json_values_max; ++i) many += ",0";
    CHECK(code_of(many + "]") == Code::too_large);
}

TEST_CASE("query parameters go through the same limits as bodies") {
    const auto query = [](std::vector<http::Field> items) {
        const auto parsed = parse_query<Sample>(items);
        return parsed ? "accepted: " + write(*parsed) : parsed.error().detail;
    };
    CHECK(query({{"sizeBytes", "7"}, {"owner", "12"}, {"persistent", "false"}, {"priority", "low"}, {"usagePercentage", "1.5"}})
              .starts_with(R"(accepted: {"sizeBytes":7,"owner":"12","persistent":false,"priority":"low","usagePercentage":1.50)"));
    CHECK(query({{"sizeBytes", "1e3"}}) == "?sizeBytes must be an integer from 1 to 9223372036854775807 bytes, got 1e3.");
    CHECK(query({{"sizeBytes", "+1"}}).ends_with("got +1."));
    CHECK(query({{"sizeBytes", ""}}).ends_with("got \"\"."));
    CHECK(query({{"sizeBytes", "1"}, {"sizeBytes", "1"}}) == "?sizeBytes comes more than once.");
    CHECK(query({{"size", "1"}}).starts_with("?size is not a known query parameter; known are: sizeBytes,"));
    CHECK(query({}).starts_with("?sizeBytes is missing"));
    CHECK(query({{"sizeBytes", "1"}, {"persistent", "1"}}) == "?persistent must be true or false, got \"1\".");
}

TEST_CASE("a name that is not UTF-8 is written with replacement characters, so that the answer stays JSON") {
    Inner inner{1,
                "a\xff\xc0\xaf\xed\xa0\x80"
                "b\n\x01"};
    CHECK(write(inner) ==
          "{\"count\":1,\"label\":\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
          "b\\n\\u0001\"}");
}

TEST_CASE("times at the edges of months, years and leap days survive both ways") {
    for (const std::string text :
         {"1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z", "2100-03-01T00:00:00.001Z", "9999-12-31T23:59:59.999Z"})
        CHECK(time_text(time_from(text).value()) == text);
    CHECK(time_from("2026-01-31T08:15:30Z") == time_from("2026-01-31T08:15:30.000Z"));
    CHECK(time_from("2026-01-31T08:15:30.5Z") == time_from("2026-01-31T08:15:30.500Z"));
    for (const std::string bad :
         {"", "2026-01-31", "2026-01-31T08:15:30", "2026-01-31T08:15:30.Z", "2026-01-31T08:15:30.1234Z", "2026-01-31T24:00:00Z",
          "2100-02-29T00:00:00Z", "1969-12-31T23:59:59Z", "2026-01-31T08:15:30+00:00", "2026-01-31T08:15:30ZZ", "2026-01-31 08:15:30Z"})
        CHECK_MESSAGE(!time_from(bad).has_value(), bad);
}

TEST_CASE("whatever is within its limits reads back as itself") {
    Choices choices = Choices::from_seed(1);
    for (int round = 0; round < 2000; ++round) {
        Sample value;
        fill_arbitrary(shape_of<Sample>(), Field{.member = {}, .tells = {}}, &value, choices);
        const std::string text = write(value);
        const auto again = parse<Sample>(text);
        REQUIRE_MESSAGE(again.has_value(), text << " " << again.error().detail);
        CHECK(write(*again) == text);
        CHECK(again->size_bytes == value.size_bytes);
        CHECK(again->owner == value.owner);
    }
}
