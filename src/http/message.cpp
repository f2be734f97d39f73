#include "http/message.hpp"

#include <algorithm>

namespace vramd::http {
namespace {
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
}  // namespace

std::string_view name_of(Method method) {
    switch (method) {
        case Method::get:
            return "GET";
        case Method::post:
            return "POST";
        case Method::put:
            return "PUT";
        case Method::patch:
            return "PATCH";
        case Method::delete_:
            return "DELETE";
        case Method::options:
            return "OPTIONS";
    }
    std::unreachable();
}

bool equals_without_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

bool comes_over_loopback(const Peer& peer) {
    return peer.door == Door::tcp && (peer.address.starts_with("127.") || peer.address.starts_with("[::1]"));
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

const std::string* Headers::find(std::string_view name) const {
    for (const Field& field : fields_)
        if (equals_without_case(field.first, name)) return &field.second;
    return nullptr;
}

std::size_t Headers::count(std::string_view name) const {
    return static_cast<std::size_t>(
        std::count_if(fields_.begin(), fields_.end(), [&](const Field& field) { return equals_without_case(field.first, name); }));
}

const std::string* RequestHead::query_value(std::string_view name) const {
    for (const Field& field : query)
        if (field.first == name) return &field.second;
    return nullptr;
}
}  // namespace vramd::http
