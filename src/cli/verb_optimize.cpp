#include "cli/upkeep.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace verb_optimize {
constexpr Argument arguments[] = {
    {"device", Takes::optional, "Which; else all", Offers::devices},
    {"operations", Takes::value, "Of defragment,compact,garbageCollect,preload,cache; in this order"},
    {"target-usage", Takes::value, "Evict idle models until no more is used, in percent"},
    {"preserve", Takes::value, "Allocations that stay where they are, separated by commas"},
    {"preserve-models", Takes::value, "Models that are not evicted, separated by commas"},
    {"time-limit", Takes::value, "Nothing further begins after so many milliseconds"},
    {"dry-run", Takes::flag, "Say what it would do, and do nothing"},
    {"detach", Takes::flag, "Print the operation's id and do not wait"},
};

Told<void> run(Session& session, const Given& given) {
    json::object request;
    if (given.has("operations")) request["operations"] = words_of(given.text("operations"));
    if (given.has("target-usage")) {
        TRY(request["targetUsagePercentage"], given.number("target-usage"));
    }
    if (given.has("preserve")) request["preserveAllocationIds"] = words_of(given.text("preserve"));
    if (given.has("preserve-models")) request["preserveModels"] = words_of(given.text("preserve-models"));
    return run_upkeep(session, given, {"/api/memory/operations/optimize", "optimization", "the optimize"}, std::move(request));
}
}  // namespace verb_optimize

constexpr Verb optimize_verb = {"optimize",
                                "Give memory back in one or several ways",
                                "POST /api/memory/operations/optimize/{device}",
                                verb_optimize::arguments,
                                verb_optimize::run,
                                Repeats::no,
                                "vramctl optimize --operations garbageCollect,cache --target-usage 70"};
}  // namespace vramd::cli
