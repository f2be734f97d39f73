#include "formats/dtype.hpp"

#include <algorithm>
#include <array>

#include "formats/limits.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
namespace {
struct Named {
    std::string_view key;
    Dtype dtype;
};
struct Numbered {
    u64 key;
    Dtype dtype;
};

constexpr std::array safetensors_table = {
    Named{"BOOL", {"bool", 1, 1}},
    Named{"U8", {"u8", 1, 1}},
    Named{"I8", {"i8", 1, 1}},
    Named{"U16", {"u16", 1, 2}},
    Named{"I16", {"i16", 1, 2}},
    Named{"U32", {"u32", 1, 4}},
    Named{"I32", {"i32", 1, 4}},
    Named{"U64", {"u64", 1, 8}},
    Named{"I64", {"i64", 1, 8}},
    Named{"F16", {"f16", 1, 2}},
    Named{"BF16", {"bf16", 1, 2}},
    Named{"F32", {"f32", 1, 4}},
    Named{"F64", {"f64", 1, 8}},
    Named{"C64", {"c64", 1, 8}},
    Named{"F8_E4M3", {"f8_e4m3", 1, 1}},
    Named{"F8_E5M2", {"f8_e5m2", 1, 1}},
    Named{"F8_E4M3FNUZ", {"f8_e4m3fnuz", 1, 1}},
    Named{"F8_E5M2FNUZ", {"f8_e5m2fnuz", 1, 1}},
    Named{"F8_E8M0", {"f8_e8m0", 1, 1}},
    Named{"F6_E2M3", {"f6_e2m3", 4, 3}},
    Named{"F6_E3M2", {"f6_e3m2", 4, 3}},
    Named{"F4", {"f4_e2m1", 2, 1}},
};

constexpr std::array onnx_table = {
    Numbered{1, {"f32", 1, 4}},      Numbered{2, {"u8", 1, 1}},           Numbered{3, {"i8", 1, 1}},
    Numbered{4, {"u16", 1, 2}},      Numbered{5, {"i16", 1, 2}},          Numbered{6, {"i32", 1, 4}},
    Numbered{7, {"i64", 1, 8}},      Numbered{8, {"string", 1, 0}},       Numbered{9, {"bool", 1, 1}},
    Numbered{10, {"f16", 1, 2}},     Numbered{11, {"f64", 1, 8}},         Numbered{12, {"u32", 1, 4}},
    Numbered{13, {"u64", 1, 8}},     Numbered{14, {"c64", 1, 8}},         Numbered{15, {"c128", 1, 16}},
    Numbered{16, {"bf16", 1, 2}},    Numbered{17, {"f8_e4m3", 1, 1}},     Numbered{18, {"f8_e4m3fnuz", 1, 1}},
    Numbered{19, {"f8_e5m2", 1, 1}}, Numbered{20, {"f8_e5m2fnuz", 1, 1}}, Numbered{21, {"u4", 2, 1}},
    Numbered{22, {"i4", 2, 1}},      Numbered{23, {"f4_e2m1", 2, 1}},     Numbered{24, {"f8_e8m0", 1, 1}},
    Numbered{25, {"u2", 4, 1}},      Numbered{26, {"i2", 4, 1}},
};

// 4, 5 (q4_2, q4_3) and 36 to 38 were never in a GGUF file; 31 to 33 were until the end of 2024 and such files are still about.
constexpr std::array ggml_table = {
    Numbered{0, {"f32", 1, 4}},         Numbered{1, {"f16", 1, 2}},         Numbered{2, {"q4_0", 32, 18}},
    Numbered{3, {"q4_1", 32, 20}},      Numbered{6, {"q5_0", 32, 22}},      Numbered{7, {"q5_1", 32, 24}},
    Numbered{8, {"q8_0", 32, 34}},      Numbered{9, {"q8_1", 32, 36}},      Numbered{10, {"q2_k", 256, 84}},
    Numbered{11, {"q3_k", 256, 110}},   Numbered{12, {"q4_k", 256, 144}},   Numbered{13, {"q5_k", 256, 176}},
    Numbered{14, {"q6_k", 256, 210}},   Numbered{15, {"q8_k", 256, 292}},   Numbered{16, {"iq2_xxs", 256, 66}},
    Numbered{17, {"iq2_xs", 256, 74}},  Numbered{18, {"iq3_xxs", 256, 98}}, Numbered{19, {"iq1_s", 256, 50}},
    Numbered{20, {"iq4_nl", 32, 18}},   Numbered{21, {"iq3_s", 256, 110}},  Numbered{22, {"iq2_s", 256, 82}},
    Numbered{23, {"iq4_xs", 256, 136}}, Numbered{24, {"i8", 1, 1}},         Numbered{25, {"i16", 1, 2}},
    Numbered{26, {"i32", 1, 4}},        Numbered{27, {"i64", 1, 8}},        Numbered{28, {"f64", 1, 8}},
    Numbered{29, {"iq1_m", 256, 56}},   Numbered{30, {"bf16", 1, 2}},       Numbered{31, {"q4_0_4_4", 32, 18}},
    Numbered{32, {"q4_0_4_8", 32, 18}}, Numbered{33, {"q4_0_8_8", 32, 18}}, Numbered{34, {"tq1_0", 256, 54}},
    Numbered{35, {"tq2_0", 256, 66}},   Numbered{39, {"mxfp4", 32, 17}},    Numbered{40, {"nvfp4", 64, 36}},
    Numbered{41, {"q1_0", 128, 18}},    Numbered{42, {"q2_0", 64, 18}},
};

std::optional<Dtype> find(const auto& table, const auto& key) {
    const auto row = std::ranges::find_if(table, [&](const auto& candidate) { return candidate.key == key; });
    if (row == table.end()) return std::nullopt;
    return row->dtype;
}
}  // namespace

std::optional<Dtype> safetensors_dtype(std::string_view name) { return find(safetensors_table, name); }
std::optional<Dtype> onnx_dtype(u64 number) { return find(onnx_table, number); }
std::optional<Dtype> ggml_dtype(u64 number) { return find(ggml_table, number); }

Result<u64> element_count(std::string_view place, std::span<const u64> shape) {
    if (shape.size() > rank_max) return beyond(place, "the number of dimensions", shape.size(), rank_max);
    if (std::ranges::find(shape, u64{0}) != shape.end()) return u64{0};
    u64 count = 1;
    for (const u64 dimension : shape) {
        const u128 product = u128{count} * dimension;
        if (product > number_max)
            return invalid(place, "the shape has more than 2^63 - 1 elements: dimension ", dimension, " times ", count);
        count = static_cast<u64>(product);
    }
    return count;
}

Result<u64> size_of(std::string_view place, const Dtype& dtype, u64 elements) {
    const u64 blocks = div_ceil(elements, dtype.block_elements);
    const u128 size = u128{blocks} * dtype.block_bytes;
    if (size > number_max) return invalid(place, elements, " elements of ", dtype.name, " take more than 2^63 - 1 bytes");
    return static_cast<u64>(size);
}
}  // namespace vramd::formats
