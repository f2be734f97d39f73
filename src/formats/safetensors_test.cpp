#include <doctest/doctest.h>

#include "formats/hand_built.hpp"
#include "formats/limits.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

namespace {
Result<Loaded> load_text(const std::string& header, const std::string& data = "") {
    return load("m.safetensors", safetensors(header, data));
}

/// The refusal's field and sentence, for a look at both at once.
std::string refusal(const Result<Loaded>& result) { return result ? "accepted" : result.error().field + ": " + describe(result.error()); }
bool names(const Result<Loaded>& result, std::string_view text) {
    INFO(refusal(result));
    const bool right = !result && result.error().code == Code::invalid_model && refusal(result).find(text) != std::string::npos;
    CHECK(right);
    return right;
}
}  // namespace

TEST_CASE("a safetensors file gives its tensors with name, dtype, shape, size and bytes") {
    const auto loaded = load_text(
        R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}   )",
        "abcd0123456789AB");
    REQUIRE(loaded.has_value());
    CHECK(loaded->plan.format == Format::safetensors);
    CHECK(loaded->plan.tensors.size() == 2);
    CHECK(loaded->tensor("b") == Tensor{"b", "f16", {2, 3}, 12, 16});
    CHECK(loaded->tensor("a") == Tensor{"a", "u8", {4}, 4, 0});
    CHECK(loaded->bytes("a") == "abcd");
    CHECK(loaded->bytes("b") == "0123456789AB");
    CHECK(loaded->plan.tensor_bytes == 16);
    CHECK(loaded->plan.memory_bytes == 28);
    CHECK(loaded->plan.metadata == std::vector<Metadata>{{"format", "pt"}});
}

TEST_CASE("scalars, empty tensors and a file without tensors are valid") {
    const auto loaded = load_text(
        R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F32","shape":[3,0,18446744073709551615],"data_offsets":[4,4]}})",
        "1234");
    REQUIRE(loaded.has_value());
    CHECK(loaded->bytes("s") == "1234");
    CHECK(loaded->tensor("e").size_bytes == 0);
    const auto none = load_text("{}");
    REQUIRE(none.has_value());
    CHECK(none->plan.memory_bytes == 0);
}

TEST_CASE("dtypes below a byte are packed, and must fill whole bytes") {
    const auto loaded = load_text(
        R"({"f":{"dtype":"F4","shape":[6],"data_offsets":[0,3]},"g":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[3,6]}})", "abcdef");
    REQUIRE(loaded.has_value());
    CHECK(loaded->tensor("f").dtype == "f4_e2m1");
    CHECK(loaded->bytes("g") == "def");
    names(load_text(R"({"f":{"dtype":"F4","shape":[5],"data_offsets":[0,3]}})", "abc"), "whole bytes");
}

