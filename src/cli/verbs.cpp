#include "cli/verbs.hpp"

#include <charconv>

#include "cli/figures.hpp"

namespace vramd::cli {
namespace {
constexpr const Verb* all_verbs[] = {
    &status_verb,   &top_verb,       &devices_verb, &ps_verb,         &models_verb,   &tensors_verb, &load_verb,
    &unload_verb,   &cache_verb,     &alloc_verb,   &free_verb,       &cat_verb,      &put_verb,     &copy_verb,
    &move_verb,     &transfers_verb, &clear_verb,   &defragment_verb, &optimize_verb, &limits_verb,  &events_verb,
    &pressure_verb, &analytics_verb, &advise_verb,  &explain_verb,    &doctor_verb,   &audit_verb,   &simulate_verb,
    &system_verb,   &upgrade_verb,   &config_verb,  &completion_verb, &version_verb,
};
}  // namespace

std::span<const Verb* const> verbs() { return all_verbs; }

const Verb* verb_named(std::string_view name) {
    for (const Verb* verb : verbs())
        if (verb->name == name) return verb;
    return nullptr;
}

std::string Given::text(std::string_view argument) const {
    const auto found = words_.find(std::string(argument));
    return found == words_.end() ? std::string() : found->second.front();
}

const std::vector<std::string>& Given::all(std::string_view argument) const {
    static const std::vector<std::string> none;
    const auto found = words_.find(std::string(argument));
    return found == words_.end() ? none : found->second;
}

Told<u64> Given::size(std::string_view argument) const {
    auto size = parse_size(text(argument));
    if (size) return *size;
    return std::unexpected(Failure(Exit::usage, std::string(argument) + ": " + describe(size.error())));
}

Told<u64> Given::number(std::string_view argument) const {
    const std::string word = text(argument);
    u64 number = 0;
    const auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (!word.empty() && failed == std::errc{} && end == word.data() + word.size()) return number;
    return std::unexpected(Failure(Exit::usage, std::string(argument) + ": '" + word + "' is not a whole number."));
}
}  // namespace vramd::cli
