/// Refusals as RFC 9457 problem documents, and the pages that their `type` leads to.
///
/// Everything constant about a problem comes from base/code.hpp's table; everything particular from the `Error`, and, for memory that
/// could not be had, from the engine's figures of what would fit.
#pragma once
#include "api/shape.hpp"
#include "engine/engine.hpp"
#include "http/message.hpp"

namespace vramd::api {
/// The document. What does not apply is absent.
struct Problem {
    std::string type;
    std::string title;
    u32 status = 0;
    std::string detail;
    std::optional<std::string> instance;
    std::string code;
    std::optional<std::string> field;
    std::optional<u64> value;
    std::optional<u64> limit;
    std::string remedy;
    std::optional<u64> requested_bytes;
    std::optional<u64> available_bytes;
    std::optional<u64> largest_free_bytes;
    std::optional<std::vector<std::string>> suggestions;
};
BOOST_DESCRIBE_STRUCT(Problem, (),
                      (type, title, status, detail, instance, code, field, value, limit, remedy, requested_bytes, available_bytes,
                       largest_free_bytes, suggestions))
template <>
inline constexpr auto description<Problem> = describe(
    "Problem", "Why a request was refused or failed, and what to do next (RFC 9457).",
    {{.member = "type", .tells = "Where this kind of problem is explained.", .example = R"("/problems/insufficient-memory")"},
     {.member = "title", .tells = "The kind of problem in one line.", .example = R"("There is not enough memory")"},
     {.member = "status", .tells = "The HTTP status.", .example = "507", .min = 400, .max = 599},
     {.member = "detail",
      .tells = "What was wrong this time, in a sentence that names field, value and limit.",
      .example = R"("host0 can give 1073741824 bytes and 2147483648 were asked for.")"},
     {.member = "instance",
      .tells = "The path that was asked for.",
      .example = R"("/api/memory/allocations/allocate")",
      .presence = Presence::optional},
     {.member = "code", .tells = "The kind of problem, for programs; never renamed.", .example = R"("insufficient-memory")"},
     {.member = "field",
      .tells = "What is at fault: a JSON pointer into the body, \"?name\" for a query parameter, or the bare name of a header or a part of the path.",
      .example = R"("/sizeBytes")",
      .presence = Presence::optional},
     {.member = "value",
      .tells = "The value that was given, where it is a whole number.",
      .example = "2147483648",
      .max = ~u64{0},
      .presence = Presence::optional},
     {.member = "limit", .tells = "The limit that it broke.", .example = "1073741824", .max = ~u64{0}, .presence = Presence::optional},
     {.member = "remedy", .tells = "What a caller does next.", .example = R"("Follow one of the suggestions in the answer.")"},
     {.member = "requested_bytes",
      .tells = "insufficient-memory: what was asked for.",
      .example = "2147483648",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "available_bytes",
      .tells = "insufficient-memory: what can be had without evicting anything.",
      .example = "1073741824",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "largest_free_bytes",
      .tells = "insufficient-memory: the largest piece that can be had at once.",
      .example = "536870912",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "suggestions",
      .tells = "insufficient-memory: what would make it fit, one sentence each.",
      .example = R"(["Unload the model detector: it holds 1073741824 bytes."])",
      .presence = Presence::optional}});

/// The document for `error`.
[[nodiscard]] Problem problem_of(const Error& error, std::string_view instance);
/// The reply for `error`; `instance` is the request's path. Adds Retry-After where the code table has one. `shortfall`: the figures
/// behind an `insufficient_memory`.
[[nodiscard]] http::Reply problem_reply(const Error& error, std::string_view instance);
[[nodiscard]] http::Reply problem_reply(const Error& error, std::string_view instance, const engine::Shortfall& shortfall);

/// The page of `/problems` and of `/problems/{code}`. Error: `not_found`.
[[nodiscard]] std::string problems_page();
[[nodiscard]] Result<std::string> problem_page(std::string_view code);
}  // namespace vramd::api
