/// What `defragment` and `optimize` share: begin an operation, watch it, show what it did.
#pragma once
#include "cli/document.hpp"
#include "cli/session.hpp"
#include "cli/verb.hpp"

namespace vramd::cli {
/// One of the two calls.
struct UpkeepCall {
    std::string_view path;    ///< "/api/memory/operations/defragment"; the device follows.
    std::string_view result;  ///< The member of an operation that holds what it did.
    std::string_view what;    ///< "the defragmentation"
};
/// Sends the request and shows the answer; reads the arguments `device`, `time-limit`, `dry-run` and `detach`.
[[nodiscard]] Told<void> run_upkeep(Session& session, const Given& given, const UpkeepCall& call, json::object request);
/// "a,b c" as "a", "b", "c".
[[nodiscard]] json::array words_of(std::string_view text);
}  // namespace vramd::cli
