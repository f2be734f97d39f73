// Broken files, exhaustively: cut at every byte, with every single bit turned over. Run under AddressSanitizer, where a read beyond the end
// of a file or a write beyond the lent memory ends the test.
#include <doctest/doctest.h>

#include "formats/hand_built.hpp"
#include "formats/limits.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

namespace {
struct Sample {
    std::string file_name;
    std::string main;
    std::map<std::string, std::string> others;
};

std::string small_safetensors() {
    return safetensors(
        R"({"__metadata__":{"a":"b"},"x":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},"y":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
        "abcd0123456789AB");
}

std::string small_onnx() {
    const std::string typed = tensor("t", 5, {3}, field(5, varint(1) + varint(300) + varint(u64(-4))));
    const std::string scattered = tensor("s", 1, {2}, field_float(4, 1.0F) + field_float(4, 2.0F));
    const std::string outside = tensor("e", 2, {4}, external("w.bin", "4", "4"));
    const std::string inner = node("Constant", "c", attribute("value", field(5, tensor("", 7, {1}, raw_data("12345678")))));
    return onnx(
        initializer(tensor("w", 10, {2, 2}, raw_data("abcdefgh"))) + initializer(typed) + initializer(scattered) + initializer(outside) +
            node("If", "y", attribute("b", field(6, inner))) +
            node("Constant", "n", attribute("value_ints", field(8, u64{7}) + field(8, u64{300}))) +
            field(15, field(1, tensor("z", 2, {1}, raw_data("v"))) + field(2, tensor("", 7, {1}, field(7, varint(2)))) + field(3, u64{9})),
        field(14, field(1, "key") + field(2, "value")));
}

std::vector<Sample> samples() {
    const std::string header = R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
    return {{"m.safetensors", small_safetensors(), {}},
            {"m.safetensors.index.json",
             R"({"metadata":{"n":1},"weight_map":{"x":"a.safetensors"}})",
             {{"a.safetensors", safetensors(header, "abcd")}}},
            {"m.gguf",
             gguf(3,
                  {gguf_pair("general.alignment", 4, raw(u32{8})), gguf_pair("t", 9, raw(u32{8}) + raw(u64{1}) + gguf_text("tok")),
                   gguf_pair("f", 6, raw(1.0F))},
                  {gguf_tensor("w", {32, 2}, 2, 0), gguf_tensor("b", {3}, 0, 40)}, std::string(64, 'd'), 8),
             {}},
            {"m.onnx", small_onnx(), {{"w.bin", "....abcd"}}}};
}

/// Only these answers are right for a broken file; `conflict` would be a broken promise of ours.
void check_answer(const Result<Loaded>& result) {
    if (result) return;
    const Code code = result.error().code;
    const bool right = code == Code::invalid_model || code == Code::unsupported || code == Code::not_found;
    if (!right) {
        INFO(result.error().field << ": " << describe(result.error()));
        CHECK(right);
    }
}
}  // namespace

TEST_CASE("the samples of this file are valid themselves") {
    for (const Sample& sample : samples()) {
        const auto loaded = load(sample.file_name, sample.main, sample.others);
        INFO(sample.file_name << ": " << (loaded ? "" : loaded.error().field + ": " + describe(loaded.error())));
        CHECK(loaded.has_value());
    }
}

TEST_CASE("a file cut at any byte is refused or whole without the rest") {
    for (const Sample& sample : samples()) {
        u64 accepted = 0;
        for (std::size_t size = 0; size < sample.main.size(); ++size) {
            const auto loaded = load(sample.file_name, sample.main.substr(0, size), sample.others);
            check_answer(loaded);
            accepted += loaded.has_value() ? 1 : 0;
        }
        INFO(sample.file_name);
        CHECK(accepted <= (sample.file_name == "m.onnx"   ? 1
                           : sample.file_name == "m.gguf" ? 16
                                                          : 0));  // ONNX: without its last field; GGUF: without padding.
        for (const auto& [name, content] : sample.others)
            for (std::size_t size = 0; size < content.size(); ++size) {
                const auto loaded = load(sample.file_name, sample.main, {{name, content.substr(0, size)}});
                CHECK(!loaded.has_value());
                check_answer(loaded);
            }
    }
}

