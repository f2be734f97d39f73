/// Requests that run: the bodies that the document and its browser show for each call that takes one.
///
/// They are told by hand, for what a call is good for cannot be made of its fields. They speak of one small world: the devices host0 and
/// host1, two allocations on host0 and the model file ocr/ch_PP-OCRv4_det_infer.onnx; tests/e2e/test_examples.py makes that world and
/// sends every one of them. The examples of ids are replaced by real ones there and in the browser.
#pragma once
#include <span>
#include <string_view>

namespace vramd::api {
struct RequestExample {
    std::string_view operation;  ///< The call's operationId.
    std::string_view name;       ///< Unique within the call; lower camel case.
    std::string_view summary;    ///< What it is good for, in a line.
    std::string_view body;       ///< JSON, or the bytes where the call takes bytes.
};
/// All of them, each call's together and the plainest of these first; constant.
[[nodiscard]] std::span<const RequestExample> request_examples();
}  // namespace vramd::api
