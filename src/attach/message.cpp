#include "attach/message.hpp"

#include <algorithm>

#include "api/problem.hpp"
#include "attach/words.hpp"

namespace vramd::attach {
namespace {
constexpr std::size_t method_bytes_max = 64;
constexpr std::size_t refusal_text_bytes_max = 1024;

std::unexpected<Fault> fault(Number number, std::string detail, std::string id = "null") {
    return std::unexpected(Fault{std::move(id), number, Error{Code::malformed_request, {}, 0, 0, std::move(detail)}});
}

/// A number as JSON-RPC would have it, from 0 and without fraction; or a text.
std::optional<std::string> id_of(const api::Node* node) {
    if (node == nullptr || node->text.size() > id_bytes_max) return std::nullopt;
    if (node->kind == api::Node::Kind::text) return api::write(node->text);
    const bool whole =
        node->kind == api::Node::Kind::number && std::ranges::all_of(node->text, [](char c) { return c >= '0' && c <= '9'; });
    if (whole) return node->text;
    return std::nullopt;
}

/// Cut at a character's border, so that the rest is still UTF-8.
void cut(std::string& text) {
    if (text.size() <= refusal_text_bytes_max) return;
    std::size_t end = refusal_text_bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text.resize(end);
    text += "…";
}

/// What the reader of HTTP bodies says of a body, said of a message.
std::string of_message(std::string detail) {
    constexpr std::string_view body = "The body";
    if (detail.starts_with(body)) detail.replace(0, body.size(), "The message");
    return detail;
}

bool is_text(const api::Node* node, std::string_view text) {
    return node != nullptr && node->kind == api::Node::Kind::text && node->text == text;
}
}  // namespace

std::expected<Call, Fault> read_call(std::string_view packet) {
    auto read = api::read_json(packet);
    if (!read) {
        const bool grammar = read.error().code == Code::malformed_request;
        return fault(grammar ? Number::parse_error : Number::invalid_request, of_message(describe(read.error())));
    }
    api::Node& message = *read;
    if (message.kind == api::Node::Kind::list) return fault(Number::invalid_request, "A message holds one call: batches are not offered.");
    if (message.kind != api::Node::Kind::object) return fault(Number::invalid_request, "A message must be a JSON object.");
    const auto id = id_of(message.member("id"));
    if (!id)
        return fault(Number::invalid_request,
                     "id must be a text of at most 64 bytes or an integer from 0; a message without one has no use here.");
    if (!is_text(message.member("jsonrpc"), "2.0")) return fault(Number::invalid_request, "jsonrpc must be \"2.0\".", *id);
    for (const std::string& name : message.names)
        if (name != "jsonrpc" && name != "id" && name != "method" && name != "params")
            return fault(Number::invalid_request, "A call has jsonrpc, id, method and params, and not " + api::quoted_text(name) + ".",
                         *id);
    const api::Node* const method = message.member("method");
    if (method == nullptr || method->kind != api::Node::Kind::text || method->text.size() > method_bytes_max)
        return fault(Number::invalid_request, "method must be a text of at most 64 bytes.", *id);
    Call call{*id, method->text, {}};
    call.params.kind = api::Node::Kind::object;
    if (const api::Node* const params = message.member("params")) {
        if (params->kind != api::Node::Kind::object)
            return std::unexpected(Fault{*id, Number::invalid_params,
                                         Error{Code::invalid_field, "", 0, 0, "params must be an object: every parameter has a name."}});
        call.params = *params;
    }
    return call;
}

std::string answer_text(std::string_view id, std::string_view result) {
    return std::string(R"({"jsonrpc":"2.0","id":)").append(id).append(R"(,"result":)").append(result).append("}");
}

std::string refusal_text(std::string_view id, Number number, Error error, const engine::Shortfall* shortfall) {
    cut(error.field);
    cut(error.detail);
    const api::Problem problem = api::problem_of(error, {});
    Refusal refusal{problem.code, problem.field, problem.value, problem.limit, {}, {}, {}, {}, {}};
    if (number == Number::refused) refusal.remedy = problem.remedy;  // Of the others the message says all.
    if (shortfall != nullptr) {
        refusal.requested_bytes = shortfall->requested_bytes;
        refusal.available_bytes = shortfall->available_bytes;
        refusal.largest_free_bytes = shortfall->largest_free_bytes;
        refusal.suggestions = shortfall->suggestions;
    }
    return std::string(R"({"jsonrpc":"2.0","id":)")
        .append(id)
        .append(R"(,"error":{"code":)")
        .append(std::to_string(static_cast<i32>(number)))
        .append(R"(,"message":)")
        .append(api::write(problem.detail))
        .append(R"(,"data":)")
        .append(api::write(refusal))
        .append("}}");
}

std::string notice_text(std::string_view method, std::string_view params) {
    return std::string(R"({"jsonrpc":"2.0","method":)")
        .append(api::write(std::string(method)))
        .append(R"(,"params":)")
        .append(params)
        .append("}");
}
}  // namespace vramd::attach
