/// Every way in which vramd can refuse or fail, once: the table behind problem documents, `/problems/{code}` and exit codes.
///
/// A code exists only if a caller can react to it differently from the others. A code's value is part of the ledger's bytes: append new
/// ones at the end.
#pragma once
#include <array>
#include <optional>
#include <string_view>

#include "base/types.hpp"

namespace vramd {
enum class Code : u8 {
    invalid_field,
    malformed_request,
    path_not_allowed,
    forbidden,
    not_found,
    method_not_allowed,
    not_acceptable,
    leased,
    pinned,
    limit_exceeded,
    quota_exceeded,
    name_in_use,
    cancelled,
    conflict,
    too_large,
    unsupported_media_type,
    out_of_range,
    invalid_model,
    header_too_large,
    system_failed,
    unsupported,
    busy,
    device_lost,
    read_only,
    timed_out,
    insufficient_memory,
    precondition_failed,
    history_gone,
};

/// What is told of a code wherever it shows.
struct CodeFacts {
    Code code;
    std::string_view name;    ///< Stable, kebab-case: the `code` of a problem document.
    u16 status;               ///< HTTP status.
    std::string_view title;   ///< One line, no figures.
    std::string_view remedy;  ///< What a caller does next.
    u16 retry_after_seconds;  ///< 0: retrying unchanged does not help.
};

inline constexpr std::array code_table = {
    CodeFacts{Code::invalid_field, "invalid-field", 400, "A field is missing, unknown or outside its limits",
              "Send the field as the detail says; /openapi.json lists every field with its range.", 0},
    CodeFacts{Code::malformed_request, "malformed-request", 400, "The request cannot be read",
              "Send one well-formed HTTP request whose body is one JSON object.", 0},
    CodeFacts{Code::path_not_allowed, "path-not-allowed", 403, "The path lies outside the model folders",
              "Name a file beneath a --model-dir, or start the daemon with that folder added.", 0},
    CodeFacts{Code::forbidden, "forbidden", 403, "Not allowed for this caller", "Act as the owner, as an admin, or through the local socket.", 0},
    CodeFacts{Code::not_found, "not-found", 404, "There is no such thing, or it is not yours", "List what exists and use an id from there.", 0},
    CodeFacts{Code::method_not_allowed, "method-not-allowed", 405, "The path exists, but not with this method", "Use a method that the Allow header names.", 0},
    CodeFacts{Code::not_acceptable, "not-acceptable", 406, "No form of the answer suits the Accept header", "Accept application/json.", 0},
    CodeFacts{Code::leased, "leased", 409, "Somebody is using the memory", "Wait until the holder lets go, or repeat with force where the call offers it.", 0},
    CodeFacts{Code::pinned, "pinned", 409, "The memory is pinned", "Copy it instead of moving it: pinned memory stays where it is until it is freed.", 0},
    CodeFacts{Code::limit_exceeded, "limit-exceeded", 409, "The device's limit does not allow it", "Raise the limit, free memory, or ask for less.", 0},
    CodeFacts{Code::quota_exceeded, "quota-exceeded", 409, "The owner's quota does not allow it", "Free memory of this owner, raise its quota, or ask for less.", 0},
    CodeFacts{Code::name_in_use, "name-in-use", 409, "The name stands for another file", "Unload that model first, or choose another name.", 0},
    CodeFacts{Code::cancelled, "cancelled", 409, "The operation was cancelled", "Start it again if it is still wanted.", 0},
    CodeFacts{Code::conflict, "conflict", 409, "The state does not allow it now", "Look at the present state and decide again.", 0},
    CodeFacts{Code::too_large, "too-large", 413, "The body is larger than this call takes", "Send less, or use the content endpoint for bytes.", 0},
    CodeFacts{Code::unsupported_media_type, "unsupported-media-type", 415, "The body's type is not the one this call takes", "Send Content-Type: application/json.", 0},
    CodeFacts{Code::out_of_range, "out-of-range", 416, "The range does not lie inside the memory", "Stay within the size that the detail names.", 0},
    CodeFacts{Code::invalid_model, "invalid-model", 422, "The model file is not valid", "Check the file: the detail names the place and the rule it breaks.", 0},
    CodeFacts{Code::header_too_large, "header-too-large", 431, "The request's head is too large", "Send fewer or shorter headers.", 0},
    CodeFacts{Code::system_failed, "system-failed", 500, "The operating system refused something the daemon needs", "See the daemon's log; vramctl doctor checks the usual causes.", 0},
    CodeFacts{Code::unsupported, "unsupported", 501, "This device or build cannot do that", "Ask for what can be done: GET /api/devices tells each device's capabilities, /openapi.json every call; a model's file must be safetensors, GGUF 2 or 3, or ONNX.", 0},
    CodeFacts{Code::busy, "busy", 503, "Too much is going on", "Try again after the time that Retry-After names.", 1},
    CodeFacts{Code::device_lost, "device-lost", 503, "The device stopped working", "Other devices go on; see the device's health for the cause.", 10},
    CodeFacts{Code::read_only, "read-only", 503, "The daemon cannot record changes at present", "Reads are answered meanwhile; the detail says why. Disk full: make room where the state directory lies. The core failed: mend what the log says, and send SIGHUP to vramd. Asked for: start vramd without --read-only.", 5},
    CodeFacts{Code::timed_out, "timed-out", 504, "It did not finish in time", "Allow more time, or make room first.", 0},
    CodeFacts{Code::insufficient_memory, "insufficient-memory", 507, "There is not enough memory", "Follow one of the suggestions in the answer.", 0},
    CodeFacts{Code::precondition_failed, "precondition-failed", 412, "It was changed since it was read", "Read it again, and send the change with the ETag of that answer.", 0},
    CodeFacts{Code::history_gone, "history-gone", 410, "The history does not go back that far", "Begin at the oldest event kept, which the limit names, or now.", 0},
};

static_assert([] {
    for (std::size_t i = 0; i < code_table.size(); ++i)
        if (static_cast<std::size_t>(code_table[i].code) != i) return false;
    return true;
}(), "code_table is indexed by Code");

[[nodiscard]] constexpr const CodeFacts& facts_of(Code code) { return code_table[static_cast<std::size_t>(code)]; }

/// The code with this kebab-case name, if there is one.
[[nodiscard]] constexpr std::optional<Code> code_named(std::string_view name) {
    for (const CodeFacts& row : code_table)
        if (row.name == name) return row.code;
    return std::nullopt;
}
}  // namespace vramd
