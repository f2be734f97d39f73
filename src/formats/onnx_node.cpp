#include "formats/onnx_node.hpp"

#include <algorithm>
#include <array>

#include "formats/limits.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
namespace {
enum GraphField : u32 { graph_node = 1, graph_initializer = 5, graph_sparse_initializer = 15 };
enum NodeField : u32 { node_output = 2, node_op_type = 4, node_attribute = 5, node_domain = 7 };
enum FunctionField : u32 { function_name = 1, function_node = 7, function_domain = 10, function_overload = 13 };
enum AttributeField : u32 {
    attribute_name = 1,
    attribute_f = 2,
    attribute_i = 3,
    attribute_s = 4,
    attribute_t = 5,
    attribute_g = 6,
    attribute_floats = 7,
    attribute_ints = 8,
    attribute_strings = 9,
    attribute_tensors = 10,
    attribute_graphs = 11,
    attribute_reference = 21,
    attribute_sparse_tensor = 22,
    attribute_sparse_tensors = 23,
};

/// Making a long path costs about as much as stepping over this fraction of its length in fields.
constexpr u64 path_bytes_per_field = 64;

/// Where the walk is: what stands before names, and how many graphs are around.
struct Place {
    const std::string& path;
    u64 depth;
};

Result<void> add_sparse(OnnxFile& file, const std::string& path, std::string name, const Span& message) {
    Fields fields(file.wire, message);
    std::optional<Span> values;
    std::optional<Span> indices;
    std::string shape;
    while (true) {
        TRY(const auto field, fields.next());
        if (!field) break;
        if (field->number == 1) {
            TRY(values, message_of(*field, path));
        } else if (field->number == 2) {
            TRY(indices, message_of(*field, path));
        } else if (field->number == 3) {
            TRY_DO(each_varint(file.wire, *field, path, [&](u64 dimension) -> Result<void> {
                if (shape.size() < metadata_value_bytes_max) shape += say(shape.empty() ? "" : ",", dimension);
                return {};
            }));
        }
    }
    if (!values || !indices) return invalid(path + name, "a sparse tensor needs values and indices");
    if (name.empty()) {
        TRY(name, onnx_tensor_name(file, *values));
        TRY_DO(check_name("sparse_initializer", name));
    }
    keep(file.metadata, say("sparse.", path, name), say("[", shape, "]"));
    TRY_DO(add_onnx_tensor(file, say(path, name, ".values"), *values));
    return add_onnx_tensor(file, say(path, name, ".indices"), *indices);
}

/// The value of a Constant node that is not a tensor message: one number or a list of them, as `value_float` and its like hold it.
class ConstantNumbers {
public:
    ConstantNumbers(OnnxFile& file, std::string name, const Span& attribute) : file_(file), attribute_(attribute) {
        found_.name = std::move(name);
    }

