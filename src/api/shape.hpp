/// What a C++ type looks like as JSON, described once beside the type and read by everything else: parser, writer, OpenAPI.
///
/// A struct is described by Boost.Describe (its members) and by a `Description` (what each member means, its unit and range). From the
/// two, `shape_of<T>()` makes a `Shape`: a constant table that ordinary functions walk, so that forty resources cost forty tables and
/// not forty parsers.
/// Invariants, checked when compiling: a description has one row for each member, in the members' order; a `std::optional` member
/// may be absent.
/// Names on the wire are the members' names in lower camel case (`size_bytes` → `sizeBytes`); an enumeration's are its `EnumNames`.
#pragma once
#include <algorithm>
#include <array>
#include <boost/describe.hpp>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/values.hpp"
#include "base/types.hpp"
#include "terms/enums.hpp"

namespace vramd::api {
/// Whether a member may be missing.
enum class Presence : u8 {
    always,    ///< A request without it is refused; an answer always has it.
    optional,  ///< May be absent: a `std::optional` stays empty, any other type keeps its initial value.
    nullable,  ///< A `std::optional` that answers show as null when it is empty.
};
enum class Rule : u8 { none, power_of_two };

/// What is told of one member. All texts have static lifetime.
struct Field {
    std::string_view member;        ///< The C++ name; checked against the struct.
    std::string_view tells;         ///< One sentence for the reader of the API.
    std::string_view example = {};  ///< As JSON text. Empty: made from the type.
    std::string_view unit = {};
    u64 min = 0;           ///< Integers: smallest value. Texts: fewest bytes. Lists: fewest items.
    u64 max = number_max;  ///< Integers: largest value. Texts: most bytes (at most `text_bytes_max`). Lists: most items.
    Presence presence = Presence::always;
    Rule rule = Rule::none;
};
inline constexpr u64 text_bytes_max = 4096;

template <std::size_t N>
struct Description {
    std::string_view name;  ///< Of the type, as OpenAPI shows it.
    std::string_view tells;
    std::array<Field, N> fields;
};
template <std::size_t N>
[[nodiscard]] consteval Description<N> describe(std::string_view name, std::string_view tells, const Field (&fields)[N]) {
    return {name, tells, std::to_array(fields)};
}
/// Of a struct that adds members to a described one: the base's rows come first.
template <std::size_t B, std::size_t N>
[[nodiscard]] consteval Description<B + N> describe(std::string_view name, std::string_view tells, const Description<B>& base,
                                                    const Field (&fields)[N]) {
    Description<B + N> whole{name, tells, {}};
    std::copy_n(base.fields.begin(), B, whole.fields.begin());
    std::copy_n(fields, N, whole.fields.begin() + B);
    return whole;
}
/// Of a struct that has a described one's members but for `left_out`, in the same order.
template <std::size_t N>
[[nodiscard]] consteval Description<N - 1> describe_without(const Description<N>& whole, std::string_view left_out, std::string_view name,
                                                            std::string_view tells) {
    Description<N - 1> part{name, tells, {}};
    std::ranges::copy_if(whole.fields, part.fields.begin(), [&](const Field& field) { return field.member != left_out; });
    return part;
}
/// Of an enumeration, or of a struct without members.
[[nodiscard]] consteval Description<0> describe(std::string_view name, std::string_view tells) { return {name, tells, {}}; }

/// The description of T; specialised beside each struct and enumeration that goes over the wire.
template <class T>
inline constexpr int description = 0;

/// A member's name as it goes over the wire; made when compiling.
struct WireName {
    std::array<char, 48> text{};
    std::size_t size = 0;
    [[nodiscard]] constexpr std::string_view view() const { return {text.data(), size}; }
};
[[nodiscard]] constexpr WireName wire_name(std::string_view name) {
    WireName wire;
    bool raise = false;
    for (const char c : name) {
        if (c == '_') {
            raise = true;
            continue;
        }
        wire.text[wire.size++] = raise && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        raise = false;
    }
    return wire;
}

struct Shape;
/// One member of a described struct.
struct Member {
    Field field;
    WireName name;
    const Shape& (*shape)();
    void* (*in)(void* object);  ///< The member's address in an object.

    [[nodiscard]] const void* in_const(const void* object) const { return in(const_cast<void*>(object)); }
};

/// `map`: an object whose member names are the caller's own, such as owners; `Field::min` and `max` bound its values.
enum class Kind : u8 { boolean, integer, decimal, time, text, choice, maybe, list, map, object };

/// How to reach into a value of one type without knowing the type. Functions that a kind has no use for are null.
struct Shape {
    Kind kind{};
    std::string_view name = {};  ///< Of an object or choice.
    std::string_view tells = {};
    std::span<const Member> members = {};            ///< object
    std::shared_ptr<void> (*make)() = nullptr;       ///< object: a new one with its initial values
    std::span<const std::string_view> choices = {};  ///< choice: by ordinal
    u32 decimals = 0;                                ///< decimal
    u64 largest = number_max;                        ///< integer, decimal: what the type can hold (decimal: in units)
    const Shape& (*inner)() = nullptr;               ///< maybe, list, map
    /// boolean, integer, decimal (units), time (ms), choice (ordinal)
    u64 (*number)(const void*) = nullptr;
    void (*set_number)(void*, u64) = nullptr;
    std::size_t (*size)(const void*) = nullptr;                   ///< list, map; maybe: 0 or 1
    const void* (*item)(const void*, std::size_t) = nullptr;      ///< list, map, maybe
    void* (*append)(void*) = nullptr;                             ///< list; maybe: makes it hold a new value
    std::string_view (*key)(const void*, std::size_t) = nullptr;  ///< map
    void* (*enter)(void*, std::string_view) = nullptr;            ///< map: the value of a new key
};

/// The shape of T. The reference is valid for ever.
template <class T>
[[nodiscard]] const Shape& shape_of();
}  // namespace vramd::api

#include "api/shape_made.hpp"  // How shape_of is made.
