/// Errors as values: what went wrong (a `Code`), which field, its value, and the limit it broke.
///
/// Rooms return errors and never log; the program's edge turns one into a problem document or a log line. GCC 12's `std::expected`
/// has no `and_then`, so the two TRY macros are the house's only way of passing an error on.
#pragma once
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "base/code.hpp"
#include "base/types.hpp"

namespace vramd {
/// One refusal or failure. Safe to copy; no part of it names an internal path, descriptor, address or key.
struct Error {
    Code code{};
    std::string field;   ///< The field or thing at fault, as the caller knows it ("sizeBytes"); may be empty.
    u64 value = 0;       ///< The value given, where it is a number.
    u64 limit = 0;       ///< The limit it broke, where it is a number.
    std::string detail;  ///< A whole sentence for a person; empty: `describe` makes one from the fields above.

    bool operator==(const Error&) const = default;
};

template <class T>
using Result = std::expected<T, Error>;

/// A refusal that names the field, the value and the limit.
[[nodiscard]] inline std::unexpected<Error> refuse(Code code, std::string_view field, u64 value, u64 limit) {
    return std::unexpected(Error{code, std::string(field), value, limit, {}});
}
/// A refusal told in a sentence of its own.
[[nodiscard]] inline std::unexpected<Error> refuse(Code code, std::string_view field, std::string detail) {
    return std::unexpected(Error{code, std::string(field), 0, 0, std::move(detail)});
}

/// One sentence for a person: the error's own, or one made of its field, value and limit.
[[nodiscard]] std::string describe(const Error& error);

/// What a caller can do next about this very refusal: by what was refused, or else what the code's row says.
[[nodiscard]] std::string_view remedy_of(const Error& error);

/// A failed system call as an error: `system_failed`, with the call and the kernel's reason (`errno_value`) in words.
[[nodiscard]] Error system_error(std::string_view call, int errno_value);
}  // namespace vramd

#define VRAMD_CONCAT_(a, b) a##b
#define VRAMD_CONCAT(a, b) VRAMD_CONCAT_(a, b)
#define VRAMD_TRY_(temporary, declaration, expression)        \
    auto temporary = (expression);                            \
    if (!temporary) [[unlikely]]                              \
        return std::unexpected(std::move(temporary).error()); \
    declaration = *std::move(temporary)
/// TRY(const auto range, Range::within(…)): the value, or return the error from the calling function.
#define TRY(declaration, ...) VRAMD_TRY_(VRAMD_CONCAT(try_, __LINE__), declaration, (__VA_ARGS__))
/// TRY_DO(call(…)): go on if it succeeded, else return its error; for a `Result<void>` or an unneeded value.
#define TRY_DO(...)                                            \
    do {                                                       \
        if (auto try_do = (__VA_ARGS__); !try_do) [[unlikely]] \
            return std::unexpected(std::move(try_do).error()); \
    } while (false)
