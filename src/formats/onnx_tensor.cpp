#include "formats/onnx_tensor.hpp"

#include <algorithm>
#include <charconv>

#include "formats/limits.hpp"
#include "formats/refusal.hpp"

namespace vramd::formats {
namespace {
enum TensorField : u32 {
    dims = 1,
    data_type = 2,
    segment = 3,
    float_data = 4,
    int32_data = 5,
    string_data = 6,
    int64_data = 7,
    name_field = 8,
    raw_data = 9,
    double_data = 10,
    uint64_data = 11,
    external_data = 13,
    data_location = 14,
};
constexpr u32 typed_first = float_data;
constexpr u32 typed_last = uint64_data;

/// Where TensorProto keeps the values of a dtype if not in raw_data, and how wide one of them becomes.
struct TypedField {
    u32 number;
    Wire single;
    u8 element_bytes;
};
TypedField typed_field(const Dtype& dtype) {
    if (dtype.name == "f32" || dtype.name == "c64") return {float_data, Wire::fixed_32, 4};
    if (dtype.name == "f64" || dtype.name == "c128") return {double_data, Wire::fixed_64, 8};
    if (dtype.name == "i64") return {int64_data, Wire::varint, 8};
    if (dtype.name == "u64") return {uint64_data, Wire::varint, 8};
    if (dtype.name == "u32") return {uint64_data, Wire::varint, 4};
    return {int32_data, Wire::varint, static_cast<u8>(dtype.block_bytes)};
}

Wire single_wire(u32 field) {
    if (field == float_data) return Wire::fixed_32;
    if (field == double_data) return Wire::fixed_64;
    return field == string_data || field == raw_data ? Wire::bytes : Wire::varint;
}

struct External {
    std::string location;
    u64 offset_bytes = 0;
    std::optional<u64> length_bytes;
};

/// One TensorProto as read.
class Reader {
public:
    Reader(OnnxFile& file, const std::string& name, const Span& message) : file_(file), name_(name), message_(message) {}

    Result<Found> read() {
        Fields fields(file_.wire, message_);
        while (true) {
            TRY(const auto field, fields.next());
            if (!field) break;
            TRY_DO(meet(*field));
        }
        return finish();
    }

private:
    Result<void> meet(const Field& field) {
        if (field.number >= typed_first && field.number <= typed_last && field.number != name_field)
            return values_[field.number - typed_first].meet(name_, field, single_wire(field.number));
        switch (field.number) {
            case dims:
                return each_varint(file_.wire, field, name_, [&](u64 dimension) -> Result<void> {
                    if (shape_.size() == rank_max) return beyond(name_, "the number of dimensions", rank_max + 1, rank_max);
                    if (dimension > number_max) return invalid(name_, "a dimension is negative");
                    shape_.push_back(dimension);
                    return {};
                });
            case data_type:
                type_ = field.value;
                return {};
            case segment:
                return refuse(Code::unsupported, name_, "the tensor is one segment of a larger one; such tensors are not read");
            case data_location:
                location_ = field.value;
                return {};
            case external_data:
                return meet_external(field);
            default:
                return {};
        }
    }

    Result<void> meet_external(const Field& field) {
        TRY(const Span entry, message_of(field, name_));
        Fields fields(file_.wire, entry);
        std::string key;
        std::string value;
        while (true) {
            TRY(const auto part, fields.next());
            if (!part) break;
            if (part->number == 1) {
                TRY(key, text_of(file_.wire, *part, name_, name_bytes_max));
            } else if (part->number == 2) {
                TRY(value, text_of(file_.wire, *part, name_, name_bytes_max));
            }
        }
        if (key == "location") external_.location = value;
        if (key == "offset") {
            TRY(external_.offset_bytes, number_in(key, value));
        } else if (key == "length") {
            TRY(external_.length_bytes, number_in(key, value));
        }
        return {};
    }
    Result<u64> number_in(std::string_view key, std::string_view text) const {
        u64 number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size() || number > number_max)
            return invalid(name_, "the external data's ", key, " '", place_text(text), "' is not a number below 2^63");
        return number;
    }

    const Values& values_of(u32 field) const { return values_[field - typed_first]; }

    Result<Found> finish() {
        Found found{};
        found.name = name_;
        const auto dtype = onnx_dtype(type_);
        if (!dtype) return invalid(name_, "its data type ", type_, " is unknown");
        found.dtype = dtype->name;
        found.offset_bytes = message_.offset_bytes;
        TRY(const u64 elements, element_count(name_, shape_));
        found.shape = std::move(shape_);
        if (dtype->name == "string") return finish_strings(std::move(found), elements);
        TRY(found.size_bytes, size_of(name_, *dtype, elements));
        TRY_DO(place(found, *dtype));
        if (found.size_bytes == 0) found.storage = Storage::none;
        return found;
    }

