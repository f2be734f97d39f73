#include "api/openapi_schema.hpp"

#include <charconv>

#include "api/codec.hpp"
#include "api/codec_text.hpp"
#include "api/openapi.hpp"
#include "http/problem.hpp"

namespace vramd::api {
namespace json = boost::json;
namespace {
const Field no_field{.member = {}, .tells = {}, .max = ~u64{0}};

json::value decimal(u64 units, u32 decimals) { return json::parse(number_text(units, decimals)); }

json::object integer_schema(const Shape& shape, const Field& field) {
    const u64 max = std::min(field.max, shape.largest);
    json::object schema{{"type", "integer"}};
    if (max <= number_max) schema["format"] = "int64";
    schema["minimum"] = field.min;
    schema["maximum"] = max;
    return schema;
}

json::object text_schema(const Field& field) {
    json::object schema{{"type", "string"}};
    if (field.min > 0) schema["minLength"] = field.min;
    if (field.max <= text_bytes_max) schema["maxLength"] = field.max;
    return schema;
}

void append(std::string& out, const json::value& value) {
    const auto comma = [&out](bool first) { out += first ? "" : ","; };
    if (const json::object* object = value.if_object()) {
        out += '{';
        for (const auto& [name, item] : *object) {
            comma(&item == &object->begin()->value());
            out += http::json_quoted({name.data(), name.size()}) + ":";
            append(out, item);
        }
        out += '}';
    } else if (const json::array* list = value.if_array()) {
        out += '[';
        for (const json::value& item : *list) {
            comma(&item == &list->front());
            append(out, item);
        }
        out += ']';
    } else if (const double* number = value.if_double()) {
        std::array<char, 400> digits{};
        out.append(digits.data(), std::to_chars(digits.begin(), digits.end(), *number, std::chars_format::fixed).ptr);
    } else {
        out += json::serialize(value);
    }
}
}  // namespace

std::string text_of(const json::value& value) {
    std::string out;
    append(out, value);
    return out;
}

json::value member_example(const Shape& shape, const Field& field) {
    if (!field.example.empty()) return json::parse(view(field.example));
    switch (shape.kind) {
        case Kind::boolean:
            return false;
        case Kind::integer:
            return field.min;
        case Kind::decimal:
            return decimal(field.min, shape.decimals);
        case Kind::time:
            return "2026-01-31T08:15:30.250Z";
        case Kind::text:
            return "text";
        case Kind::choice:
            return view(shape.choices[0]);
        case Kind::maybe:
            return member_example(shape.inner(), field);
        case Kind::list:
            return json::array{member_example(shape.inner(), no_field)};
        case Kind::map:
            return json::object{{"name", member_example(shape.inner(), field)}};
        case Kind::object:
            return object_example(shape);
    }
    return nullptr;
}

json::object object_example(const Shape& shape) {
    json::object example;
    for (const Member& member : shape.members)
        if (member.field.presence != Presence::optional || !member.field.example.empty())
            example[view(member.name.view())] = member_example(member.shape(), member.field);
    return example;
}

std::string example_text(const Shape& shape) { return text_of(member_example(shape, no_field)); }

json::object Schemas::plain_schema(const Shape& shape, const Field& field) {
    switch (shape.kind) {
        case Kind::boolean:
            return {{"type", "boolean"}};
        case Kind::integer:
            return integer_schema(shape, field);
        case Kind::decimal:
            return {{"type", "number"},
                    {"minimum", decimal(field.min, shape.decimals)},
                    {"maximum", decimal(std::min(field.max, shape.largest), shape.decimals)}};
        case Kind::time:
            return {{"type", "string"}, {"format", "date-time"}};
        case Kind::text:
            return text_schema(field);
        case Kind::maybe:
            return plain_schema(shape.inner(), field);
        case Kind::list: {
            json::object schema{{"type", "array"}, {"items", schema_of(shape.inner(), no_field)}};
            if (field.min > 0) schema["minItems"] = field.min;
            if (field.max <= json_values_max) schema["maxItems"] = field.max;
            return schema;
        }
        case Kind::map:
            return {{"type", "object"}, {"additionalProperties", schema_of(shape.inner(), field)}, {"maxProperties", json_members_max}};
        case Kind::choice:
        case Kind::object:
            return reference_to(shape);
    }
    return {};
}

json::object Schemas::schema_of(const Shape& shape, const Field& field) {
    json::object schema = plain_schema(shape, field);
    if (field.presence != Presence::nullable) return schema;
    if (schema.contains("type")) {
        schema["type"] = json::array{schema["type"], "null"};
        return schema;
    }
    return {{"anyOf", json::array{schema, json::object{{"type", "null"}}}}};
}

json::object Schemas::reference_to(const Shape& shape) {
    const std::string name(shape.name);
    if (!made_.contains(name)) {
        made_[name] = {};  // Taken, for a type that refers to itself.
        json::object schema;
        if (shape.kind == Kind::choice) {
            json::array choices;
            for (const std::string_view choice : shape.choices) choices.emplace_back(view(choice));
            schema = {
                {"type", "string"}, {"description", view(shape.tells)}, {"enum", choices}, {"examples", json::array{choices.front()}}};
        } else {
            schema = object_schema(shape);
        }
        made_[name] = std::move(schema);
    }
    return {{"$ref", "#/components/schemas/" + name}};
}

json::object Schemas::member_schema(const Member& member, const void* initial) {
    const Shape& shape = member.shape();
    json::object schema = schema_of(shape, member.field);
    schema["description"] = view(member.field.tells);
    if (!member.field.unit.empty()) schema["x-unit"] = view(member.field.unit);
    if (member.field.rule == Rule::power_of_two) schema["x-rule"] = "powerOfTwo";
    if (shape.kind != Kind::list || !member.field.example.empty()) schema["examples"] = json::array{member_example(shape, member.field)};
    if (member.field.presence == Presence::optional && shape.kind != Kind::maybe && shape.kind != Kind::list) {
        std::string text;
        write_value(text, shape, member.in_const(initial));
        schema["default"] = json::parse(text);
    }
    return schema;
}

json::object Schemas::object_schema(const Shape& shape) {
    const std::shared_ptr<void> initial = shape.make();
    json::object properties;
    json::array required;
    for (const Member& member : shape.members) {
        properties[view(member.name.view())] = member_schema(member, initial.get());
        if (member.field.presence != Presence::optional) required.emplace_back(view(member.name.view()));
    }
    json::object schema{{"type", "object"},
                        {"description", view(shape.tells)},
                        {"properties", std::move(properties)},
                        {"additionalProperties", false},
                        {"examples", json::array{object_example(shape)}}};
    if (!required.empty()) schema["required"] = std::move(required);
    return schema;
}
}  // namespace vramd::api
