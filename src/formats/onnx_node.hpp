/// ONNX graphs, nodes, attributes and functions: where the tensors are and what they are called.
#pragma once
#include "formats/onnx_tensor.hpp"

namespace vramd::formats {
/// Adds every tensor of the GraphProto and of what is nested in it; `path` goes before each name. `depth` counts the graphs around it.
[[nodiscard]] Result<void> read_graph(OnnxFile& file, const Span& message, const std::string& path, u64 depth);
/// Adds every tensor in the nodes of the FunctionProto.
[[nodiscard]] Result<void> read_function(OnnxFile& file, const Span& message);
}  // namespace vramd::formats