TEST_CASE("a header that breaks the format is refused with the place and the rule") {
    const std::string good = R"("dtype":"U8","shape":[4],"data_offsets":[0,4])";
    names(load_text("{\"a\":{" + good + "},\"a\":{" + good + "}}", "abcd"), "a: two tensors have this name");
    names(load_text("{\"a\":{" + good + ",\"dtype\":\"U8\"}}", "abcd"), "a: its member 'dtype' occurs twice");
    names(load_text("{\"a\":{" + good + ",\"more\":1}}", "abcd"), "unknown member 'more'");
    names(load_text(R"({"a":{"dtype":"U8","shape":[4]}})", "abcd"), "needs the members");
    names(load_text(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", "a"), "needs the members");
    names(load_text(R"({"a":{"dtype":"Q7","shape":[4],"data_offsets":[0,4]}})", "abcd"), "dtype 'Q7' is unknown");
    names(load_text(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", "abcd"), "before they begin");
    names(load_text(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]}})", "abcd"), "more than two numbers");
    names(load_text(R"({"a":{"dtype":"U16","shape":[4],"data_offsets":[0,4]}})", "abcd"), "span 4 bytes; shape and dtype need 8");
    names(load_text(R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", "abcd"), "'-4' stands where");
    names(load_text(R"({"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}})", "abcd"), "'4.0' stands where");
    names(load_text(R"({"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,4]}})", "abcd"), "stands where");
    names(load_text(R"({"a":{"dtype":"U8","shape":[[4]],"data_offsets":[0,4]}})", "abcd"), "array");
    names(load_text(R"({"a":{"dtype":"U8","shape":{},"data_offsets":[0,4]}})", "abcd"), "object");
    names(load_text(R"({"a":{"dtype":8,"shape":[4],"data_offsets":[0,4]}})", "abcd"), "number");
    names(load_text(R"({"a":7})", "abcd"), "number");
    names(load_text(R"({"":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "abcd"), "no name");
    names(load_text(R"({"\u0000":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "abcd"), "UTF-8");
    names(load_text(R"({"__metadata__":{"a":1}})"), "number");
    names(load_text(R"({"__metadata__":{},"__metadata__":{}})"), "occurs twice");
    names(load_text(R"({"__metadata__":{"a":"1","a":"2"}})"), "a key occurs twice");
    names(load_text("{\"a\":{" + good + "}} x", "abcd"), "");
    names(load_text("{\"a\":{" + good, "abcd"), "");
    names(load("m.safetensors", safetensors("[]", "")), "does not begin with '{'");
}

TEST_CASE("the tensors fill the file without hole, overlap or rest") {
    const auto two = [](std::string_view a, std::string_view b) {
        return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[)" + std::string(a) +
               R"(]},"b":{"dtype":"U8","shape":[4],"data_offsets":[)" + std::string(b) + "]}}";
    };
    CHECK(load_text(two("0,4", "4,8"), "01234567").has_value());
    CHECK(load_text(two("4,8", "0,4"), "01234567").has_value());
    names(load_text(two("0,4", "5,9"), "012345678"), "b: it begins at 5, but the tensor before it ends at 4: there is a hole");
    names(load_text(two("0,4", "3,7"), "0123456"), "overlap");
    names(load_text(two("0,4", "0,4"), "0123"), "overlap");
    names(load_text(two("0,4", "4,8"), "0123456"), "b: it ends beyond the file");
    names(load_text(two("0,4", "4,8"), "012345678"), "the tensors end at 8 bytes, but the file holds 9");
    names(load_text(two("1,5", "5,9"), "012345678"), "hole");
}

TEST_CASE("sizes that would wrap past 2^64 are refused") {
    names(load_text(R"({"a":{"dtype":"U64","shape":[4611686018427387904,4],"data_offsets":[0,0]}})"), "2^63 - 1 elements");
    names(load_text(R"({"a":{"dtype":"U64","shape":[2305843009213693952],"data_offsets":[0,0]}})"), "2^63 - 1 bytes");
    names(load_text(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[18446744073709551615,18446744073709551615]}})"), "span 0");
    names(load_text(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}})"), "hole");
}

TEST_CASE("the header's length is held against the file and the format's limit") {
    names(load("m.safetensors", raw(u64{100}) + "{}"), "the header's length is 100; at most 2");
    names(load("m.safetensors", raw(UINT64_MAX) + "{}"), "at most 2");
    names(load("m.safetensors", raw(u64{0}) + "{}"), "at least 2");
    names(load("m.safetensors", "short"), "at least 10");
    names(load("m.safetensors", ""), "at least 10");
    MemoryFile huge(raw(safetensors_header_bytes_max + 1) + "{}");
    huge.claimed_size_bytes = 1 * gib;
    Source* const sources[] = {&huge};
    const auto refused = plan(Format::safetensors, sources);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().value == safetensors_header_bytes_max + 1);
    CHECK(refused.error().limit == safetensors_header_bytes_max);
}

TEST_CASE("a header nested without end, or with endless dimensions, is refused early") {
    std::string deep = R"({"__metadata__":)";
    for (int i = 0; i < 100'000; ++i) deep += R"({"a":)";
    names(load_text(deep), "__metadata__");
    std::string wide = R"({"a":{"dtype":"U8","shape":[1)";
    for (int i = 0; i < 100; ++i) wide += ",1";
    names(load_text(wide + R"(],"data_offsets":[0,1]}})", "a"), "the number of dimensions is 65; at most 64");
    names(load_text("{\"" + std::string(name_bytes_max + 1, 'n') + "\":{}}"), "the length of a tensor's name is 4097; at most 4096");
    CHECK(load_text("{\"" + std::string(name_bytes_max, 'n') + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "a").has_value());
}

TEST_CASE("metadata without end is refused") {
    std::string many = "{\"__metadata__\":{\"k0\":\"\"";
    for (u64 i = 1; i <= safetensors_pair_count_max; ++i) many += ",\"k" + std::to_string(i) + "\":\"\"";
    names(load_text(many + "}}"), "the number of pairs is 65537; at most 65536");
}

TEST_CASE("a header longer than the window is read in pieces and the weights not at all") {
    std::string header = "{";
    for (int i = 0; i < 3000; ++i)
        header += (i == 0 ? "" : ",") + ("\"layer." + std::to_string(i)) + R"(.weight":{"dtype":"F32","shape":[256],"data_offsets":[)" +
                  std::to_string(i * 1024) + "," + std::to_string(i * 1024 + 1024) + "]}";
    MemoryFile file(safetensors(header + "}", std::string(3000 * 1024, 'w')));
    Source* const sources[] = {&file};
    const auto planned = plan(Format::safetensors, sources);
    REQUIRE(planned.has_value());
    CHECK(planned->tensors.size() == 3000);
    CHECK(planned->copies.size() == 1);
    CHECK(file.read_bytes < header.size() + 2 * window_bytes);
}
