/// The template behind `each_varint`; included by wire.hpp.
#pragma once
#include <algorithm>

#include "formats/refusal.hpp"

namespace vramd::formats {
template <class Each>
Result<void> each_varint(WireFile& file, const Field& field, std::string_view what, Each each) {
    if (field.wire == Wire::varint) return each(field.value);
    if (field.wire != Wire::bytes) return invalid(what, "at byte ", field.span.offset_bytes, " stands a field of the wrong wire type");
    const u64 end = field.span.offset_bytes + field.span.size_bytes;
    u64 at = field.span.offset_bytes;
    while (at < end) {
        TRY(auto bytes, file.window.some(at, end - at));
        if (bytes.size() < varint_bytes_max && at + bytes.size() < end) {  // The next one may be cut by the window's end.
            TRY(bytes, file.window.view(at, std::min(varint_bytes_max, end - at)));
        }
        do {
            const Varint varint = parse_varint(bytes);
            if (varint.size_bytes == 0) return invalid(what, "the list of numbers is broken at byte ", at);
            TRY_DO(each(varint.value));
            at += varint.size_bytes;
            bytes = bytes.subspan(varint.size_bytes);
        } while (bytes.size() >= varint_bytes_max || (at + bytes.size() == end && at < end));
    }
    return {};
}
}  // namespace vramd::formats
