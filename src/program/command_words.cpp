/// The only file of the mains that includes CLI11.
#include "program/command_words.hpp"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <sstream>

#include "base/nearest.hpp"

namespace vramd::program {
namespace {
namespace json = boost::json;

json::array options_told(const CLI::App& verb) {
    json::array told;
    for (const CLI::Option* option : verb.get_options()) {
        if (option->get_group().empty()) continue;
        told.push_back({{"name", option->get_name(false, true)},
                        {"takesValue", option->get_expected_min() > 0},
                        {"tells", option->get_description()}});
    }
    return told;
}

json::array settings_told() {
    json::array told;
    for (const Setting& setting : settings_table)
        told.push_back({{"key", setting.key},
                        {"flag", setting.flag},
                        {"variable", setting.variable},
                        {"isList", setting.separator != 0},
                        {"tells", setting.help}});
    return told;
}

std::string describe_app(const CLI::App& app) {
    json::array verbs;
    for (const CLI::App* verb : app.get_subcommands({}))
        verbs.push_back({{"name", verb->get_name()}, {"tells", verb->get_description()}, {"options", options_told(*verb)}});
    const json::object told{{"name", app.get_name()},
                            {"version", VRAMD_VERSION},
                            {"tells", app.get_description()},
                            {"verbs", verbs},
                            {"settings", settings_told()}};
    return json::serialize(told) + "\n";
}

/// What CLI11 leaves unsaid: which word it did not know, and what was meant by it most likely.
std::string what_is_wrong(const CLI::App& app, const CLI::ParseError& error) {
    const std::string help = " vramd --help tells more.";
    const std::vector<std::string> left = app.remaining(true);
    const auto asked = app.get_subcommands();
    std::vector<std::string> known;
    if (asked.empty())
        for (const CLI::App* verb : app.get_subcommands({})) known.push_back(verb->get_name());
    if (asked.empty() && (left.empty() || left.front().starts_with('-'))) {
        const std::string missing = left.empty() ? "A verb is missing" : "There is no option '" + left.front() + "' before a verb";
        return missing + "; the verbs are serve and config." + help;
    }
    if (asked.empty()) return "There is no verb '" + left.front() + "'; the nearest is '" + nearest_word(left.front(), known) + "'." + help;
    if (left.empty() || dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return error.what() + ("." + help);
    for (const CLI::Option* option : asked.front()->get_options())
        if (!option->get_group().empty())
            for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    const std::string verb = asked.front()->get_name();
    if (!left.front().starts_with('-')) return verb + " takes no word '" + left.front() + "', only options." + help;
    const std::string_view word = std::string_view(left.front()).substr(0, left.front().find('='));
    return verb + " has no option '" + left.front() + "'; the nearest is '" + nearest_word(word, known) + "'." + help;
}

}  // namespace

Result<Asked> read_words(std::span<char* const> arguments, Words& words) {
    CLI::App app{"vramd owns a machine's memory for models, gives it out by handle and keeps models in it", "vramd"};
    app.set_version_flag("--version", std::string("vramd ") + VRAMD_VERSION);
    CLI::App* serve = app.add_subcommand("serve", "serve until SIGTERM");
    CLI::App* print = app.add_subcommand("config", "print every setting of serve with these flags, and where it comes from");
    std::string keys;
    for (const Setting& setting : settings_table) keys += std::string(setting.key) + ", ";
    keys += "and tables [[preload]]";
    for (CLI::App* verb : {serve, print}) {
        verb->add_option("--config", words.config, "a TOML file with the keys " + keys + " (VRAMD_CONFIG)");
        for (std::size_t i = 0; i < words.flags.size(); ++i)
            verb->add_option(settings_table[i].flag, words.flags[i],
                             std::string(settings_table[i].help) + " (" + settings_table[i].variable + ")")
                ->allow_extra_args(false);
        verb->add_flag("--read-only", words.read_only,
                       "answer, but change nothing; left only by a start without it: a SIGHUP starts the core again with the same flags");
        verb->add_flag(std::string(keeper::after_failures_flag), words.after_failures)
            ->group("");  // The keeper's own word, not for people.
    }
    CLI::Option* plain = print->add_flag("--plain", words.plain, "as lines KEY=VALUE");
    print->add_flag("--json", words.json, "as JSON: items with setting, value and source")->excludes(plain);
    app.require_subcommand(1);
    Asked asked;
    if (arguments.size() == 2 && std::string_view(arguments[1]) == "__describe") {
        asked.verb = Verb::told;
        asked.text = describe_app(app);
        return asked;
    }
    std::ostringstream out;
    std::ostringstream problem;
    try {
        app.parse(static_cast<int>(arguments.size()), arguments.data());
    } catch (const CLI::ParseError& error) {
        if (app.exit(error, out, problem) != 0) return refuse(Code::invalid_field, "arguments", what_is_wrong(app, error));
        asked.verb = Verb::told;
        asked.text = out.str();
        return asked;
    }
    asked.verb = serve->parsed() ? Verb::serve : Verb::config;
    return asked;
}
}  // namespace vramd::program
