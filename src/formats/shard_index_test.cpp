#include <doctest/doctest.h>

#include "formats/test_refused.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

namespace {
std::string shard(const std::string& name, const std::string& data) {
    return safetensors("{\"" + name + R"(":{"dtype":"U8","shape":[)" + std::to_string(data.size()) + R"(],"data_offsets":[0,)" +
                           std::to_string(data.size()) + "]}}",
                       data);
}
const std::map<std::string, std::string> shards = {{"a.safetensors", shard("x", "xxxx")}, {"sub/b.safetensors", shard("y", "yyyyyy")}};
Result<Loaded> load_index(const std::string& text) { return load("m.safetensors.index.json", text, shards); }
}  // namespace

TEST_CASE("an index loads its tensors from their shards") {
    const auto loaded =
        load_index(R"( {"metadata":{"total_size":10,"deep":[{"a":[1]}]},"weight_map":{"y":"./sub//b.safetensors","x":"a.safetensors"}} )");
    REQUIRE(loaded.has_value());
    CHECK(loaded->plan.format == Format::safetensors_index);
    CHECK(loaded->plan.files == std::vector<std::string>{"", "a.safetensors", "sub/b.safetensors"});
    CHECK(loaded->bytes("x") == "xxxx");
    CHECK(loaded->bytes("y") == "yyyyyy");
    CHECK(loaded->plan.metadata == std::vector<Metadata>{{"total_size", "10"}});
}

TEST_CASE("a shard's tensors that the index does not name stay on the disk") {
    const auto loaded = load_index(R"({"weight_map":{"x":"a.safetensors"}})");
    REQUIRE(loaded.has_value());
    CHECK(loaded->plan.tensors.size() == 1);
    CHECK(loaded->plan.files.size() == 2);
}

TEST_CASE("a tensor beside the named one in its shard stays on the disk, whichever comes first by name") {
    for (const char* other : {"a", "z"}) {
        const std::string both =
            std::string("{\"") + other +
            R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"x":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})";
        const auto loaded = load("m.safetensors.index.json", R"({"weight_map":{"x":"s"}})", {{"s", safetensors(both, "..xxxx")}});
        REQUIRE(loaded.has_value());
        CHECK(loaded->plan.tensors.size() == 1);
        CHECK(loaded->bytes("x") == "xxxx");
        CHECK(loaded->plan.memory_bytes == 4);
    }
}

TEST_CASE("an index that promises what its shards do not hold is refused") {
    refused(load_index(R"({"weight_map":{"x":"a.safetensors","z":"a.safetensors"}})"),
            "z: the index says that it lies in 'a.safetensors', but it does not");
    refused(load_index(R"({"weight_map":{"x":"sub/b.safetensors"}})"), "x: the index says");
    refused(load_index(R"({"weight_map":{"x":"a.safetensors","x":"a.safetensors"}})"), "x: the weight_map names it twice");
    refused(load_index(R"({"weight_map":{},"weight_map":{}})"), "occurs twice");
    refused(load_index(R"({"metadata":{}})"), "no object weight_map");
    refused(load_index(R"({"weight_map":[]})"), "array");
    refused(load_index(R"({"weight_map":"a"})"), "a file's name belongs");
    refused(load_index(R"({"weight_map":{"x":{"y":"a"}}})"), "object");
    refused(load_index(R"({"weight_map":{"x":1}})"), "a file's name belongs");
    const auto deep = [](std::size_t depth) {
        return load_index(R"({"other":)" + std::string(depth, '[') + std::string(depth, ']') + R"(,"weight_map":{"x":"a.safetensors"}})");
    };
    CHECK(deep(31).has_value());
    refused(deep(32), "too deep");
    refused(load_index(R"({"weight_map":{"x":"a.safetensors"})"), "index");
}

TEST_CASE("an index cannot name a file outside its folder") {
    for (const char* name : {"../a.safetensors", "/etc/passwd", "sub/../../x", "..", ".", "/", "", "a\\\\b", "a\\u0000b"})
        refused(load_index(std::string(R"({"weight_map":{"x":")") + name + "\"}}"), "x:");
}
