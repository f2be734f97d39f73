/// Watches an operation of the daemon to its end: progress on stderr, a cancel when the user interrupts.
#pragma once
#include "cli/document.hpp"
#include "cli/session.hpp"

namespace vramd::cli {
/// How the operation is spoken of when it does not end as it should.
struct Followed {
    std::string what;       ///< "the load of detector": what goes on where it cannot be cancelled.
    std::string cancelled;  ///< The sentence after "Interrupted; ": what a cancel leaves.
    std::string finished;   ///< The sentence after "Interrupted, but ": what there is when the cancel came too late.
};
/// The operation at `target` as it was told when it had succeeded. Errors: its problem; interrupted.
[[nodiscard]] Told<json::object> follow(Session& session, const std::string& target, const Followed& followed);
}  // namespace vramd::cli
