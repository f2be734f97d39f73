/// Conditional requests (RFC 9110, 13): an entity tag from a resource's revision, and what If-Match and If-None-Match make of it.
///
/// How a handler uses it, e.g. of limits, whose revision rises with every change:
///   read:   const std::string tag = etag_of(told.revision);
///           if (matches_none(call.head, tag)) { … } else return std::move(answer).unmodified(tag);   // 304
///           std::move(answer).tagged(value, tag);                                                   // 200 with ETag
///   write:  TRY_DO(check_if_match(call.head, etag_of(told.revision)));                              // 412 `precondition-failed`
/// The check before a write must be made where the write is decided, or be repeated there: give the command the revision that
/// `if_match_revision` tells and let `decide` compare it.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "http/message.hpp"

namespace vramd::api {
/// The strong tag of a revision: `"r7"`, with its quotes.
[[nodiscard]] std::string etag_of(u64 revision);
/// The strong tag of a body: its checksum.
[[nodiscard]] std::string etag_of_body(std::string_view body);
/// True if the reader has not got this version yet: no If-None-Match, or none of its tags is `etag` (weak comparison; `*` is any).
[[nodiscard]] bool matches_none(const http::RequestHead& head, std::string_view etag);
/// Success without If-Match, or where one of its tags is `etag` (strong comparison: a weak tag is none) or `*`.
/// Errors: `precondition_failed`, naming the present tag.
[[nodiscard]] Result<void> check_if_match(const http::RequestHead& head, std::string_view etag);
/// The one revision that If-Match names, for a command that is to change just that; nothing without the header or with `*`.
/// Errors: `invalid_field` where it names something that `etag_of` never made, or several.
[[nodiscard]] Result<std::optional<u64>> if_match_revision(const http::RequestHead& head);
}  // namespace vramd::api
