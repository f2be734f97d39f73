#include "base/id.hpp"

namespace vramd {
namespace {
constexpr std::string_view digits = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr std::size_t secret_digits = 13;  // 65 bits hold 64.

std::optional<u64> number_from(std::string_view text) {
    u64 value = 0;
    for (const char c : text) {
        const auto digit = digits.find(c);
        if (digit == std::string_view::npos || (value >> 59) != 0) return std::nullopt;
        value = value << 5 | digit;
    }
    return value;
}
}  // namespace

std::string id_text(std::string_view prefix, u64 serial, u64 secret) {
    char body[secret_digits];
    for (std::size_t i = secret_digits; i-- > 0; secret >>= 5) body[i] = digits[secret & 31];
    std::string tail;
    for (u64 rest = serial; rest > 0; rest >>= 5) tail.insert(tail.begin(), digits[rest & 31]);
    return std::string(prefix) + std::string(body, secret_digits) + tail;
}

std::optional<IdParts> id_parts(std::string_view prefix, std::string_view text) {
    if (!text.starts_with(prefix)) return std::nullopt;
    text.remove_prefix(prefix.size());
    if (text.size() <= secret_digits || text.size() > 2 * secret_digits || text[secret_digits] == '0') return std::nullopt;
    const auto secret = number_from(text.substr(0, secret_digits));
    const auto serial = number_from(text.substr(secret_digits));
    if (!secret || !serial) return std::nullopt;
    return IdParts{*serial, *secret};
}
}  // namespace vramd
