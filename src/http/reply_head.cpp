#include "http/reply_head.hpp"

#include <ctime>

namespace vramd::http {
namespace {
std::string_view reason_of(u16 status) {
    switch (status) {
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 206:
            return "Partial Content";
        case 304:
            return "Not Modified";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 409:
            return "Conflict";
        case 410:
            return "Gone";
        case 412:
            return "Precondition Failed";
        case 413:
            return "Content Too Large";
        case 415:
            return "Unsupported Media Type";
        case 416:
            return "Range Not Satisfiable";
        case 422:
            return "Unprocessable Content";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Unsupported";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 507:
            return "Insufficient Storage";
        default:
            return "Status";
    }
}

void append_clean(std::string& out, std::string_view text) {
    for (const char c : text)
        if (static_cast<u8>(c) >= 0x20 && c != 0x7f) out += c;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
    append_clean(out, name);
    out += ": ";
    append_clean(out, value);
    out += "\r\n";
}

void append_date(std::string& out, i64 now_seconds) {
    const std::time_t now = now_seconds;
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[64];
    const std::size_t size = std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    out.append(text, size);
}
}  // namespace

std::string reply_head(const Reply& reply, ReplyFraming framing, u64 size_bytes, Persistence persistence, i64 now_seconds) {
    std::string out;
    out.reserve(256);
    out += "HTTP/1.1 " + std::to_string(reply.status) + ' ';
    out += reason_of(reply.status);
    out += "\r\n";
    append_date(out, now_seconds);
    if (!reply.content_type.empty()) append_field(out, "Content-Type", reply.content_type);
    const bool bodiless = reply.status == 204 || reply.status == 304;
    if (framing == ReplyFraming::chunked) out += "Transfer-Encoding: chunked\r\n";
    if (framing == ReplyFraming::length && !bodiless) out += "Content-Length: " + std::to_string(size_bytes) + "\r\n";
    for (const Field& field : reply.headers) append_field(out, field.first, field.second);
    out += "X-Content-Type-Options: nosniff\r\n";
    if (persistence == Persistence::close) out += "Connection: close\r\n";
    out += "\r\n";
    return out;
}
}  // namespace vramd::http
