#include <algorithm>
#include <chrono>

#include "api/codec.hpp"
#include "api/codec_text.hpp"
#include "http/problem.hpp"

namespace vramd::api {
namespace {
std::string padded(u64 number, std::size_t digits) {
    std::string text = std::to_string(number);
    return text.size() < digits ? std::string(digits - text.size(), '0') + text : text;
}

/// The digits at [from, from + count), or nothing if one of them is none.
std::optional<u64> digits_at(std::string_view text, std::size_t from, std::size_t count) {
    u64 number = 0;
    if (from + count > text.size()) return std::nullopt;
    for (const char c : text.substr(from, count)) {
        if (c < '0' || c > '9') return std::nullopt;
        number = number * 10 + static_cast<u64>(c - '0');
    }
    return number;
}

void write_list(std::string& out, const Shape& shape, const void* value) {
    out += '[';
    for (std::size_t i = 0; i < shape.size(value); ++i) {
        if (i > 0) out += ',';
        write_value(out, shape.inner(), shape.item(value, i));
    }
    out += ']';
}

void write_map(std::string& out, const Shape& shape, const void* value) {
    out += '{';
    for (std::size_t i = 0; i < shape.size(value); ++i) {
        if (i > 0) out += ',';
        (out += http::json_quoted(shape.key(value, i))) += ':';
        write_value(out, shape.inner(), shape.item(value, i));
    }
    out += '}';
}

void write_object(std::string& out, const Shape& shape, const void* value) {
    out += '{';
    for (const Member& member : shape.members) {
        const Shape& inner = member.shape();
        const void* const part = member.in_const(value);
        const bool empty = inner.kind == Kind::maybe && inner.size(part) == 0;
        if (empty && member.field.presence != Presence::nullable) continue;
        if (out.back() != '{') out += ',';
        ((out += '"') += member.name.view()) += "\":";
        write_value(out, inner, part);
    }
    out += '}';
}
}  // namespace

std::string number_text(u64 units, u32 decimals) {
    u64 scale = 1;
    for (u32 i = 0; i < decimals; ++i) scale *= 10;
    std::string text = std::to_string(units / scale);
    if (decimals > 0) text += "." + padded(units % scale, decimals);
    return text;
}

std::string time_text(u64 unix_ms) {
    using namespace std::chrono;
    const sys_time<milliseconds> moment{milliseconds(std::min(unix_ms, unix_ms_max))};
    const sys_days day = floor<days>(moment);
    const year_month_day date(day);
    const u64 in_day = static_cast<u64>((moment - day).count());
    return padded(static_cast<u64>(static_cast<int>(date.year())), 4) + "-" + padded(static_cast<unsigned>(date.month()), 2) + "-" +
           padded(static_cast<unsigned>(date.day()), 2) + "T" + padded(in_day / 3'600'000, 2) + ":" + padded(in_day / 60'000 % 60, 2) +
           ":" + padded(in_day / 1000 % 60, 2) + "." + padded(in_day % 1000, 3) + "Z";
}

std::optional<u64> time_from(std::string_view text) {
    using namespace std::chrono;
    const auto y = digits_at(text, 0, 4), m = digits_at(text, 5, 2), d = digits_at(text, 8, 2);
    const auto hour = digits_at(text, 11, 2), minute = digits_at(text, 14, 2), second = digits_at(text, 17, 2);
    if (!y || !m || !d || !hour || !minute || !second || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
        text[16] != ':')
        return std::nullopt;
    std::string_view rest = text.substr(19);
    u64 ms = 0;
    if (rest.starts_with('.')) {
        const std::size_t decimals = rest.size() - 2;  // Less the dot and the Z.
        const auto fraction = rest.size() >= 3 && decimals <= 3 ? digits_at(rest, 1, decimals) : std::nullopt;
        if (!fraction) return std::nullopt;
        ms = *fraction * (decimals == 1 ? 100 : decimals == 2 ? 10 : 1);
        rest.remove_prefix(1 + decimals);
    }
    const year_month_day date(year(static_cast<int>(*y)), month(static_cast<unsigned>(*m)), day(static_cast<unsigned>(*d)));
    if (rest != "Z" || !date.ok() || *y < 1970 || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
    const u64 days = static_cast<u64>(sys_days(date).time_since_epoch().count());
    return (((days * 24 + *hour) * 60 + *minute) * 60 + *second) * 1000 + ms;
}

void write_value(std::string& out, const Shape& shape, const void* value) {
    switch (shape.kind) {
        case Kind::boolean:
            out += shape.number(value) != 0 ? "true" : "false";
            return;
        case Kind::integer:
            out += std::to_string(shape.number(value));
            return;
        case Kind::decimal:
            out += number_text(shape.number(value), shape.decimals);
            return;
        case Kind::time:
            ((out += '"') += time_text(shape.number(value))) += '"';
            return;
        case Kind::text:
            out += http::json_quoted(*static_cast<const std::string*>(value));
            return;
        case Kind::choice:
            ((out += '"') += shape.choices[shape.number(value)]) += '"';
            return;
        case Kind::maybe:
            if (shape.size(value) == 0)
                out += "null";
            else
                write_value(out, shape.inner(), shape.item(value, 0));
            return;
        case Kind::list:
            write_list(out, shape, value);
            return;
        case Kind::map:
            write_map(out, shape, value);
            return;
        case Kind::object:
            write_object(out, shape, value);
            return;
    }
}
}  // namespace vramd::api
