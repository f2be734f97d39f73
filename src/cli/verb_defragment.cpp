#include "cli/upkeep.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_defragment {
constexpr Argument arguments[] = {
    {"device", Takes::optional, "Which; else all", Offers::devices},
    {"strategy", Takes::value, "What it minimises (balanced)", Offers::words, "quick balanced thorough conservative"},
    {"target", Takes::value, "Enough when no more fragmented than this, in percent"},
    {"time-limit", Takes::value, "Nothing further begins after so many milliseconds"},
    {"dry-run", Takes::flag, "Say what it would do, and do nothing"},
    {"detach", Takes::flag, "Print the operation's id and do not wait"},
};

Told<void> run(Session& session, const Given& given) {
    json::object request;
    if (given.has("strategy")) request["strategy"] = given.text("strategy");
    if (given.has("target")) {
        TRY(request["targetFragmentationPercentage"], given.number("target"));
    }
    return run_upkeep(session, given, {"/api/memory/operations/defragment", "defragmentation", "the defragmentation"}, std::move(request));
}
}  // namespace verb_defragment

constexpr Verb defragment_verb = {"defragment",
                                  "Turn scattered holes into room for all",
                                  "POST /api/memory/operations/defragment/{device}",
                                  verb_defragment::arguments,
                                  verb_defragment::run,
                                  Repeats::no,
                                  "vramctl defragment host0 --dry-run"};
}  // namespace vramd::cli
