/// How this room says no: the place in the file as the error's field, and a sentence that names the value and the limit.
#pragma once
#include <concepts>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace vramd::formats {
namespace told {
inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, std::integral auto part) { text += std::to_string(part); }
}  // namespace told

/// The parts, texts and numbers, as one text.
template <class... Parts>
[[nodiscard]] std::string say(const Parts&... parts) {
    std::string text;
    (told::append(text, parts), ...);
    return text;
}

/// A place for an error's field: at most 128 bytes of it, cut between characters.
[[nodiscard]] std::string place_text(std::string_view place);

/// `invalid_model` at `place`, told by the parts of a sentence.
template <class... Parts>
[[nodiscard]] std::unexpected<Error> invalid(std::string_view place, const Parts&... parts) {
    return refuse(Code::invalid_model, place_text(place), say(parts...));
}

/// `invalid_model` for a number beyond its limit.
[[nodiscard]] std::unexpected<Error> beyond(std::string_view place, std::string_view what, u64 value, u64 limit);

/// True for well-formed UTF-8 without U+0000 (no overlong forms, surrogates or values above U+10FFFF).
[[nodiscard]] bool is_text(std::string_view bytes);

/// A name of a tensor, checked: text, not empty, at most `name_bytes_max`. `place` is what the error names.
[[nodiscard]] Result<void> check_name(std::string_view place, std::string_view name);
}  // namespace vramd::formats
