#include <doctest/doctest.h>

#include "formats/dtype.hpp"
#include "formats/limits.hpp"
#include "formats/test_refused.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

namespace {
constexpr u32 type_u32 = 4, type_text = 8, type_array = 9, type_i64 = 11;

Result<Loaded> one(const std::string& tensor, const std::string& data, const std::vector<std::string>& pairs = {}) {
    return load("m.gguf", gguf(3, pairs, {tensor}, data));
}
}  // namespace

TEST_CASE("a GGUF file of version 2 or 3 gives its tensors outermost dimension first") {
    for (const u32 version : {2U, 3U}) {
        const auto loaded = load("m.gguf", gguf(version, {gguf_pair("general.name", type_text, gguf_text("tiny"))},
                                                {gguf_tensor("w", {4, 2}, 1, 0), gguf_tensor("b", {3}, 24, 32)},
                                                std::string(16, 'w') + std::string(16, '.') + "abc"));
        REQUIRE(loaded.has_value());
        CHECK(loaded->plan.format == Format::gguf);
        CHECK(loaded->tensor("w") == Tensor{"w", "f16", {2, 4}, 16, 0});
        CHECK(loaded->bytes("w") == std::string(16, 'w'));
        CHECK(loaded->bytes("b") == "abc");
        CHECK(loaded->plan.metadata == std::vector<Metadata>{{"general.name", "tiny"}});
        CHECK(loaded->plan.copies.size() == 1);  // The padding travels along.
    }
}

TEST_CASE("every ggml type takes whole blocks of its bytes") {
    u64 known = 0;
    for (u32 type = 0; type < 64; ++type) {
        const auto dtype = ggml_dtype(type);
        const auto loaded = one(gguf_tensor("w", {dtype ? u64{dtype->block_elements} * 3 : 256, 2}, type, 0),
                                std::string(dtype ? dtype->block_bytes * 6 : 4096, 'q'));
        CHECK(loaded.has_value() == dtype.has_value());
        if (!dtype) continue;
        ++known;
        CHECK(loaded->tensor("w").size_bytes == dtype->block_bytes * 6);
        if (dtype->block_elements > 1)
            refused(one(gguf_tensor("w", {u64{dtype->block_elements} + 1}, type, 0), std::string(4096, 'q')), "not whole blocks");
        refused(one(gguf_tensor("w", {u64{dtype->block_elements} * 3, 2}, type, 0), std::string(dtype->block_bytes * 6 - 1, 'q')),
                "do not lie in the file");
    }
    CHECK(known == 38);
}

TEST_CASE("metadata of every type is told, arrays by their length") {
    const auto loaded =
        one(gguf_tensor("w", {1}, 24, 0), "w",
            {gguf_pair("n", type_i64, raw(i64{-5})), gguf_pair("b", 7, raw(u8{1})), gguf_pair("f", 6, raw(0.5F)),
             gguf_pair("d", 12, raw(-0.25)), gguf_pair("t", type_array, raw(type_text) + raw(u64{2}) + gguf_text("x") + gguf_text("")),
             gguf_pair("a", type_array, raw(u32{2}) + raw(u64{3}) + "123456"),
             gguf_pair("nested", type_array, raw(type_array) + raw(u64{1}) + raw(u32{0}) + raw(u64{2}) + "ab"),
             gguf_pair("odd", type_text, gguf_text("\xff\xfe"))});
    REQUIRE(loaded.has_value());
    const auto& metadata = loaded->plan.metadata;
    REQUIRE(metadata.size() == 8);
    CHECK(metadata[0].value == "-5");
    CHECK(metadata[1].value == "true");
    CHECK(metadata[2].value == "0.5");
    CHECK(metadata[3].value == "-0.25");
    CHECK(metadata[4].value == "2 × text");
    CHECK(metadata[5].value == "3 × u16");
    CHECK(metadata[6].value == "1 × array");
    CHECK(metadata[7].value == "(not text)");
}

