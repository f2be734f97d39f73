#include "ipc/tensor_table.hpp"

#include <doctest/doctest.h>

#include <array>

#include "base/choices.hpp"
#include "base/range.hpp"

namespace vramd::ipc {
namespace {
TensorTable sample() {
    TensorTable table{"gguf", 4096, 24, {"shard-2.gguf"}, {}, {{"general.name", "Büchse"}, {"empty", ""}}, {}, 8};
    table.tensors.push_back({"blk.0.weight", "q4_k", {2, 3}, 0, 16});
    table.tensors.push_back({"scalar", "f64", {}, 256, 8});
    table.tensors.push_back({"nothing", "f32", {0, 5}, 4096, 0});
    table.copies = {{0, 4096, 16, 0}, {1, 64, 40, 16}, {0, 1u << 20, 3840, 256}};
    return table;
}
std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

/// What the header promises of any table that was taken.
void check_invariants(const TensorTable& table) {
    CHECK(table.memory_bytes <= number_max);
    CHECK(table.tensor_bytes <= table.memory_bytes);
    for (const Tensor& tensor : table.tensors) {
        CHECK(!tensor.name.empty());
        CHECK(tensor.shape.size() <= table_rank_max);
        CHECK(Range::within(table.memory_bytes, tensor.offset_bytes, tensor.size_bytes).has_value());
    }
    u64 copied_bytes = 0;
    u64 after_bytes = 0;
    for (const TableCopy& copy : table.copies) {
        CHECK(copy.size_bytes > 0);
        CHECK(copy.memory_offset_bytes >= after_bytes);
        CHECK(Range::within(table.memory_bytes, copy.memory_offset_bytes, copy.size_bytes).has_value());
        CHECK(Range::within(number_max, copy.file_offset_bytes, copy.size_bytes).has_value());
        after_bytes = copy.memory_offset_bytes + copy.size_bytes;
        copied_bytes += copy.size_bytes;
    }
    CHECK(copied_bytes <= table.memory_bytes);
    CHECK(table.decoded_bytes <= table.memory_bytes);
}
}  // namespace

TEST_CASE("a table reads back as it was written") {
    const auto bytes = encode_table(sample());
    REQUIRE(bytes.has_value());
    const auto read = decode_table(bytes_of(*bytes));
    REQUIRE(read.has_value());
    CHECK(*read == sample());
}

TEST_CASE("a table cut anywhere, or with a byte more, is refused") {
    const std::string whole = encode_table(sample()).value();
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK(!decode_table(bytes_of(whole.substr(0, size))).has_value());
    CHECK(!decode_table(bytes_of(whole + '\0')).has_value());
}

TEST_CASE("flipping any bit gives a table that keeps its promises, or a refusal") {
    const std::string whole = encode_table(sample()).value();
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        std::string flipped = whole;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        const auto read = decode_table(bytes_of(flipped));
        if (read)
            check_invariants(*read);
        else
            CHECK(read.error().code == Code::invalid_model);
    }
}

TEST_CASE("random damage to a table gives a table that keeps its promises, or a refusal") {
    const std::string whole = encode_table(sample()).value();
    for (u64 seed = 0; seed < 4000; ++seed) {
        Choices choices = Choices::from_seed(seed);
        std::string damaged = whole;
        for (u64 i = 0; i <= choices.below(6); ++i) {
            const u64 at = choices.below(damaged.size());
            const std::array<u8, 5> edges = {0, 1, 0x7f, 0x80, 0xff};
            damaged[at] = static_cast<char>(choices.one_in(2) ? edges[choices.below(edges.size())] : choices.below(256));
        }
        if (choices.one_in(4)) damaged.resize(choices.below(damaged.size()));
        if (const auto read = decode_table(bytes_of(damaged))) check_invariants(*read);
    }
}

TEST_CASE("a count that promises more than came reserves nothing") {
    TensorTable table{"onnx", 0, 0, {}, {}, {}, {}, 0};
    std::string bytes = encode_table(table).value();
    const std::size_t count_at = bytes.size() - 20;  // Tensor count, metadata count, copy count, decoded bytes.
    for (std::size_t i = 0; i < 4; ++i) bytes[count_at + i] = static_cast<char>(0xff);
    CHECK(!decode_table(bytes_of(bytes)).has_value());
}

TEST_CASE("a tensor outside the memory, an invalid name and an oversized size are refused") {
    TensorTable table = sample();
    table.tensors[1].offset_bytes = 4089;
    CHECK(!decode_table(bytes_of(encode_table(table).value())).has_value());
    table = sample();
    table.tensors[1].size_bytes = UINT64_MAX;
    CHECK(!decode_table(bytes_of(encode_table(table).value())).has_value());
    for (const char* name : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", ""}) {
        table = sample();
        table.tensors[0].name = name;
        CHECK(!decode_table(bytes_of(encode_table(table).value())).has_value());
    }
    table = sample();
    table.tensors[0].name = std::string("a\0b", 3);
    CHECK(!decode_table(bytes_of(encode_table(table).value())).has_value());
    table = sample();
    table.memory_bytes = u64{1} << 63;
    CHECK(!decode_table(bytes_of(encode_table(table).value())).has_value());
    table = sample();
    table.tensor_bytes = table.memory_bytes + 1;
    CHECK(!decode_table(bytes_of(encode_table(table).value())).has_value());
}

TEST_CASE("a table beyond its space or its caps is refused by its writer") {
    CHECK(encode_table(sample(), 32).error().code == Code::too_large);
    TensorTable table = sample();
    table.tensors[0].dtype = std::string(table_dtype_bytes_max + 1, 'x');
    CHECK(encode_table(table).error().code == Code::too_large);
}
}  // namespace vramd::ipc
