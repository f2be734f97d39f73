#include "http/problem.hpp"

#include "http/utf8.hpp"

namespace vramd::http {
namespace {
void append_escaped(std::string& out, char c) {
    static constexpr char digits[] = "0123456789abcdef";
    const auto byte = static_cast<u8>(c);
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            break;
    }
    if (byte >= 0x20 && byte != 0x7f) {
        out += c;
        return;
    }
    out += "\\u00";
    out += digits[byte >> 4];
    out += digits[byte & 15];
}
}  // namespace

std::string json_quoted(std::string_view text) {
    std::string out = "\"";
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 1)
            append_escaped(out, text[0]);
        else if (length == 0)
            out += "\xef\xbf\xbd";
        else
            out += text.substr(0, length);
        text.remove_prefix(length == 0 ? 1 : length);
    }
    out += '"';
    return out;
}

Reply problem_reply(const Error& error, std::string_view instance) {
    const CodeFacts& facts = facts_of(error.code);
    Reply reply;
    reply.status = facts.status;
    reply.content_type = problem_type;
    std::string& body = reply.body;
    body = "{\"type\":" + json_quoted("/problems/" + std::string(facts.name)) + ",\"title\":" + json_quoted(facts.title) +
           ",\"status\":" + std::to_string(facts.status) + ",\"detail\":" + json_quoted(describe(error)) +
           ",\"code\":" + json_quoted(facts.name);
    if (!instance.empty()) body += ",\"instance\":" + json_quoted(instance);
    if (!error.field.empty()) body += ",\"field\":" + json_quoted(error.field);
    if (!error.field.empty() && error.limit != 0)
        body += ",\"value\":" + std::to_string(error.value) + ",\"limit\":" + std::to_string(error.limit);
    body += ",\"remedy\":" + json_quoted(remedy_of(error)) + "}\n";
    if (facts.retry_after_seconds != 0) reply.headers.emplace_back("Retry-After", std::to_string(facts.retry_after_seconds));
    return reply;
}
}  // namespace vramd::http
