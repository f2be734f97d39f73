#include "base/result.hpp"

#include <cstring>

namespace vramd {
namespace {
/// Where one code covers refusals whose ways out differ: by the field that was refused.
struct FittingRemedy {
    Code code;
    std::string_view field;
    std::string_view remedy;
};
constexpr FittingRemedy fitting_remedies[] = {
    {Code::unsupported, "method", "Use a method of this path: OPTIONS names them in Allow, /openapi.json lists every call."},
    {Code::unsupported, "/targetAllocationId", "Use POST /api/memory/transfer: it copies between any two devices."},
    {Code::unsupported, "block", "Allocate memory with shareable: true; only that can be given to others."},
    {Code::unsupported, "seccomp", "Load models on a kernel that has seccomp filters; vramctl doctor checks it."},
};
}  // namespace

std::string_view remedy_of(const Error& error) {
    for (const FittingRemedy& row : fitting_remedies)
        if (row.code == error.code && row.field == error.field) return row.remedy;
    return facts_of(error.code).remedy;
}

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
