#include "base/result.hpp"

#include <cstring>

namespace vramd {
std::string describe(const Error& error) {
    if (!error.detail.empty()) return error.detail;
    const CodeFacts& facts = facts_of(error.code);
    if (error.field.empty()) return std::string(facts.title) + ".";
    switch (error.code) {
        case Code::not_found:
            return error.field + ": there is no such thing, or it is not yours.";
        case Code::leased:
            return error.field + ": somebody is using it.";
        case Code::insufficient_memory:
            return std::to_string(error.value) + " bytes were asked for; the largest free place has " + std::to_string(error.limit) + ".";
        default:
            break;
    }
    return error.field + " is " + std::to_string(error.value) + "; the limit is " + std::to_string(error.limit) + ".";
}

Error system_error(std::string_view call, int errno_value) {
    char text[128] = {};
    // GNU's strerror_r may return a static string instead of filling the buffer.
    const char* reason = strerror_r(errno_value, text, sizeof text);
    return Error{Code::system_failed, std::string(call), static_cast<u64>(errno_value), 0, std::string(call) + ": " + reason + "."};
}
}  // namespace vramd
