/// The only file that includes CLI11.
#include "cli/command_line.hpp"

#include <CLI/CLI.hpp>
#include <initializer_list>

#include "base/nearest.hpp"
#include "cli/document.hpp"
#include "cli/version.hpp"

namespace vramd::cli {
namespace {
constexpr const char* about = "vramctl asks and tells the vramd daemon what to do with the machine's model memory.";
constexpr const char* exit_codes =
    "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused for memory or limit, 5 daemon unreachable, 6 timed out, 7 conflict\n"
    "(leased, pinned), 130 interrupted.\n"
    "vramctl help VERB tells of a verb. "
    "Environment: VRAMD_SOCKET, VRAMD_URL, VRAMD_TOKEN, NO_COLOR.";

/// What CLI11 fills while it reads.
struct Raw {
    Wishes wishes;
    std::string format = "table";
    std::string color = "auto";
    double watch_seconds = 0;
    std::map<std::pair<const Verb*, std::string_view>, std::string> word;
    std::map<std::pair<const Verb*, std::string_view>, std::vector<std::string>> words;  ///< Of `Takes::many`.
    std::map<std::pair<const Verb*, std::string_view>, CLI::Option*> options;
};

void add_globals(CLI::App& app, Raw& raw) {
    app.add_option("--url", raw.wishes.url, "The daemon, as http://127.0.0.1:7070 or unix:PATH")->group("Everywhere");
    app.add_option("--socket", raw.wishes.socket, "The daemon's Unix socket: the attach socket, or the HTTP one beside it")
        ->group("Everywhere");
    app.add_option("-o,--output", raw.format, "How to show it: table, wide, json, jsonl, csv, name")
        ->check(CLI::IsMember({"table", "wide", "json", "jsonl", "csv", "name"}))
        ->group("Everywhere");
    app.add_flag_callback(
           "--bytes", [&raw] { raw.wishes.sizes = Sizes::exact; }, "Sizes as exact numbers of bytes")
        ->group("Everywhere");
    app.add_option("--color", raw.color, "auto, always or never")->check(CLI::IsMember({"auto", "always", "never"}))->group("Everywhere");
    app.add_flag_callback(
           "--curl", [&raw] { raw.wishes.asks = Asks::for_curl; }, "Print the REST call as a curl command instead of making it")
        ->group("Everywhere");
    app.add_option("--watch", raw.watch_seconds, "Show it again every second, or with --watch=S every S seconds")
        ->check(CLI::Range(0.1, 86'400.0))
        ->group("Everywhere");
}

void add_argument(CLI::App& command, const Verb& verb, const Argument& argument, Raw& raw) {
    const std::pair key(&verb, argument.name);
    const std::string name(argument.name);
    const std::string letter = argument.letter.empty() ? std::string() : std::string(argument.letter) + ",";
    const std::string tells(argument.tells);
    CLI::Option* option = nullptr;
    switch (argument.takes) {
        case Takes::required:
            option = command.add_option(name, raw.word[key], tells)->required();
            break;
        case Takes::optional:
            option = command.add_option(name, raw.word[key], tells);
            break;
        case Takes::many:
            option = command.add_option(name, raw.words[key], tells)->required();
            break;
        case Takes::value:
            option = command.add_option(letter + "--" + name, raw.word[key], tells);
            break;
        case Takes::flag:
            option = command.add_flag(letter + "--" + name, tells);
            break;
    }
    if (argument.offers == Offers::words) {
        std::set<std::string> allowed;
        std::istringstream list{std::string(argument.words)};
        for (std::string word; list >> word;) allowed.insert(word);
        option->check(CLI::IsMember(allowed));
    }
    raw.options[key] = option;
}

void add_verb(CLI::App& app, const Verb& verb, Raw& raw) {
    CLI::App* command = app.add_subcommand(std::string(verb.name), std::string(verb.summary));
    command->fallthrough();
    for (const Argument& argument : verb.arguments) add_argument(*command, verb, argument, raw);
    std::string footer;
    if (!verb.call.empty()) footer += "REST: " + std::string(verb.call) + "\n";
    if (!verb.example.empty()) footer += "Example: " + std::string(verb.example) + "\n";
    command->footer(footer + "Everywhere: --url --socket -o --bytes --color --curl --watch, see vramctl --help.");
}

Format format_named(std::string_view name) {
    constexpr std::string_view names[] = {"table", "wide", "json", "jsonl", "csv", "name"};
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (names[i] == name) return static_cast<Format>(i);
    return Format::table;
}

Command command_of(const CLI::App& app, const Verb& verb, Raw& raw) {
    Command command;
    command.verb = &verb;
    command.wishes = raw.wishes;
    command.wishes.format = format_named(raw.format);
    if (raw.color != "auto") command.wishes.color = raw.color == "always" ? When::always : When::never;
    if (app.count("--watch") > 0) command.wishes.watch_seconds = raw.watch_seconds > 0 ? raw.watch_seconds : 1.0;
    for (const Argument& argument : verb.arguments) {
        if (raw.options[{&verb, argument.name}]->count() == 0) continue;
        if (argument.takes == Takes::many)
            for (std::string& word : raw.words[{&verb, argument.name}]) command.given.add(argument.name, std::move(word));
        else
            command.given.add(argument.name, argument.takes == Takes::flag ? "yes" : raw.word[{&verb, argument.name}]);
    }
    return command;
}
/// "; the nearest is 'status'."
std::string instead_of(std::string_view word, const std::vector<std::string>& known) {
    return "; the nearest is '" + nearest_word(word.substr(0, word.find('=')), known) + "'.";
}

std::vector<std::string> options_of(std::initializer_list<const CLI::App*> apps) {
    std::vector<std::string> names;
    for (const CLI::App* app : apps)
        for (const CLI::Option* option : app->get_options())
            for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    return names;
}

/// CLI11 says of a verb that it does not know only that it misses one, and tells what is left over from the end.
std::string what_is_wrong(const CLI::App& app, const CLI::ParseError& error) {
    const std::vector<std::string> left = app.remaining(true);
    if (!app.get_subcommands().empty()) {
        if (left.empty() || dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return error.what();
        const CLI::App& asked = *app.get_subcommands().front();
        const std::string verb = asked.get_name();
        for (const std::string& word : left)
            if (word.starts_with('-')) return verb + " has no option '" + word + "'" + instead_of(word, options_of({&asked, &app}));
        return verb + " does not take as much: '" + left.front() + "' is too many.";
    }
    if (left.empty()) return "A verb is missing.";
    if (left.front().starts_with('-')) return "There is no option '" + left.front() + "'" + instead_of(left.front(), options_of({&app}));
    std::vector<std::string> known;
    for (const Verb* one : verbs()) known.emplace_back(one->name);
    return "There is no verb '" + left.front() + "'" + instead_of(left.front(), known);
}

void set_up(CLI::App& app, Raw& raw) {
    app.require_subcommand(1);
    app.get_formatter()->column_width(28);
    app.footer(exit_codes);
    add_globals(app, raw);
    for (const Verb* verb : verbs()) add_verb(app, *verb, raw);
}

json::array arguments_told(const Verb& verb) {
    constexpr std::string_view takes[] = {"required", "optional", "many", "value", "flag"};  // In the order of `Takes`.
    json::array told;
    for (const Argument& argument : verb.arguments)
        told.push_back({{"name", argument.name},
                        {"letter", argument.letter},
                        {"takes", takes[static_cast<std::size_t>(argument.takes)]},
                        {"tells", argument.tells},
                        {"words", argument.words}});
    return told;
}
}  // namespace

std::string describe_command_line() {
    CLI::App app(about, "vramctl");
    Raw raw;
    set_up(app, raw);
    json::array options;
    for (const CLI::Option* option : app.get_options())
        options.push_back({{"name", option->get_name(false, true)},
                           {"takesValue", option->get_expected_min() > 0},
                           {"tells", option->get_description()}});
    json::array told;
    for (const Verb* verb : verbs())
        told.push_back({{"name", verb->name},
                        {"tells", verb->summary},
                        {"call", verb->call},
                        {"example", verb->example},
                        {"repeats", verb->watchable == Repeats::yes},
                        {"arguments", arguments_told(*verb)}});
    const json::object all{{"name", "vramctl"},    {"version", own_version()}, {"tells", about},
                           {"footer", exit_codes}, {"options", options},       {"verbs", told}};
    return json::serialize(all);
}

std::variant<Command, Ended> read_command_line(int argc, const char* const* argv) {
    CLI::App app(about, "vramctl");
    Raw raw;
    set_up(app, raw);
    // The value of --watch is optional, so it is taken with '=' only: "--watch status" must not ask for "status" seconds.
    std::vector<const char*> words(argv, argv + argc);
    for (const char*& word : words)
        if (std::string_view(word) == "--watch") word = "--watch=1";
    // "vramctl help top" is what people try first.
    if (words.size() > 1 && std::string_view(words[1]) == "help") {
        words.erase(words.begin() + 1);
        if (words.size() == 1 || verb_named(words[1]) != nullptr) words.push_back("--help");
    }
    try {
        app.parse(static_cast<int>(words.size()), words.data());
    } catch (const CLI::CallForHelp& help) {
        app.exit(help);
        return Ended{Exit::done};
    } catch (const CLI::ParseError& error) {
        // CLI11's own codes (106 and its kin) and its form of an error are not vramctl's.
        if (error.get_exit_code() == 0) return app.exit(error), Ended{Exit::done};
        Failure failure(Exit::usage, what_is_wrong(app, error));
        const auto asked = app.get_subcommands();
        failure.remedy = "vramctl " + (asked.empty() ? std::string() : asked.front()->get_name() + " ") + "--help";
        std::fputs(lines_of(failure).c_str(), stderr);
        return Ended{Exit::usage};
    }
    for (const Verb* verb : verbs()) {
        if (!app.got_subcommand(std::string(verb->name))) continue;
        if (app.count("--watch") > 0 && verb->watchable == Repeats::no) {
            std::fprintf(stderr, "vramctl: %s changes things, or shows them once: --watch does not apply.\n",
                         std::string(verb->name).c_str());
            return Ended{Exit::usage};
        }
        if (verb->shows == Shows::what_it_is && raw.format != "table" && raw.format != "json" && raw.format != "jsonl") {
            std::fprintf(stderr, "vramctl: %s writes what it is about as it is: -o %s does not apply; table, json and jsonl do.\n",
                         std::string(verb->name).c_str(), raw.format.c_str());
            return Ended{Exit::usage};
        }
        return command_of(app, *verb, raw);
    }
    return Ended{Exit::usage};
}
}  // namespace vramd::cli
