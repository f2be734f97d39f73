/// ONNX's TensorProto: from the message to where its bytes lie. Of a tensor's values only their place is read.
///
/// A tensor's values are in exactly one of: `raw_data` as they are; `float_data`, `double_data` (as they are, if in one piece);
/// `int32_data`, `int64_data`, `uint64_data` (varints, to be decoded); another file. Source: onnx.proto, message TensorProto.
#pragma once
#include "formats/layout.hpp"
#include "formats/relative_name.hpp"
#include "formats/wire.hpp"

namespace vramd::formats {
/// What the reader of an ONNX file keeps while it goes through the file.
struct OnnxFile {
    explicit OnnxFile(Source& source) : wire(source) {}
    WireFile wire;
    FileNames files;
    TensorList tensors;
    std::vector<Metadata> metadata;
};

/// The name that the message holds; empty if none.
[[nodiscard]] Result<std::string> onnx_tensor_name(OnnxFile& file, const Span& message);
/// Adds the TensorProto `message` under `name`.
[[nodiscard]] Result<void> add_onnx_tensor(OnnxFile& file, const std::string& name, const Span& message);

/// A repeated number of one field of a message, as met so far: packed lists and single values.
struct Values {
    u64 single_count = 0;
    u64 list_count = 0;
    u64 list_bytes = 0;
    Span last;  ///< The last list, or the last single value.

    /// Counts a field in. Errors: `invalid_model` if its wire type is neither `single` nor a list.
    [[nodiscard]] Result<void> meet(std::string_view name, const Field& field, Wire single);
    [[nodiscard]] bool met() const { return single_count + list_count > 0; }
};
/// How `values` of `field` in `message` become `found.size_bytes` bytes of elements of `element_bytes`: sets the storage of `found`.
/// `single` is the wire type of one value. Errors: `invalid_model` if the count cannot be right.
[[nodiscard]] Result<void> place_values(Found& found, const Span& message, u32 field, const Values& values, Wire single, u8 element_bytes);
}  // namespace vramd::formats