    /// Strings have no fixed size, so no tensor in memory: they are listed, and stay in the file.
    Result<Found> finish_strings(Found found, u64 elements) const {
        found.storage = Storage::none;
        const Values& strings = values_of(string_data);
        if (location_ == 0 && strings.list_count != elements)
            return invalid(name_, "it holds ", strings.list_count, " texts; its shape needs ", elements);
        return found;
    }

    Result<void> place(Found& found, const Dtype& dtype) {
        const TypedField typed = typed_field(dtype);
        for (u32 number = typed_first; number <= typed_last; ++number)
            if (number != typed.number && number != raw_data && values_of(number).list_count + values_of(number).single_count > 0 &&
                number != name_field)
                return invalid(name_, "its values lie in field ", number, " of TensorProto, where ", dtype.name, " does not belong");
        const bool has_raw = values_of(raw_data).met();
        const bool has_typed = values_of(typed.number).met();
        if ((has_raw && has_typed) || (location_ != 0 && (has_raw || has_typed))) return invalid(name_, "it has its values in two places");
        if (location_ > 1) return invalid(name_, "its data location is ", location_, "; 0 and 1 are known");
        if (location_ == 1) return place_external(found);
        if (has_raw) return place_raw(found);
        if (has_typed) return place_values(found, message_, typed.number, values_of(typed.number), typed.single, typed.element_bytes);
        if (found.size_bytes != 0) return invalid(name_, "it has no data; its shape and dtype need ", found.size_bytes, " bytes");
        return {};
    }
    Result<void> place_raw(Found& found) const {
        const Values& raw = values_of(raw_data);
        if (raw.list_count != 1) return invalid(name_, "raw_data occurs ", raw.list_count, " times");
        if (raw.list_bytes != found.size_bytes)
            return invalid(name_, "raw_data has ", raw.list_bytes, " bytes; shape and dtype need ", found.size_bytes);
        found.offset_bytes = raw.last.offset_bytes;
        return {};
    }
    Result<void> place_external(Found& found) {
        TRY(found.file, file_.files.index_of(name_, external_.location));
        if (external_.length_bytes && *external_.length_bytes != found.size_bytes)
            return invalid(name_, "its external data has ", *external_.length_bytes, " bytes; shape and dtype need ", found.size_bytes);
        found.offset_bytes = external_.offset_bytes;
        return {};
    }

    OnnxFile& file_;
    const std::string& name_;
    Span message_;
    std::vector<u64> shape_;
    u64 type_ = 0;
    u64 location_ = 0;
    External external_;
    std::array<Values, typed_last - typed_first + 1> values_{};
};
}  // namespace

Result<void> Values::meet(std::string_view name, const Field& field, Wire single) {
    if (field.wire != single && field.wire != Wire::bytes) return invalid(name, "field ", field.number, " has the wrong wire type");
    last = field.span;
    if (field.wire == Wire::bytes) {
        ++list_count;
        list_bytes += field.span.size_bytes;  // Spans of one message do not overlap, so their sum is at most the file's size.
    } else {
        ++single_count;
    }
    return {};
}

Result<void> place_values(Found& found, const Span& message, u32 field, const Values& values, Wire single, u8 element_bytes) {
    const u64 needed = found.size_bytes / element_bytes;
    const bool fixed = single != Wire::varint;
    if (fixed && values.list_bytes % element_bytes != 0)
        return invalid(found.name, "its list of values has ", values.list_bytes, " bytes, not whole values of ", element_bytes);
    const u64 count_max = values.single_count + (fixed ? values.list_bytes / element_bytes : values.list_bytes);
    const u64 count_min = values.single_count + (fixed ? values.list_bytes / element_bytes : div_ceil(values.list_bytes, varint_bytes_max));
    if (needed < count_min || needed > count_max)
        return invalid(found.name, "its shape and dtype need ", needed, " values; it holds from ", count_min, " to ", count_max);
    if (fixed && values.single_count + values.list_count == 1) {
        found.storage = Storage::plain;
        found.offset_bytes = values.last.offset_bytes;
        return {};
    }
    found.storage = Storage::encoded;
    found.offset_bytes = message.offset_bytes;
    found.stored_bytes = message.size_bytes;
    found.field = field;
    found.encoding = fixed ? Encoding::fixed : Encoding::varint;
    found.element_bytes = element_bytes;
    return {};
}

Result<std::string> onnx_tensor_name(OnnxFile& file, const Span& message) {
    Fields fields(file.wire, message);
    std::string name;
    while (true) {
        TRY(const auto field, fields.next());
        if (!field) return name;
        if (field->number == name_field) {
            TRY(name, text_of(file.wire, *field, "tensor", name_bytes_max));
        }
    }
}

Result<void> add_onnx_tensor(OnnxFile& file, const std::string& name, const Span& message) {
    TRY_DO(check_name("graph", name));
    TRY(auto found, Reader(file, name, message).read());
    return file.tensors.add(std::move(found));
}
}  // namespace vramd::formats
