#include "formats/refusal.hpp"

#include "formats/limits.hpp"

namespace vramd::formats {
namespace {
constexpr std::size_t place_bytes_max = 128;

/// The length of the well-formed character at the start of `bytes`; 0 if there is none.
std::size_t character_bytes(std::string_view bytes) {
    const auto at = [&](std::size_t i) { return i < bytes.size() ? static_cast<u8>(bytes[i]) : u8{0}; };
    const auto follows = [&](std::size_t i, u8 low = 0x80, u8 high = 0xbf) { return at(i) >= low && at(i) <= high; };
    const u8 lead = at(0);
    if (lead < 0x80) return lead == 0 ? 0 : 1;
    if (lead >= 0xc2 && lead <= 0xdf) return follows(1) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        const u8 low = lead == 0xe0 ? 0xa0 : 0x80;   // No overlong form …
        const u8 high = lead == 0xed ? 0x9f : 0xbf;  // … and no surrogate.
        return follows(1, low, high) && follows(2) ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        const u8 low = lead == 0xf0 ? 0x90 : 0x80;
        const u8 high = lead == 0xf4 ? 0x8f : 0xbf;
        return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}
}  // namespace

std::string place_text(std::string_view place) {
    if (place.size() <= place_bytes_max) return std::string(place);
    std::size_t end = place_bytes_max;
    while (end > 0 && (static_cast<u8>(place[end]) & 0xc0) == 0x80) --end;
    return std::string(place.substr(0, end)) + "…";
}

std::unexpected<Error> beyond(std::string_view place, std::string_view what, u64 value, u64 limit) {
    return std::unexpected(
        Error{Code::invalid_model, place_text(place), value, limit, say(what, " is ", value, "; at most ", limit, " is possible here")});
}

bool is_text(std::string_view bytes) {
    while (!bytes.empty()) {
        const std::size_t size = character_bytes(bytes);
        if (size == 0) return false;
        bytes.remove_prefix(size);
    }
    return true;
}

Result<void> check_name(std::string_view place, std::string_view name) {
    if (name.empty()) return invalid(place, "a tensor has no name");
    if (name.size() > name_bytes_max) return beyond(place, "the length of a tensor's name", name.size(), name_bytes_max);
    if (!is_text(name)) return invalid(place, "a tensor's name is not valid UTF-8");
    return {};
}
}  // namespace vramd::formats
