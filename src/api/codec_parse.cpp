#include <algorithm>
#include <charconv>

#include "api/codec.hpp"
#include "api/codec_text.hpp"

namespace vramd::api {
namespace {
const Field map_key_field{.member = {}, .tells = {}, .min = 1, .max = 128};
const Field no_field{.member = {}, .tells = {}, .max = ~u64{0}};

/// "from 1 to 64 bytes", with the bounds that hold for both the field and its type.
struct Bounds {
    u64 min;
    u64 max;
};
Bounds bounds_of(const Shape& shape, const Field& field) { return {field.min, std::min(field.max, shape.largest)}; }

std::string unit_of(const Field& field) { return field.unit.empty() ? std::string() : " " + std::string(field.unit); }

std::unexpected<Error> refuse_value(const std::string& pointer, std::string_view must, const Node& node, u64 value, u64 limit) {
    return std::unexpected(
        Error{Code::invalid_field, pointer, value, limit, pointer + " " + std::string(must) + ", got " + told(node) + "."});
}

struct Digits {
    bool plain = false;  ///< Only an optional minus, digits and, for decimals, one dot with digits on both sides.
    bool negative = false;
    bool overflow = false;  ///< Beyond 2^64 − 1.
    u64 value = 0;
};
/// Reads a JSON number's token as units of 10^-decimals. `plain` is false for more decimals, an exponent, or no number at all.
Digits digits_of(std::string_view token, u32 decimals) {
    Digits digits;
    digits.negative = token.starts_with('-');
    if (digits.negative) token.remove_prefix(1);
    const std::size_t dot = decimals == 0 ? std::string_view::npos : token.find('.');
    std::string units(token.substr(0, dot));
    std::string_view fraction = dot == std::string_view::npos ? std::string_view() : token.substr(dot + 1);
    const bool whole = !units.empty() && (dot == std::string_view::npos || !fraction.empty()) && fraction.size() <= decimals;
    units.append(fraction);
    if (whole) units.append(decimals - fraction.size(), '0');
    digits.plain = whole && std::ranges::all_of(units, [](char c) { return c >= '0' && c <= '9'; }) &&
                   (token.size() == 1 || token[0] != '0' || token[1] == '.');
    if (!digits.plain) return digits;
    const auto read = std::from_chars(units.data(), units.data() + units.size(), digits.value);
    digits.overflow = read.ec == std::errc::result_out_of_range;
    if (digits.overflow) digits.value = ~u64{0};
    return digits;
}

Result<void> parse_number(const Node& node, const Shape& shape, const Field& field, void* value, const std::string& pointer) {
    const Bounds bounds = bounds_of(shape, field);
    const Digits digits = node.kind == Node::Kind::number ? digits_of(node.text, shape.decimals) : Digits{};
    const bool below = digits.negative ? digits.value != 0 || bounds.min > 0 : digits.value < bounds.min;
    const bool above = !digits.negative && (digits.overflow || digits.value > bounds.max);
    if (!digits.plain || below || above) {
        const std::string kind =
            shape.decimals == 0 ? "must be an integer" : "must be a number with at most " + std::to_string(shape.decimals) + " decimals";
        const std::string range =
            " from " + number_text(bounds.min, shape.decimals) + " to " + number_text(bounds.max, shape.decimals) + unit_of(field);
        // A token that no u64 holds ("-1", "1.5") is told in the sentence only.
        const bool counts = digits.plain && !digits.negative;
        return refuse_value(pointer, kind + range, node, counts ? digits.value : 0, !counts ? 0 : below ? bounds.min : bounds.max);
    }
    if (field.rule == Rule::power_of_two && (digits.value & (digits.value - 1)) != 0)
        return refuse_value(
            pointer, "must be a power of two from " + std::to_string(bounds.min) + " to " + std::to_string(bounds.max) + unit_of(field),
            node, digits.value, bounds.max);
    shape.set_number(value, digits.value);
    return {};
}

Result<void> parse_text(const Node& node, const Field& field, void* value, const std::string& pointer) {
    const u64 max = std::min(field.max, text_bytes_max);
    const std::string must = "must be a text of " + std::to_string(field.min) + " to " + std::to_string(max) + " bytes";
    if (node.kind != Node::Kind::text) return refuse_value(pointer, must, node, 0, 0);
    if (node.text.size() < field.min) return refuse_value(pointer, must, node, node.text.size(), field.min);
    if (node.text.size() > max) return refuse_value(pointer, must, node, node.text.size(), max);
    if (std::ranges::any_of(node.text, [](char c) { return static_cast<u8>(c) < 0x20 || c == 0x7f; }))
        return refuse_value(pointer, "must not hold control characters", node, 0, 0);
    *static_cast<std::string*>(value) = node.text;
    return {};
}

std::string choices_text(const Shape& shape) {
    std::string text = "must be one of ";
    for (std::size_t i = 0; i < shape.choices.size(); ++i) text.append(i == 0 ? "" : ", ").append(shape.choices[i]);
    return text;
}

Result<void> parse_choice(const Node& node, const Shape& shape, void* value, const std::string& pointer) {
    if (node.kind == Node::Kind::text)
        for (std::size_t i = 0; i < shape.choices.size(); ++i)
            if (shape.choices[i] == node.text) {
                shape.set_number(value, i);
                return {};
            }
    return refuse_value(pointer, choices_text(shape), node, 0, 0);
}

Result<void> parse_at(const Node& node, const Shape& shape, const Field& field, void* value, const std::string& pointer);

Result<void> parse_list(const Node& node, const Shape& shape, const Field& field, void* value, const std::string& pointer) {
    const u64 max = std::min(field.max, json_values_max);
    const std::string must = "must be a list of " + std::to_string(field.min) + " to " + std::to_string(max) + " items";
    if (node.kind != Node::Kind::list) return refuse_value(pointer, must, node, 0, 0);
    if (node.items.size() < field.min || node.items.size() > max)
        return refuse_value(pointer, must + " (it has " + std::to_string(node.items.size()) + ")", node, node.items.size(),
                            node.items.size() > max ? max : field.min);
    for (std::size_t i = 0; i < node.items.size(); ++i)
        TRY_DO(parse_at(node.items[i], shape.inner(), no_field, shape.append(value), pointer + "/" + std::to_string(i)));
    return {};
}

/// The names are the caller's own, and the field's bounds are the values'.
Result<void> parse_map(const Node& node, const Shape& shape, const Field& field, void* value, const std::string& pointer) {
    if (node.kind != Node::Kind::object) return refuse_value(pointer, "must be an object", node, 0, 0);
    for (std::size_t i = 0; i < node.items.size(); ++i) {
        const std::string at = pointer_to(pointer, node.names[i]);
        Node name{.kind = Node::Kind::text, .truth = false, .text = node.names[i], .names = {}, .items = {}};
        std::string key;
        TRY_DO(parse_text(name, map_key_field, &key, at));
        TRY_DO(parse_at(node.items[i], shape.inner(), field, shape.enter(value, key), at));
    }
    return {};
}

std::string known_members(const Shape& shape) {
    std::string names;
    for (const Member& member : shape.members) names.append(names.empty() ? "" : ", ").append(member.name.view());
    return names.empty() ? "none" : names;
}

Result<void> parse_object(const Node& node, const Shape& shape, void* value, const std::string& pointer) {
    if (node.kind != Node::Kind::object) return refuse_value(pointer.empty() ? "The body" : pointer, "must be an object", node, 0, 0);
    for (const std::string& name : node.names)
        if (std::ranges::none_of(shape.members, [&](const Member& member) { return member.name.view() == name; })) {
            const std::string at = pointer_to(pointer, name);
            return refuse(Code::invalid_field, at, at + " is not a known field; known are: " + known_members(shape) + ".");
        }
    for (const Member& member : shape.members) {
        const std::string at = pointer_to(pointer, member.name.view());
        const Node* const given = node.member(member.name.view());
        if (given != nullptr && !(given->kind == Node::Kind::null && member.field.presence == Presence::nullable))
            TRY_DO(parse_at(*given, member.shape(), member.field, member.in(value), at));
        else if (given == nullptr && member.field.presence == Presence::always)
            return refuse(Code::invalid_field, at, at + " is missing: " + must_be(member.shape(), member.field) + ".");
    }
    return {};
}

Result<void> parse_at(const Node& node, const Shape& shape, const Field& field, void* value, const std::string& pointer) {
    switch (shape.kind) {
        case Kind::boolean:
            if (node.kind != Node::Kind::boolean) return refuse_value(pointer, "must be true or false", node, 0, 0);
            shape.set_number(value, node.truth ? 1 : 0);
            return {};
        case Kind::integer:
        case Kind::decimal:
            return parse_number(node, shape, field, value, pointer);
        case Kind::time: {
            const auto unix_ms = node.kind == Node::Kind::text ? time_from(node.text) : std::nullopt;
            if (!unix_ms) return refuse_value(pointer, "must be a time such as \"2026-01-31T08:15:30.250Z\"", node, 0, 0);
            shape.set_number(value, *unix_ms);
            return {};
        }
        case Kind::text:
            return parse_text(node, field, value, pointer);
        case Kind::choice:
            return parse_choice(node, shape, value, pointer);
        case Kind::maybe:
            return parse_at(node, shape.inner(), field, shape.append(value), pointer);
        case Kind::list:
            return parse_list(node, shape, field, value, pointer);
        case Kind::map:
            return parse_map(node, shape, field, value, pointer);
        case Kind::object:
            return parse_object(node, shape, value, pointer);
    }
    return {};
}

/// A query's text as the JSON value that the shape would have it be; anything else stays a text and is refused as one.
Node node_of(const std::string& text, const Shape& shape) {
    const Shape& plain = shape.kind == Kind::maybe ? shape.inner() : shape;
    Node node{.kind = Node::Kind::text, .truth = false, .text = text, .names = {}, .items = {}};
    if (plain.kind == Kind::boolean && (text == "true" || text == "false")) {
        node.kind = Node::Kind::boolean;
        node.truth = text == "true";
    }
    const bool numeric = !text.empty() && text.find_first_not_of("0123456789+-.eE") == std::string::npos;
    if ((plain.kind == Kind::integer || plain.kind == Kind::decimal) && numeric) node.kind = Node::Kind::number;
    return node;
}
}  // namespace

std::string must_be(const Shape& shape, const Field& field) {
    const Bounds bounds = bounds_of(shape, field);
    switch (shape.kind) {
        case Kind::boolean:
            return "it must be true or false";
        case Kind::integer:
        case Kind::decimal:
            return std::string(shape.kind == Kind::integer ? "it must be an integer" : "it must be a number") + " from " +
                   number_text(bounds.min, shape.decimals) + " to " + number_text(bounds.max, shape.decimals) + unit_of(field);
        case Kind::time:
            return "it must be a time";
        case Kind::text:
            return "it must be a text of " + std::to_string(field.min) + " to " + std::to_string(std::min(field.max, text_bytes_max)) +
                   " bytes";
        case Kind::choice:
            return "it " + choices_text(shape);
        case Kind::maybe:
            return must_be(shape.inner(), field);
        case Kind::list:
            return "it must be a list";
        case Kind::map:
        case Kind::object:
            return "it must be an object";
    }
    return {};
}

Result<void> parse_node(const Node& node, const Shape& shape, void* value, const std::string& pointer) {
    return parse_at(node, shape, no_field, value, pointer);
}

Result<void> parse_query_items(const std::vector<http::Field>& items, const Shape& shape, void* value) {
    for (std::size_t i = 0; i < items.size(); ++i) {
        const std::string at = "?" + items[i].first;
        const auto member = std::ranges::find_if(shape.members, [&](const Member& known) { return known.name.view() == items[i].first; });
        if (member == shape.members.end())
            return refuse(Code::invalid_field, at, at + " is not a known query parameter; known are: " + known_members(shape) + ".");
        for (std::size_t before = 0; before < i; ++before)
            if (items[before].first == items[i].first) return refuse(Code::invalid_field, at, at + " comes more than once.");
        const Node node = node_of(items[i].second, member->shape());
        TRY_DO(parse_at(node, member->shape(), member->field, member->in(value), at));
    }
    for (const Member& member : shape.members)
        if (member.field.presence == Presence::always &&
            std::ranges::none_of(items, [&](const http::Field& item) { return item.first == member.name.view(); })) {
            const std::string at = "?" + std::string(member.name.view());
            return refuse(Code::invalid_field, at, at + " is missing: " + must_be(member.shape(), member.field) + ".");
        }
    return {};
}
}  // namespace vramd::api
