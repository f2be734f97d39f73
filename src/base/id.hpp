/// Opaque ids: unguessable, never reused, bound to a kind by their type and prefix.
///
/// An id is a serial number that the core counts up (so none is ever used twice) and a secret that the shell draws (so none can be
/// guessed). As text: prefix, 13 characters of secret, then the serial, both in Crockford's base 32 in lower case.
#pragma once
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.hpp"

namespace vramd {
/// `Tag` has `static constexpr std::string_view prefix`, such as "alc_". 16 bytes, a plain value.
template <class Tag>
struct Id {
    u64 serial = 0;  ///< From 1; 0 stands for no id.
    u64 secret = 0;

    auto operator<=>(const Id&) const = default;
    [[nodiscard]] explicit operator bool() const { return serial != 0; }
};

/// The text form of (prefix, serial, secret).
[[nodiscard]] std::string id_text(std::string_view prefix, u64 serial, u64 secret);
/// Parses what `id_text` made; nothing else is accepted.
struct IdParts {
    u64 serial;
    u64 secret;
};
[[nodiscard]] std::optional<IdParts> id_parts(std::string_view prefix, std::string_view text);

template <class Tag>
[[nodiscard]] std::string to_text(const Id<Tag>& id) {
    return id_text(Tag::prefix, id.serial, id.secret);
}
template <class Tag>
[[nodiscard]] std::optional<Id<Tag>> id_from(std::string_view text) {
    const auto parts = id_parts(Tag::prefix, text);
    if (!parts) return std::nullopt;
    return Id<Tag>{parts->serial, parts->secret};
}
}  // namespace vramd
