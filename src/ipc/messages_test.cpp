#include "ipc/messages.hpp"

#include <doctest/doctest.h>

#include <array>

#include "base/choices.hpp"

namespace vramd::ipc {
TEST_CASE("every kind of message reads back as it was written") {
    const auto request = parse_message(write_message(Request{7, "load", {{"offset_bytes", 4096}}}));
    REQUIRE(request.has_value());
    const auto& call = std::get<Request>(*request);
    CHECK(call.id == 7);
    CHECK(call.method == "load");
    CHECK(read_u64(call.params, "offset_bytes").value() == 4096);

    const auto notification = parse_message(write_message(Notification{"progress", {{"bytes", 1}}}));
    CHECK(std::get<Notification>(notification.value()).method == "progress");

    const auto answer = parse_message(write_message(Answer{7, {{"checksum", UINT64_MAX}}}));
    CHECK(read_u64(std::get<Answer>(answer.value()).result, "checksum", UINT64_MAX).value() == UINT64_MAX);

    const Error error{Code::invalid_model, "tensor.0", 5, 4, "A sentence."};
    const auto failure = parse_message(write_message(Failure{7, error}));
    CHECK(std::get<Failure>(failure.value()).error == error);
}

TEST_CASE("what is no message is refused, and never breaks the reader") {
    const std::array wrong = {
        R"()",
        R"(null)",
        R"([])",
        R"({"jsonrpc":"2.0"})",
        R"({"jsonrpc":"1.0","method":"a"})",
        R"({"jsonrpc":"2.0","method":5})",
        R"({"jsonrpc":"2.0","method":"a","params":[]})",
        R"({"jsonrpc":"2.0","method":"a","id":-1})",
        R"({"jsonrpc":"2.0","method":"a","id":1e3})",
        R"({"jsonrpc":"2.0","method":"a","result":{}})",
        R"({"jsonrpc":"2.0","id":1,"result":7})",
        R"({"jsonrpc":"2.0","id":1,"error":7})",
        R"({"jsonrpc":"2.0","method":"a"} trailing)",
        R"({"jsonrpc":"2.0","method":"a","method":"b"})",
        R"({"jsonrpc":"2.0","method":"a","params":{"x":{"k":1,"k":2}}})",
        "{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}",
    };
    for (const char* text : wrong) {
        INFO(text);
        CHECK(!parse_message(text).has_value());
    }
    CHECK(!parse_message(std::string(40'000, '[')).has_value());
}

TEST_CASE("a colon or a quote inside a string is no second key") {
    const auto message = parse_message(R"({"jsonrpc":"2.0","method":"a","params":{"text":"a:\"b\":\\"}})");
    REQUIRE(message.has_value());
    CHECK(read_text(std::get<Notification>(*message).params, "text", 100).value() == "a:\"b\":\\");
}

TEST_CASE("an error's texts are cut at a character's border") {
    std::string detail;
    while (detail.size() < 1023) detail += "x";
    detail += "é and more";
    const auto read = parse_message(write_message(Failure{1, {Code::system_failed, {}, 0, 0, detail}}));
    CHECK(std::get<Failure>(read.value()).error.detail == std::string(1023, 'x'));
}

TEST_CASE("an unknown code becomes system-failed") {
    const auto read = parse_message(R"({"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m","data":{"code":"own-invention"}}})");
    CHECK(std::get<Failure>(read.value()).error.code == Code::system_failed);
    CHECK(std::get<Failure>(read.value()).error.detail == "m");
}

TEST_CASE("numbers keep to their range, texts to their length") {
    const boost::json::object params{{"n", 10}, {"real", 1.5}, {"negative", -1}, {"text", "abcd"}};
    CHECK(read_u64(params, "n", 10).value() == 10);
    CHECK(read_u64(params, "n", 9).error().limit == 9);
    CHECK(!read_u64(params, "real").has_value());
    CHECK(!read_u64(params, "negative").has_value());
    CHECK(!read_u64(params, "missing").has_value());
    CHECK(read_text(params, "text", 4).value() == "abcd");
    CHECK(!read_text(params, "text", 3).has_value());
}

TEST_CASE("changing any bytes of a message gives a message or a refusal, nothing else") {
    const std::string good = write_message(Failure{3, {Code::invalid_model, "f", 1, 2, "detail é"}});
    for (u64 seed = 0; seed < 3000; ++seed) {
        Choices choices = Choices::from_seed(seed);
        std::string text = good;
        for (u64 i = 0; i <= choices.below(4); ++i) text[choices.below(text.size())] = static_cast<char>(choices.below(256));
        (void)parse_message(text);  // Only that it returns counts here; the sanitizers watch.
    }
}
}  // namespace vramd::ipc
