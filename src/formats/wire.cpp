#include "formats/wire.hpp"

#include "base/range.hpp"
#include "formats/limits.hpp"

namespace vramd::formats {
namespace {
std::unexpected<Error> broken(u64 at_bytes, std::string_view why) {
    return invalid(say("byte ", at_bytes), "it is not valid protobuf: ", why);
}
}  // namespace

WireFile::WireFile(Source& source) : window(source), fields_left(onnx_field_count_max) {}

Result<void> WireFile::spend(u64 fields) {
    if (fields > fields_left) return beyond("protobuf", "the number of fields", onnx_field_count_max + 1, onnx_field_count_max);
    fields_left -= fields;
    return {};
}

Varint parse_varint(std::span<const std::byte> bytes) {
    Varint varint;
    for (u64 i = 0; i < bytes.size() && i < varint_bytes_max; ++i) {
        const u64 bits = static_cast<u64>(bytes[i]);
        if (i == varint_bytes_max - 1 && bits > 1) return {};
        varint.value |= (bits & 0x7f) << (7 * i);
        if (bits < 0x80) {
            varint.size_bytes = i + 1;
            return varint;
        }
    }
    return {};
}

Result<u64> Fields::varint() {
    TRY(const auto bytes, file_.window.view(at_bytes_, std::min(varint_bytes_max, end_bytes_ - at_bytes_)));
    const Varint varint = parse_varint(bytes);
    if (varint.size_bytes == 0) return broken(at_bytes_, "a number does not end");
    at_bytes_ += varint.size_bytes;
    return varint.value;
}

Result<std::optional<Field>> Fields::next() {
    if (at_bytes_ == end_bytes_) return std::nullopt;
    TRY_DO(file_.spend(1));
    const u64 start_bytes = at_bytes_;
    TRY(const u64 tag, varint());
    const u64 number = tag >> 3;
    const u64 type = tag & 7;
    if (number == 0 || number >= u64{1} << 29) return broken(start_bytes, say("there is no field ", number));
    if (type != 0 && type != 1 && type != 2 && type != 5) return broken(start_bytes, say("wire type ", type, " is not read"));
    Field field{static_cast<u32>(number), static_cast<Wire>(type), 0, {at_bytes_, 0}};
    if (field.wire == Wire::varint) {
        TRY(field.value, varint());
        field.span.size_bytes = at_bytes_ - field.span.offset_bytes;
        return field;
    }
    u64 size_bytes = field.wire == Wire::fixed_64 ? 8 : 4;
    if (field.wire == Wire::bytes) {
        TRY(size_bytes, varint());
    }
    const auto range = Range::within(end_bytes_, at_bytes_, size_bytes);
    if (!range) return broken(start_bytes, say("field ", number, " has ", size_bytes, " bytes; ", end_bytes_ - at_bytes_, " are left"));
    field.span = {at_bytes_, size_bytes};
    at_bytes_ = range->end_bytes();
    return field;
}

Result<std::string> text_of(WireFile& file, const Field& field, std::string_view what, u64 size_max_bytes) {
    if (field.wire != Wire::bytes) return invalid(what, "at byte ", field.span.offset_bytes, " stands a field of the wrong wire type");
    if (field.span.size_bytes > size_max_bytes) return beyond(what, "the length of a text", field.span.size_bytes, size_max_bytes);
    TRY(const auto bytes, file.window.view(field.span.offset_bytes, field.span.size_bytes));
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!is_text(text)) return invalid(what, "the text at byte ", field.span.offset_bytes, " is not valid UTF-8");
    return text;
}

Result<Span> message_of(const Field& field, std::string_view what) {
    if (field.wire != Wire::bytes) return invalid(what, "at byte ", field.span.offset_bytes, " stands a field of the wrong wire type");
    return field.span;
}
}  // namespace vramd::formats
