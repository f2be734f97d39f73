// Values that protobuf stores as varints, or scattered, into plain little-endian elements.
#include <algorithm>
#include <cstring>

#include "base/invariant.hpp"
#include "base/range.hpp"
#include "formats/limits.hpp"
#include "formats/model_file.hpp"
#include "formats/refusal.hpp"
#include "formats/wire.hpp"

namespace vramd::formats {
namespace {
constexpr std::string_view place = "values";

/// Fills the memory from front to back.
class Writer {
public:
    Writer(std::span<std::byte> memory, u64 element_bytes) : rest_(memory), element_bytes_(element_bytes) {}

    Result<void> element(u64 value) {
        if (element_bytes_ < 8) {
            // Either reading of the width is fine: 0xffff and -1 are one 16-bit pattern.
            const u64 bits = 8 * element_bytes_;
            const bool fits_unsigned = value >> bits == 0;
            const bool fits_signed = value >= ~u64{0} << (bits - 1);
            if (!fits_unsigned && !fits_signed)
                return invalid(place, "the value ", static_cast<i64>(value), " does not fit into ", bits, " bits");
        }
        return bytes(std::as_bytes(std::span(&value, 1)).first(element_bytes_));
    }
    Result<void> bytes(std::span<const std::byte> from) {
        if (from.size() > rest_.size()) return invalid(place, "there are more values than the shape has room for");
        std::memcpy(rest_.data(), from.data(), from.size());
        rest_ = rest_.subspan(from.size());
        return {};
    }
    Result<void> finish() const {
        if (!rest_.empty()) return invalid(place, "the last ", rest_.size(), " bytes of the tensor have no values");
        return {};
    }

private:
    std::span<std::byte> rest_;
    u64 element_bytes_;
};

Result<void> write_fixed(WireFile& file, const Field& field, Writer& writer) {
    u64 done = 0;
    while (done < field.span.size_bytes) {
        TRY(const auto piece, file.window.some(field.span.offset_bytes + done, field.span.size_bytes - done));
        TRY_DO(writer.bytes(piece));
        done += piece.size();
    }
    return {};
}
}  // namespace

Result<void> decode(const Decode& item, Source& source, std::span<std::byte> memory) {
    INVARIANT(memory.size() == item.memory_size_bytes);
    if (item.encoding == Encoding::zero) {
        std::ranges::fill(memory, std::byte{0});
        return {};
    }
    WireFile file(source);
    if (!Range::within(file.window.size_bytes(), item.file_offset_bytes, item.file_size_bytes))
        return invalid(place, "the file has become shorter: ", file.window.size_bytes(), " bytes");
    Writer writer(memory, item.element_bytes);
    Fields fields(file, {item.file_offset_bytes, item.file_size_bytes});
    while (true) {
        TRY(const auto field, fields.next());
        if (!field) return writer.finish();
        if (field->number != item.field) continue;
        if (item.encoding == Encoding::varint)
            TRY_DO(each_varint(file, *field, place, [&](u64 value) { return writer.element(value); }));
        else
            TRY_DO(write_fixed(file, *field, writer));
    }
}
}  // namespace vramd::formats
