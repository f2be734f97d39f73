/// Arbitrary values of any described type, for property tests: within the description's limits, with a liking for the edges.
#pragma once
#include <algorithm>

#include "api/shape.hpp"
#include "base/choices.hpp"

namespace vramd::api {
inline u64 arbitrary_number(u64 min, u64 max, Choices& choices) {
    switch (choices.below(6)) {
        case 0:
            return min;
        case 1:
            return max;
        case 2:
            return min + std::min<u64>(max - min, 1);
        case 3:
            return std::clamp<u64>((u64{1} << 53) + 1, min, max);
        case 4:
            return std::clamp<u64>(u64{1} << choices.below(64), min, max);
        default:
            return max - min == ~u64{0} ? choices.below(max) : min + choices.below(max - min + 1);
    }
}

inline std::string arbitrary_text(u64 bytes_min, u64 bytes_max, Choices& choices) {
    static constexpr std::string_view pieces[] = {"a", "Z", "0", "\"", "\\", "/", "~", " ", "ä", "€", "𝄞", "{", "null"};
    const u64 target = std::min<u64>(bytes_max, bytes_min + choices.below(20));
    std::string text;
    while (text.size() < target) {
        const std::string_view piece = pieces[choices.below(std::size(pieces))];
        text += text.size() + piece.size() <= target ? piece : std::string_view("x");
    }
    return text;
}

/// Fills `value`, freshly made and of the shape's type.
inline void fill_arbitrary(const Shape& shape, const Field& field, void* value, Choices& choices) {
    static const Field free_field{.member = {}, .tells = {}, .max = ~u64{0}};
    switch (shape.kind) {
        case Kind::boolean:
        case Kind::choice:
            shape.set_number(value, choices.below(shape.largest + 1));
            return;
        case Kind::integer:
        case Kind::decimal:
        case Kind::time: {
            const u64 number = arbitrary_number(field.min, std::min(field.max, shape.largest), choices);
            shape.set_number(
                value, field.rule == Rule::power_of_two ? std::clamp<u64>(u64{1} << choices.below(31), field.min, field.max) : number);
            return;
        }
        case Kind::text:
            *static_cast<std::string*>(value) = arbitrary_text(field.min, std::min(field.max, text_bytes_max), choices);
            return;
        case Kind::maybe:
            if (choices.below(3) > 0) fill_arbitrary(shape.inner(), field, shape.append(value), choices);
            return;
        case Kind::list:
            for (u64 i = std::min(field.max, field.min + choices.below(4)); i > 0; --i)
                fill_arbitrary(shape.inner(), free_field, shape.append(value), choices);
            return;
        case Kind::map:
            for (u64 i = choices.below(4); i > 0; --i)
                fill_arbitrary(shape.inner(), field, shape.enter(value, "owner" + std::to_string(i)), choices);
            return;
        case Kind::object:
            for (const Member& member : shape.members) fill_arbitrary(member.shape(), member.field, member.in(value), choices);
            return;
    }
}
}  // namespace vramd::api