TEST_CASE("a file with any one bit turned over is refused or gives a plan that keeps its promises") {
    for (const Sample& sample : samples()) {
        for (std::size_t bit = 0; bit < sample.main.size() * 8; ++bit) {
            std::string broken = sample.main;
            broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
            check_answer(load(sample.file_name, std::move(broken), sample.others));
        }
        for (const auto& [name, content] : sample.others)
            for (std::size_t bit = 0; bit < content.size() * 8; ++bit) {
                std::string broken = content;
                broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
                check_answer(load(sample.file_name, sample.main, {{name, broken}}));
            }
    }
}

TEST_CASE("any byte set to an edge value is refused or gives a plan that keeps its promises") {
    for (const Sample& sample : samples())
        for (std::size_t at = 0; at < sample.main.size(); ++at)
            for (const char value : {'\x00', '\x7f', '\x80', '\xff'}) {
                std::string broken = sample.main;
                broken[at] = value;
                check_answer(load(sample.file_name, broken, sample.others));
                broken.replace(at, std::min<std::size_t>(8, broken.size() - at), std::min<std::size_t>(8, broken.size() - at), value);
                check_answer(load(sample.file_name, std::move(broken), sample.others));
            }
}

TEST_CASE("files of 2^63 bytes and beyond cannot make the books wrap") {
    // Each shard is a sparse file that claims nearly all of the address space; together they would wrap.
    const auto shard = [](const std::string& name, u64 size) {
        return raw(u64{128}) + [&] {
            std::string header = "{\"" + name + R"(":{"dtype":"U8","shape":[)" + std::to_string(size) + R"(],"data_offsets":[0,)" +
                                 std::to_string(size) + "]}}";
            header.resize(128, ' ');
            return header;
        }();
    };
    constexpr u64 each = number_max - 4096;
    MemoryFile main(R"({"weight_map":{"x":"a","y":"b","z":"c"}})");
    MemoryFile a(shard("x", each)), b(shard("y", each)), c(shard("z", each));
    for (MemoryFile* file : {&a, &b, &c}) file->claimed_size_bytes = each + 136;
    Source* const sources[] = {&main, &a, &b, &c};
    const auto planned = plan(Format::safetensors_index, sources);
    REQUIRE(!planned.has_value());
    CHECK(planned.error().code == Code::invalid_model);
    CHECK(planned.error().detail.find("2^63 - 1 bytes of memory") != std::string::npos);
}

TEST_CASE("a file that shrinks while it is loaded fails to load") {
    MemoryFile whole(onnx(initializer(tensor("t", 7, {3}, field(7, varint(1) + varint(300) + varint(4))))));
    Source* const sources[] = {&whole};
    const auto planned = plan(Format::onnx, sources);
    REQUIRE(planned.has_value());
    REQUIRE(planned->decodes.size() == 1);
    std::vector<std::byte> memory(planned->decodes[0].memory_size_bytes);
    MemoryFile cut("short");
    const auto decoded = decode(planned->decodes[0], cut, memory);
    REQUIRE(!decoded.has_value());
    CHECK(decoded.error().code == Code::invalid_model);
}

TEST_CASE("a million empty things in a file are counted and refused, not collected") {
    std::string graph;
    for (int i = 0; i < 100'000; ++i) graph += field(1, "");  // Nodes without anything.
    CHECK(load("m.onnx", onnx(graph)).has_value());
    MemoryFile many("GGUF" + raw(u32{3}) + raw(u64{0}) + raw(u64{1}) + gguf_pair("a", 9, raw(u32{8}) + raw(u64{1} << 40)));
    many.claimed_size_bytes = u64{1} << 50;  // Each of the 2^40 texts is empty, so the array never leaves the file.
    Source* const sources[] = {&many};
    const auto planned = plan(Format::gguf, sources);
    REQUIRE(!planned.has_value());
    CHECK(planned.error().detail.find("the header cannot go beyond 134217728") != std::string::npos);
}
