#include "ipc/messages.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace vramd::ipc {
namespace json = boost::json;
namespace {
constexpr std::size_t method_bytes_max = 64;
constexpr std::size_t error_text_bytes_max = 1024;
/// JSON-RPC keeps -32000 … -32099 for the server's own errors; which one it is stands in `data.code`.
constexpr int server_error = -32000;

std::unexpected<Error> malformed(std::string what) { return refuse(Code::malformed_request, "message", std::move(what)); }

/// Members in the text of a valid JSON document: colons outside strings.
std::size_t members_in_text(std::string_view text) {
    std::size_t members = 0;
    bool inside = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '"')
            inside = !inside;
        else if (inside && text[i] == '\\')
            ++i;
        else if (!inside && text[i] == ':')
            ++members;
    }
    return members;
}

std::size_t members_in_value(const json::value& value) {
    std::size_t members = 0;
    if (const json::object* object = value.if_object()) {
        members = object->size();
        for (const auto& member : *object) members += members_in_value(member.value());
    } else if (const json::array* array = value.if_array()) {
        for (const json::value& element : *array) members += members_in_value(element);
    }
    return members;
}

/// Cut at a character's border, so that the rest is still UTF-8.
std::string cut(std::string text) {
    if (text.size() <= error_text_bytes_max) return text;
    std::size_t end = error_text_bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text.resize(end);
    return text;
}

std::string text_or_empty(const json::object& object, std::string_view field) {
    const json::value* value = object.if_contains(field);
    if (value == nullptr || !value->is_string()) return {};
    return cut(std::string(value->get_string()));
}

std::optional<u64> whole_number(const json::value* value) {
    if (value == nullptr) return std::nullopt;
    if (const u64* number = value->if_uint64()) return *number;
    if (const i64* number = value->if_int64(); number != nullptr && *number >= 0) return static_cast<u64>(*number);
    return std::nullopt;
}

json::object write_error(const Error& error) {
    return {{"code", server_error},
            {"message", describe(error)},
            {"data",
             {{"code", facts_of(error.code).name},
              {"field", error.field},
              {"value", error.value},
              {"limit", error.limit},
              {"detail", error.detail}}}};
}

Error read_error(const json::object& error) {
    Error read{Code::system_failed, {}, 0, 0, text_or_empty(error, "message")};
    const json::value* data = error.if_contains("data");
    if (data == nullptr || !data->is_object()) return read;
    const json::object& facts = data->get_object();
    if (const auto code = code_named(text_or_empty(facts, "code"))) read.code = *code;
    read.field = text_or_empty(facts, "field");
    read.value = whole_number(facts.if_contains("value")).value_or(0);
    read.limit = whole_number(facts.if_contains("limit")).value_or(0);
    if (auto detail = text_or_empty(facts, "detail"); !detail.empty()) read.detail = std::move(detail);
    return read;
}

Result<json::object> take_object(json::object& message, std::string_view field) {
    json::value* value = message.if_contains(field);
    if (value == nullptr) return json::object{};
    if (!value->is_object()) return malformed(std::string(field) + " must be an object.");
    return std::move(value->get_object());
}

Result<Message> read_call(json::object& message) {
    TRY(std::string method, read_text(message, "method", method_bytes_max));
    TRY(json::object params, take_object(message, "params"));
    if (!message.contains("id")) return Notification{std::move(method), std::move(params)};
    TRY(const u64 id, read_u64(message, "id"));
    return Request{id, std::move(method), std::move(params)};
}
}  // namespace

std::string write_message(const Message& message) {
    json::object text{{"jsonrpc", "2.0"}};
    if (const auto* request = std::get_if<Request>(&message)) {
        text["id"] = request->id;
        text["method"] = request->method;
        text["params"] = request->params;
    } else if (const auto* notification = std::get_if<Notification>(&message)) {
        text["method"] = notification->method;
        text["params"] = notification->params;
    } else if (const auto* answer = std::get_if<Answer>(&message)) {
        text["id"] = answer->id;
        text["result"] = answer->result;
    } else if (const auto* failure = std::get_if<Failure>(&message)) {
        text["id"] = failure->id;
        text["error"] = write_error(failure->error);
    }
    return json::serialize(text);
}

Result<Message> parse_message(std::string_view text) {
    json::error_code problem;
    json::parse_options options;
    options.max_depth = depth_max;
    json::value value = json::parse(text, problem, {}, options);
    if (problem) return malformed("The message is not JSON: " + problem.message() + ".");
    if (!value.is_object()) return malformed("The message must be a JSON object.");
    // Boost.JSON keeps the last of two equal keys; two readers of one text must not see two messages.
    if (members_in_text(text) != members_in_value(value)) return malformed("A key stands twice in one object.");
    json::object& message = value.get_object();
    if (text_or_empty(message, "jsonrpc") != "2.0") return malformed("jsonrpc must be \"2.0\".");
    const bool is_call = message.contains("method");
    const bool is_answer = message.contains("result");
    const bool is_failure = message.contains("error");
    if (int{is_call} + int{is_answer} + int{is_failure} != 1)
        return malformed("Exactly one of method, result and error must stand in a message.");
    if (is_call) return read_call(message);
    TRY(const u64 id, read_u64(message, "id"));
    if (is_answer) {
        TRY(json::object result, take_object(message, "result"));
        return Answer{id, std::move(result)};
    }
    TRY(const json::object error, take_object(message, "error"));
    return Failure{id, read_error(error)};
}

Result<u64> read_u64(const json::object& params, std::string_view field, u64 max) {
    const auto number = whole_number(params.if_contains(field));
    if (!number) return refuse(Code::invalid_field, field, std::string(field) + " must be an integer from 0.");
    if (*number > max) return refuse(Code::invalid_field, field, *number, max);
    return *number;
}

Result<std::string> read_text(const json::object& params, std::string_view field, std::size_t bytes_max) {
    const json::value* value = params.if_contains(field);
    if (value == nullptr || !value->is_string()) return refuse(Code::invalid_field, field, std::string(field) + " must be text.");
    const json::string& text = value->get_string();
    if (text.size() > bytes_max) return refuse(Code::invalid_field, field, text.size(), bytes_max);
    return std::string(text);
}
}  // namespace vramd::ipc
