/// The OpenAPI 3.1 document, made from the route table and the descriptions of its types: what it says is what the daemon does.
#pragma once
#include <string>
#include <string_view>

#include "api/shape.hpp"

namespace vramd::api {
/// The whole document as JSON. Takes milliseconds: made once at start.
[[nodiscard]] std::string openapi_document();
/// An example of what `shape` describes, as JSON text: the fields' own examples; optional fields without one are left away.
[[nodiscard]] std::string example_text(const Shape& shape);
/// The version of the API that the document describes.
inline constexpr std::string_view api_version = "1.0.0";
}  // namespace vramd::api
