#include "cli/model_columns.hpp"
#include "cli/verbs.hpp"

namespace vramd::cli {
namespace {
Told<void> run(Session& session, const Given&) {
    return show_list(session, "/api/model/cache", {}, {model_columns, "name", "items", "The RAM cache is empty."});
}
}  // namespace

constexpr Verb cache_verb = {"cache", "Which models lie in RAM", "GET /api/model/cache", {}, run, Repeats::yes};
}  // namespace vramd::cli
