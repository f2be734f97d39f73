#include "formats/onnx.hpp"

#include <algorithm>

#include "formats/limits.hpp"
#include "formats/onnx_node.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
namespace {
enum ModelField : u32 {
    ir_version = 1,
    producer_name = 2,
    producer_version = 3,
    domain = 4,
    model_version = 5,
    doc_string = 6,
    graph = 7,
    opset_import = 8,
    metadata_props = 14,
    training_info = 20,
    functions = 25,
    configuration = 26,
};

std::optional<Wire> wire_of(u32 number) {
    switch (number) {
        case ir_version:
        case model_version:
            return Wire::varint;
        case producer_name:
        case producer_version:
        case domain:
        case doc_string:
        case graph:
        case opset_import:
        case metadata_props:
        case training_info:
        case functions:
        case configuration:
            return Wire::bytes;
        default:
            return std::nullopt;
    }
}

/// A short text for the metadata, without failing over a long or odd one.
Result<void> keep_text(OnnxFile& file, std::string_view key, const Field& field) {
    const u64 size = std::min(field.span.size_bytes, metadata_value_bytes_max + 4);
    TRY(const auto bytes, file.wire.window.view(field.span.offset_bytes, size));
    keep(file.metadata, key, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return {};
}

Result<void> keep_pair(OnnxFile& file, const Span& message) {
    Fields fields(file.wire, message);
    std::string key;
    std::optional<Field> value;
    while (true) {
        TRY(const auto field, fields.next());
        if (!field) break;
        if (field->number == 1 && field->span.size_bytes <= metadata_key_bytes_max) {
            TRY(key, text_of(file.wire, *field, "metadata_props", metadata_key_bytes_max));
        } else if (field->number == 2 && field->wire == Wire::bytes) {
            value = field;
        }
    }
    return value ? keep_text(file, key, *value) : Result<void>();
}

Result<void> read_training(OnnxFile& file, const Span& message, u64 index) {
    Fields fields(file.wire, message);
    while (true) {
        TRY(const auto field, fields.next());
        if (!field) return {};
        if (field->number != 1 && field->number != 2) continue;
        TRY(const Span graph_message, message_of(*field, "training_info"));
        TRY_DO(read_graph(file, graph_message, say("training#", index, field->number == 1 ? ".initialization/" : ".algorithm/"), 1));
    }
}

Result<void> read_model_field(OnnxFile& file, const Field& field, u64& training_count) {
    switch (field.number) {
        case graph:
            return read_graph(file, field.span, "", 0);
        case functions:
            return read_function(file, field.span);
        case training_info:
            return read_training(file, field.span, training_count++);
        case metadata_props:
            return keep_pair(file, field.span);
        case producer_name:
            return keep_text(file, "producer_name", field);
        case producer_version:
            return keep_text(file, "producer_version", field);
        case ir_version:
            keep(file.metadata, "ir_version", std::to_string(field.value));
            return {};
        default:
            return {};
    }
}
}  // namespace

Result<bool> looks_like_onnx(Source& source) {
    WireFile file(source);
    Fields fields(file, {0, file.window.size_bytes()});
    bool has_graph = false;
    while (true) {
        const auto field = fields.next();
        if (!field && field.error().code == Code::invalid_model) return false;
        if (!field) return std::unexpected(field.error());
        if (!*field) return has_graph;
        const auto wire = wire_of((*field)->number);
        if (!wire || *wire != (*field)->wire) return false;
        has_graph |= (*field)->number == graph;
    }
}

Result<OnnxHeader> read_onnx(Source& source) {
    OnnxFile file(source);
    Fields fields(file.wire, {0, file.wire.window.size_bytes()});
    bool has_graph = false;
    u64 training_count = 0;
    while (true) {
        TRY(const auto field, fields.next());
        if (!field) break;
        if (const auto wire = wire_of(field->number); wire && *wire != field->wire)
            return invalid("model", "field ", field->number, " of ModelProto has the wrong wire type");
        if (field->number == graph && has_graph) return invalid("graph", "the model has two graphs");
        has_graph |= field->number == graph;
        TRY_DO(read_model_field(file, *field, training_count));
    }
    if (!has_graph) return invalid("model", "it has no graph");
    return OnnxHeader{{file.tensors.take(), std::move(file.metadata)}, file.files.names()};
}
}  // namespace vramd::formats
