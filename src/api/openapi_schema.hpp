/// Shapes as JSON Schema (2020-12), for the OpenAPI document only.
#pragma once
#include <boost/json.hpp>
#include <map>
#include <string>
#include <string_view>

#include "api/shape.hpp"

namespace vramd::api {
/// A text of ours as Boost.JSON takes it.
[[nodiscard]] inline boost::json::string_view view(std::string_view text) { return {text.data(), text.size()}; }

/// Collects the schemas that are referred to, by name; each is made once.
class Schemas {
public:
    /// The schema of a value of this shape in the place that `field` describes; objects and choices as references.
    [[nodiscard]] boost::json::object schema_of(const Shape& shape, const Field& field);
    /// "#/components/schemas/NAME" of an object or choice, which is made if it is not there yet.
    [[nodiscard]] boost::json::object reference_to(const Shape& shape);
    [[nodiscard]] const std::map<std::string, boost::json::object>& all() const { return made_; }

private:
    [[nodiscard]] boost::json::object object_schema(const Shape& shape);
    [[nodiscard]] boost::json::object member_schema(const Member& member, const void* initial);
    [[nodiscard]] boost::json::object plain_schema(const Shape& shape, const Field& field);
    std::map<std::string, boost::json::object> made_;
};

/// An example of one member: its own, or one made from its type.
[[nodiscard]] boost::json::value member_example(const Shape& shape, const Field& field);
[[nodiscard]] boost::json::object object_example(const Shape& shape);
/// As text, with fractions in plain digits: Boost.JSON would write 25.5 as 2.55E1, which our own parser refuses.
[[nodiscard]] std::string text_of(const boost::json::value& value);
}  // namespace vramd::api
