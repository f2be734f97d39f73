/// Protobuf's wire format, read field by field from a file without loading what a field holds.
///
///     message = (tag value)*;  tag = varint (number << 3 | type);  value = varint | 8 bytes | varint size, bytes | 4 bytes
///
/// Groups (types 3 and 4) are long gone from the language and refused. Source: https://protobuf.dev/programming-guides/encoding/
#pragma once
#include <optional>

#include "formats/window.hpp"

namespace vramd::formats {
/// A message or text inside the file, already known to lie in it.
struct Span {
    u64 offset_bytes = 0;
    u64 size_bytes = 0;
};

enum class Wire : u8 { varint = 0, fixed_64 = 1, bytes = 2, fixed_32 = 5 };

struct Field {
    u32 number = 0;
    Wire wire{};
    u64 value = 0;  ///< Of a varint.
    Span span;      ///< The content of `bytes`; the value's own bytes for the fixed types and varints.
};

/// One file's messages, with the number of fields that may still be stepped over.
struct WireFile {
    explicit WireFile(Source& source);
    /// Counts fields off. Errors: `invalid_model` if fewer are left.
    [[nodiscard]] Result<void> spend(u64 fields);
    Window window;
    u64 fields_left;
};

/// Steps through one message. Borrows the file.
class Fields {
public:
    Fields(WireFile& file, const Span& message)
        : file_(file), at_bytes_(message.offset_bytes), end_bytes_(message.offset_bytes + message.size_bytes) {}
    /// The next field, or none at the message's end.
    /// Errors: `invalid_model` for what is no field or ends outside the message, and beyond `onnx_field_count_max`; the source's.
    [[nodiscard]] Result<std::optional<Field>> next();

private:
    [[nodiscard]] Result<u64> varint();
    WireFile& file_;
    u64 at_bytes_;
    u64 end_bytes_;
};

/// A varint at the start of `bytes`: its value and length; length 0 if it does not end in them, or does not fit 64 bits.
struct Varint {
    u64 value = 0;
    u64 size_bytes = 0;
};
[[nodiscard]] Varint parse_varint(std::span<const std::byte> bytes);
inline constexpr u64 varint_bytes_max = 10;

/// The text that a field holds. Errors: `invalid_model` if it is not of type `bytes`, too long or not UTF-8.
[[nodiscard]] Result<std::string> text_of(WireFile& file, const Field& field, std::string_view what, u64 size_max_bytes);
/// The message that a field holds. Errors: `invalid_model` if it is not of type `bytes`.
[[nodiscard]] Result<Span> message_of(const Field& field, std::string_view what);
/// Calls `each(value)` for every varint of a field: one, or a packed list. Errors: its own, `invalid_model` for other types and bad lists.
template <class Each>
[[nodiscard]] Result<void> each_varint(WireFile& file, const Field& field, std::string_view what, Each each);
}  // namespace vramd::formats

#include "formats/wire_lists.hpp"
