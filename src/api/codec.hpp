/// Between JSON, query strings and described structs: one strict parser and one writer for all of them.
///
/// Strict means: an unknown or repeated field, a number of the wrong form (`1e3`, `1.0` or `"1"` where an integer is meant), a value
/// beyond its limits or a control character in a text is refused, by its name, with the value as sent and the limit. A value that parses is
/// in range. `parse<T>(write(x))` is x for every x within its ranges. Needs `shape.hpp`'s description of T. Free of state; any thread.
#pragma once
#include "api/json.hpp"
#include "api/shape.hpp"
#include "http/message.hpp"

namespace vramd::api {
/// Fills `value`, of the type that `shape` describes and freshly made, from `node`; `pointer` is where the node stands ("" at the root).
/// Errors: `invalid_field`; `field` is the JSON pointer, `value` and `limit` the numbers where u64s can hold them, `detail` the sentence.
[[nodiscard]] Result<void> parse_node(const Node& node, const Shape& shape, void* value, const std::string& pointer);
/// The same from query items; the pointer of an error is "?name". Only booleans, integers, decimals, texts and choices can be asked for.
[[nodiscard]] Result<void> parse_query_items(const std::vector<http::Field>& items, const Shape& shape, void* value);
/// Appends `value`, of the type that `shape` describes, as compact JSON.
void write_value(std::string& out, const Shape& shape, const void* value);

/// A T from a JSON text (at most 1 MiB); an empty text stands for `{}`. Errors: of `read_json` and `parse_node`.
template <class T>
[[nodiscard]] Result<T> parse(std::string_view text) {
    TRY(const Node node, read_json(text.empty() ? std::string_view("{}") : text));
    T value{};
    TRY_DO(parse_node(node, shape_of<T>(), &value, {}));
    return value;
}
template <class T>
[[nodiscard]] Result<T> parse_query(const std::vector<http::Field>& items) {
    T value{};
    TRY_DO(parse_query_items(items, shape_of<T>(), &value));
    return value;
}
template <class T>
[[nodiscard]] std::string write(const T& value) {
    std::string out;
    write_value(out, shape_of<T>(), &value);
    return out;
}
}  // namespace vramd::api
