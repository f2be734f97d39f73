#include "cli/document.hpp"

#include <algorithm>
#include <charconv>

namespace vramd::cli {
Result<json::value> parse_document(std::string_view text) {
    boost::system::error_code failed;
    json::value value = json::parse({text.data(), text.size()}, failed);
    if (failed) return refuse(Code::malformed_request, "reply", "The server's answer is not JSON.");
    return value;
}

const json::value* find_path(const json::object& object, std::string_view path) {
    const std::size_t dot = path.find('.');
    const std::string_view name = path.substr(0, dot);
    const json::value* value = object.if_contains({name.data(), name.size()});
    while (value != nullptr && dot != std::string_view::npos) {
        const std::string_view rest = path.substr(dot + 1);
        if (const json::object* inner = value->if_object()) return find_path(*inner, rest);
        const json::array* list = value->if_array();
        if (list == nullptr) return nullptr;
        std::size_t index = 0;
        const std::size_t next = std::min(rest.find('.'), rest.size());
        if (std::from_chars(rest.data(), rest.data() + next, index).ptr != rest.data() + next || index >= list->size()) return nullptr;
        value = &(*list)[index];
        if (next == rest.size()) return value;
        const json::object* inner = value->if_object();
        return inner == nullptr ? nullptr : find_path(*inner, rest.substr(next + 1));
    }
    return value;
}

namespace {
/// "0.836", never "8.36E-1". The daemon's numbers have three decimals at most.
std::string decimal_text(double number) {
    char digits[64];
    const int size = std::snprintf(digits, sizeof digits, "%.15g", number);
    return std::string(digits, static_cast<std::size_t>(size));
}
}  // namespace

std::string exact_text(const json::value& value) {
    std::string out;
    if (const json::object* object = value.if_object()) {
        for (const auto& pair : *object)
            out += (out.empty() ? "{" : ",") + json::serialize(json::string(pair.key())) + ":" + exact_text(pair.value());
        return out.empty() ? "{}" : out + "}";
    }
    if (const json::array* list = value.if_array()) {
        for (const json::value& item : *list) out += (out.empty() ? "[" : ",") + exact_text(item);
        return out.empty() ? "[]" : out + "]";
    }
    const double* real = value.if_double();
    return real != nullptr ? decimal_text(*real) : json::serialize(value);
}

std::string plain_text(const json::value* value) {
    if (value == nullptr || value->is_null()) return {};
    if (const json::string* text = value->if_string()) return std::string(text->data(), text->size());
    if (const bool* truth = value->if_bool()) return *truth ? "yes" : "no";
    if (const json::array* list = value->if_array()) {
        std::string out;
        for (const json::value& item : *list) {
            if (!out.empty()) out += ", ";
            out += plain_text(&item);
        }
        return out;
    }
    return exact_text(*value);
}

std::string printable(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<u8>(c) < 0x20 || c == 0x7f; }, '?');
    return text;
}

std::string text_at(const json::object& object, std::string_view path) { return plain_text(find_path(object, path)); }

std::optional<u64> number_at(const json::object& object, std::string_view path) {
    const json::value* const value = find_path(object, path);
    if (value == nullptr) return std::nullopt;
    if (const i64* number = value->if_int64(); number != nullptr && *number >= 0) return static_cast<u64>(*number);
    if (const u64* number = value->if_uint64()) return *number;
    return std::nullopt;
}

std::optional<double> real_at(const json::object& object, std::string_view path) {
    const json::value* const value = find_path(object, path);
    if (value == nullptr) return std::nullopt;
    if (const double* real = value->if_double()) return *real;
    if (const auto whole = number_at(object, path)) return static_cast<double>(*whole);
    return std::nullopt;
}

const json::array& items_of(const json::value& body, std::string_view field) {
    static const json::array none;
    const json::object* const object = body.if_object();
    const json::value* const items = object == nullptr ? nullptr : object->if_contains({field.data(), field.size()});
    return items != nullptr && items->is_array() ? items->get_array() : none;
}
}  // namespace vramd::cli