    Result<void> add(std::string_view kind) {
        const bool list = kind.ends_with('s');
        const bool is_float = kind.starts_with("value_float");
        if (kind.starts_with("value_string")) return add_texts(list ? attribute_strings : attribute_s, list);
        const u32 field = is_float ? (list ? attribute_floats : attribute_f) : (list ? attribute_ints : attribute_i);
        const Wire single = is_float ? Wire::fixed_32 : Wire::varint;
        const u8 element_bytes = is_float ? 4 : 8;
        TRY_DO(count(field, single));
        const u64 elements = list ? count_ : 1;
        if (!list && values_.list_count + values_.single_count > 1) return invalid(found_.name, "its one value occurs twice");
        found_.dtype = is_float ? "f32" : "i64";
        if (list) found_.shape = {elements};
        found_.size_bytes = elements * element_bytes;  // At most 8 per byte of the file.
        found_.offset_bytes = attribute_.offset_bytes;
        if (elements == 0) {
            found_.storage = Storage::none;
        } else if (!values_.met()) {
            found_.storage = Storage::encoded;  // proto3 leaves out a number that is zero.
            found_.stored_bytes = attribute_.size_bytes;
            found_.field = field;
            found_.encoding = Encoding::zero;
            found_.element_bytes = element_bytes;
        } else {
            if (!list && values_.list_count != 0) return invalid(found_.name, "its one value has the wrong wire type");
            if (!is_float || values_.single_count + values_.list_count > 1) {
                TRY_DO(place_values(found_, attribute_, field, values_, single, element_bytes));
            } else {
                found_.offset_bytes = values_.last.offset_bytes;
            }
        }
        return file_.tensors.add(std::move(found_));
    }

private:
    /// Meets all the fields and counts their values.
    Result<void> count(u32 number, Wire single) {
        Fields fields(file_.wire, attribute_);
        while (true) {
            TRY(const auto field, fields.next());
            if (!field) return {};
            if (field->number != number) continue;
            TRY_DO(values_.meet(found_.name, *field, single));
            if (values_.list_bytes > onnx_attribute_list_bytes_max)
                return beyond(found_.name, "the length of an attribute's list", values_.list_bytes, onnx_attribute_list_bytes_max);
            if (single == Wire::varint) {
                TRY_DO(each_varint(file_.wire, *field, found_.name, [&](u64) -> Result<void> {
                    ++count_;
                    return {};
                }));
            } else if (field->span.size_bytes % 4 != 0) {
                return invalid(found_.name, "its list of floats has ", field->span.size_bytes, " bytes, not whole floats");
            } else {
                count_ += field->span.size_bytes / 4;
            }
        }
    }
    Result<void> add_texts(u32 number, bool list) {
        Fields fields(file_.wire, attribute_);
        while (true) {
            TRY(const auto field, fields.next());
            if (!field) break;
            if (field->number == number) ++count_;
        }
        found_.dtype = "string";
        found_.storage = Storage::none;
        found_.offset_bytes = attribute_.offset_bytes;
        if (list) found_.shape = {count_};
        return file_.tensors.add(std::move(found_));
    }

    OnnxFile& file_;
    Span attribute_;
    Found found_{};
    Values values_;
    u64 count_ = 0;
};

constexpr std::array<std::string_view, 6> constant_numbers = {"value_float", "value_floats", "value_int",
                                                              "value_ints",  "value_string", "value_strings"};

/// The node around an attribute.
struct Node {
    std::string output;  ///< Its first output's name, or OPTYPE#INDEX.
    bool is_constant = false;
};

/// What an attribute called `name` holds of tensors and graphs.
Result<void> read_values(OnnxFile& file, const Place& place, const std::string& name, const Span& message) {
    u64 index = 0;
    Fields body(file.wire, message);
    while (true) {
        TRY(const auto field, body.next());
        if (!field) return {};
        if (field->wire != Wire::bytes) continue;
        switch (field->number) {
            case attribute_t:
                TRY_DO(add_onnx_tensor(file, say(place.path, name), field->span));
                break;
            case attribute_g:
                TRY_DO(read_graph(file, field->span, say(place.path, name, "/"), place.depth + 1));
                break;
            case attribute_tensors:
                TRY_DO(add_onnx_tensor(file, say(place.path, name, "[", index++, "]"), field->span));
                break;
            case attribute_graphs:
                TRY_DO(read_graph(file, field->span, say(place.path, name, "[", index++, "]/"), place.depth + 1));
                break;
            case attribute_sparse_tensor:
                TRY_DO(add_sparse(file, place.path, name, field->span));
                break;
            case attribute_sparse_tensors:
                TRY_DO(add_sparse(file, place.path, say(name, "[", index++, "]"), field->span));
                break;
            default:
                break;
        }
    }
}

Result<void> read_attribute(OnnxFile& file, const Place& place, const Node& node, const Span& message) {
    std::string name;
    Fields head(file.wire, message);
    while (true) {
        TRY(const auto field, head.next());
        if (!field) break;
        if (field->number == attribute_reference) return {};  // Its value is the function's caller's.
        if (field->number == attribute_name) {
            TRY(name, text_of(file.wire, *field, node.output, name_bytes_max));
        }
    }
    if (node.is_constant && std::ranges::find(constant_numbers, name) != constant_numbers.end()) {
        std::string here = say(place.path, node.output);
        TRY_DO(check_name("graph", here));
        return ConstantNumbers(file, std::move(here), message).add(name);
    }
    return read_values(file, place, node.is_constant ? node.output : say(node.output, ".", name), message);
}

Result<void> read_node(OnnxFile& file, const Place& place, const Span& message, u64 index) {
    Node node;
    std::string op_type;
    std::string domain;
    bool has_attributes = false;
    Fields head(file.wire, message);
    while (true) {
        TRY(const auto field, head.next());
        if (!field) break;
        if (field->number == node_output && node.output.empty()) {
            TRY(node.output, text_of(file.wire, *field, "node", name_bytes_max));
        } else if (field->number == node_op_type) {
            TRY(op_type, text_of(file.wire, *field, "node", name_bytes_max));
        } else if (field->number == node_domain) {
            TRY(domain, text_of(file.wire, *field, "node", name_bytes_max));
        }
        has_attributes |= field->number == node_attribute;
    }
    if (!has_attributes) return {};
    node.is_constant = op_type == "Constant" && (domain.empty() || domain == "ai.onnx");
    if (node.output.empty()) node.output = say(op_type, "#", index);
    Fields body(file.wire, message);
    while (true) {
        TRY(const auto field, body.next());
        if (!field) return {};
        if (field->number != node_attribute) continue;
        TRY(const Span attribute, message_of(*field, node.output));
        TRY_DO(read_attribute(file, place, node, attribute));
    }
}
}  // namespace

