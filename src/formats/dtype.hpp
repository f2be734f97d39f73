/// The element types of all formats in one vocabulary, with the bytes they take.
///
/// Sources: safetensors/src/tensor.rs (Dtype), onnx.proto (TensorProto.DataType), ggml.h (ggml_type) and the block structures of
/// ggml-common.h.
#pragma once
#include <optional>
#include <span>
#include <string_view>

#include "base/result.hpp"

namespace vramd::formats {
/// `block_elements` elements take `block_bytes` bytes: 1 and 4 for f32, 2 and 1 for u4, 256 and 144 for q4_k.
struct Dtype {
    std::string_view name;
    u16 block_elements;
    u16 block_bytes;
};

/// The dtype that a safetensors header calls `name` ("F32"), or none.
[[nodiscard]] std::optional<Dtype> safetensors_dtype(std::string_view name);
/// The dtype with this number in TensorProto.DataType; `string` has block_bytes 0.
[[nodiscard]] std::optional<Dtype> onnx_dtype(u64 number);
/// The dtype with this number in ggml_type.
[[nodiscard]] std::optional<Dtype> ggml_dtype(u64 number);

/// The product of the dimensions; 1 without any. Errors: `invalid_model` from 2^63 on.
[[nodiscard]] Result<u64> element_count(std::string_view place, std::span<const u64> shape);
/// The bytes of `elements` elements; below 8 bits the last byte may be part used. Errors: `invalid_model` from 2^63 on.
[[nodiscard]] Result<u64> size_of(std::string_view place, const Dtype& dtype, u64 elements);
}  // namespace vramd::formats