TEST_CASE("a long text is cut and the reading goes on after it") {
    const auto loaded = one(gguf_tensor("w", {1}, 24, 0), "w", {gguf_pair("template", type_text, gguf_text(std::string(300'000, 't')))});
    REQUIRE(loaded.has_value());
    CHECK(loaded->plan.metadata[0].value.size() == metadata_value_bytes_max);
    CHECK(loaded->bytes("w") == "w");
}

TEST_CASE("the alignment that the file names is obeyed") {
    const auto aligned = [](u32 alignment, u64 offset) {
        return load("m.gguf", gguf(3, {gguf_pair("general.alignment", type_u32, raw(alignment))}, {gguf_tensor("w", {4}, 24, offset)},
                                   std::string(2048, 'x'), 1024));
    };
    CHECK(aligned(1024, 0).has_value());
    CHECK(aligned(1024, 1024).has_value());
    refused(aligned(1024, 32), "its offset 32 is not a multiple of the alignment 1024");
    refused(aligned(48, 0), "the alignment is 48; it must be a power of two");
    refused(aligned(4, 0), "from 8 on");
    refused(aligned(0, 0), "the alignment is 0");
    refused(aligned(u32{1} << 31, 0), "the alignment is 2147483648; at most 1048576");
    refused(one(gguf_tensor("w", {4}, 24, 0), "abcd", {gguf_pair("general.alignment", type_i64, raw(i64{32}))}), "not a u32");
    const auto pair = gguf_pair("general.alignment", type_u32, raw(u32{32}));
    refused(one(gguf_tensor("w", {4}, 24, 0), "abcd", {pair, pair}), "occurs twice");
}

TEST_CASE("tied tensors are in memory once; overlapping ones are refused") {
    const auto two = [](u64 second) {
        return load("m.gguf",
                    gguf(3, {}, {gguf_tensor("embedding", {32}, 24, 0), gguf_tensor("output", {4, 8}, 24, second)}, std::string(64, 'e')));
    };
    const auto tied = two(0);
    REQUIRE(tied.has_value());
    CHECK(tied->plan.memory_bytes == 32);
    CHECK(tied->plan.tensor_bytes == 32);
    CHECK(tied->tensor("output").memory_offset_bytes == tied->tensor("embedding").memory_offset_bytes);
    CHECK(two(32)->plan.tensor_bytes == 64);
    refused(load("m.gguf", gguf(3, {}, {gguf_tensor("a", {64}, 24, 0), gguf_tensor("b", {32}, 24, 32)}, std::string(64, 'e'))), "overlap");
    refused(load("m.gguf", gguf(3, {}, {gguf_tensor("a", {64}, 24, 0), gguf_tensor("b", {32}, 24, 0)}, std::string(64, 'e'))), "overlap");
}

TEST_CASE("counts and offsets that would wrap are refused") {
    refused(one(gguf_tensor("w", {u64{1} << 62, 4}, 24, 0), "x"), "2^63 - 1 elements");
    refused(one(gguf_tensor("w", {u64{1} << 61}, 28, 0), "x"), "2^63 - 1 bytes");
    refused(one(gguf_tensor("w", {32}, 24, UINT64_MAX - 31), "x"), "do not lie in the file");
    refused(one(gguf_tensor("w", {1, 1, 1, 1, 1}, 24, 0), "x"), "the number of dimensions is 5; at most 4");
    refused(one(gguf_tensor("w", {1}, 24, 0), "x", {gguf_pair("a", type_array, raw(type_u32) + raw(u64{1} << 62))}), "do not fit");
    refused(one(gguf_tensor("w", {1}, 24, 0), "x", {gguf_pair("a", type_array, raw(type_text) + raw(UINT64_MAX))}), "");
    refused(one(gguf_tensor("w", {1}, 24, 0), "x", {gguf_pair("a", type_text, raw(UINT64_MAX))}), "bytes are needed");
    refused(one(gguf_tensor("w", {1}, 24, 0), "x", {gguf_pair("a", 13, "")}), "the type of a metadata value is 13; at most 12");
    std::string deep = raw(u32{0}) + raw(u64{1}) + "a";
    for (int i = 0; i < 5; ++i) deep = raw(type_array) + raw(u64{1}) + deep;
    refused(one(gguf_tensor("w", {1}, 24, 0), "x", {gguf_pair("a", type_array, deep)}), "the nesting of arrays is 5; at most 4");
    refused(load("m.gguf", "GGUF" + raw(u32{3}) + raw(UINT64_MAX) + raw(u64{0})), "the number of tensors");
    refused(load("m.gguf", "GGUF" + raw(u32{3}) + raw(u64{0}) + raw(UINT64_MAX)), "the number of metadata pairs");
}

TEST_CASE("other versions and byte orders are told apart") {
    refused(load("m.gguf", gguf(1, {}, {}, "")), "version 1", Code::unsupported);
    refused(load("m.gguf", gguf(u32{3} << 24, {}, {}, "")), "big-endian", Code::unsupported);
    refused(load("m.gguf", gguf(4, {}, {}, "")), "the GGUF version is 4");
    refused(load("m.gguf", gguf(0, {}, {}, "")), "the GGUF version is 0");
    refused(load("m.gguf", "GGU"), "");
    refused(one(gguf_tensor("w", {1}, 24, 0), "w", {gguf_pair("split.count", 2, raw(u16{3}))}), "one of 3 parts of a split model",
            Code::unsupported);
    CHECK(one(gguf_tensor("w", {1}, 24, 0), "w", {gguf_pair("split.count", 2, raw(u16{1}))}).has_value());
    CHECK(load("m.gguf", gguf(3, {}, {}, "")).has_value());
}

TEST_CASE("a name occurs once") {
    refused(load("m.gguf", gguf(3, {}, {gguf_tensor("w", {4}, 24, 0), gguf_tensor("w", {4}, 24, 32)}, std::string(64, 'x'))),
            "w: two tensors have this name");
    refused(one(gguf_tensor("", {4}, 24, 0), "abcd"), "no name");
    refused(one(gguf_tensor("\xc0\x80", {4}, 24, 0), "abcd"), "UTF-8");
}