Result<void> read_graph(OnnxFile& file, const Span& message, const std::string& path, u64 depth) {
    if (depth > nesting_max) return beyond(path, "the nesting of graphs", depth, nesting_max);
    if (path.size() > name_bytes_max) return beyond(path, "the length of the path of nested graphs", path.size(), name_bytes_max);
    TRY_DO(file.wire.spend(path.size() / path_bytes_per_field));
    Fields fields(file.wire, message);
    u64 node_index = 0;
    while (true) {
        TRY(const auto field, fields.next());
        if (!field) return {};
        if (field->number != graph_node && field->number != graph_initializer && field->number != graph_sparse_initializer) continue;
        TRY(const Span part, message_of(*field, "graph"));
        if (field->number == graph_node) {
            TRY_DO(read_node(file, {path, depth}, part, node_index++));
        } else if (field->number == graph_sparse_initializer) {
            TRY_DO(add_sparse(file, path, "", part));
        } else {
            TRY(const auto name, onnx_tensor_name(file, part));
            if (name.empty()) return invalid(say(path, "initializer"), "an initializer has no name");
            TRY_DO(add_onnx_tensor(file, path + name, part));
        }
    }
}

Result<void> read_function(OnnxFile& file, const Span& message) {
    std::string name;
    std::string domain;
    std::string overload;
    Fields head(file.wire, message);
    while (true) {
        TRY(const auto field, head.next());
        if (!field) break;
        if (field->number == function_name) {
            TRY(name, text_of(file.wire, *field, "function", name_bytes_max));
        } else if (field->number == function_domain) {
            TRY(domain, text_of(file.wire, *field, "function", name_bytes_max));
        } else if (field->number == function_overload) {
            TRY(overload, text_of(file.wire, *field, "function", name_bytes_max));
        }
    }
    const std::string path = say(domain, domain.empty() ? "" : ".", name, overload.empty() ? "" : ":", overload, "/");
    Fields body(file.wire, message);
    u64 node_index = 0;
    while (true) {
        TRY(const auto field, body.next());
        if (!field) return {};
        if (field->number != function_node) continue;
        TRY(const Span node, message_of(*field, "function"));
        TRY_DO(read_node(file, {path, 1}, node, node_index++));
    }
}
}  // namespace vramd::formats
