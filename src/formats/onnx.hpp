/// ONNX: one protobuf message whose graph holds the weights, in more places than its initializers.
///
/// Weights are found in: initializers, sparse initializers, the values of Constant nodes, every other tensor attribute of a node, and all
/// of these again in the subgraphs of a node (If, Loop, Scan), in functions and in training graphs. Plain numbers in the attributes of
/// other nodes (strides, axes) are parameters, not tensors. How tensors without a name of their own are called: see `Tensor::name`.
/// Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
#pragma once
#include "formats/onnx_tensor.hpp"

namespace vramd::formats {
/// True if the whole file is one protobuf message with ModelProto's fields and a graph. Does not look into the graph.
[[nodiscard]] Result<bool> looks_like_onnx(Source& source);

struct OnnxHeader {
    Header header;
    std::vector<std::string> files;  ///< External data; `Found::file` i is files[i - 1].
};
[[nodiscard]] Result<OnnxHeader> read_onnx(Source& source);
}  // namespace vramd::formats
