#include "program/settings.hpp"

#define TOML_EXCEPTIONS 0
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>

#include "base/nearest.hpp"
#include "base/percentages.hpp"
#include "device/spec.hpp"
#include "program/preload.hpp"

namespace vramd::program {
namespace {
/// A list-valued or text setting on its way through the four sources.
struct Setting {
    const char* key;  ///< In the file.
    const char* flag;
    const char* variable;  ///< Lists in variables are separated by ':' (folders) or ' ' (devices).
    char separator;        ///< 0: one text.
    const char* help;
};
/// In the order of `Row`.
constexpr Setting settings_table[] = {
    {"listen", "--listen", "VRAMD_LISTEN", 0, "ADDRESS:PORT for HTTP, or none (127.0.0.1:7070)"},
    {"socket", "--socket", "VRAMD_SOCKET", 0, "path of the attach socket; HTTP is served on vramd-http.sock beside it"},
    {"state_dir", "--state-dir", "VRAMD_STATE_DIR", 0, "folder of the ledger"},
    {"device", "--device", "VRAMD_DEVICE", ' ', "a device: host[:NAME][=SIZE], auto; repeat it for several (SIZE: 512MiB, 4GiB, 80%)"},
    {"model_dir", "--model-dir", "VRAMD_MODEL_DIR", ':', "a folder that models may be loaded from; repeat it for several"},
    {"token_file", "--token-file", "VRAMD_TOKEN_FILE", 0, "lines `token owner role` for requests with a bearer token"},
    {"ram_cache", "--ram-cache", "VRAMD_RAM_CACHE", 0,
     "what models may hold of the first host device that are loaded nowhere (80%); 0: no cache"},
    {"eviction", "--eviction", "VRAMD_EVICTION", 0, "which models go first when room is wanted: fifo, lru or smart (fifo)"},
    {"watermarks", "--watermarks", "VRAMD_WATERMARKS", 0,
     "HIGH,LOW: a load that takes a device beyond HIGH % lets models go down to LOW % (80,70); 100,100: only for need"},
    {"relief", "--relief", "VRAMD_RELIEF", 0,
     "at which pressure of the machine or the control group cached copies go, models idle for 10 minutes too, and any unused one "
     "(75,90,95); 100,100,100: never"},
};
enum Row : std::size_t {
    row_listen,
    row_socket,
    row_state_dir,
    row_device,
    row_model_dir,
    row_token_file,
    row_ram_cache,
    row_eviction,
    row_watermarks,
    row_relief
};

std::vector<std::string> split(const std::string& text, char separator) {
    if (separator == 0) return {text};
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);)
        if (!part.empty()) parts.push_back(part);
    return parts;
}

std::string joined(const std::vector<std::string>& parts) {
    std::string text;
    for (const std::string& part : parts) text += (text.empty() ? "" : " ") + part;
    return text;
}

Result<toml::table> read_file(const std::string& path) {
    std::ifstream stream(path);
    if (!stream) return refuse(Code::invalid_field, "--config", "--config names a file that cannot be read: " + path + ".");
    std::ostringstream content;
    content << stream.rdbuf();
    const std::string text = content.str();
    toml::parse_result parsed = toml::parse(std::string_view(text), std::string_view(path));
    if (!parsed) {
        const auto where = parsed.error().source().begin;
        return refuse(Code::invalid_field, "--config",
                      path + ":" + std::to_string(where.line) + ":" + std::to_string(where.column) + ": " +
                          std::string(parsed.error().description()) + ".");
    }
    return std::move(parsed).table();
}

Result<std::vector<std::string>> texts_of(const toml::node& node, const std::string& where) {
    std::vector<std::string> texts;
    if (const auto text = node.value<std::string>()) return std::vector<std::string>{*text};
    const toml::array* list = node.as_array();
    if (list == nullptr) return refuse(Code::invalid_field, where, where + " must be a text or a list of texts.");
    for (const toml::node& item : *list) {
        const auto text = item.value<std::string>();
        if (!text) return refuse(Code::invalid_field, where, where + " must hold texts only.");
        texts.push_back(*text);
    }
    return texts;
}

std::string default_model_folder(const Environment& environment) {
    if (geteuid() == 0) return "/var/lib/vramd/models";
    const auto value = [&](const char* name, const std::string& otherwise) {
        const char* found = environment(name);
        return found == nullptr || *found == '\0' ? otherwise : std::string(found);
    };
    return value("XDG_DATA_HOME", value("HOME", "/") + "/.local/share") + "/vramd/models";
}

/// One text, or several of a list. Errors: `invalid_field` for a list where one is meant, and for a text that is none.
Result<void> check_values(const Setting& setting, const std::vector<std::string>& values, const std::string& where) {
    if (setting.separator != 0) return {};
    if (values.size() != 1) return refuse(Code::invalid_field, setting.key, where + " must be one text.");
    if (values.front().empty()) return refuse(Code::invalid_field, setting.key, where + " needs a value that is not empty.");
    for (const char letter : values.front())
        if (static_cast<unsigned char>(letter) < ' ')
            return refuse(Code::invalid_field, setting.key, where + " holds a control character.");
    return {};
}

/// Every key is a setting and every value one that it can have, also where a flag will beat it: a fault must not wait for that flag's end.
Result<void> check_file(const toml::table& file, const std::string& path) {
    for (const auto& [key, node] : file) {
        const std::string_view name = key.str();
        if (name == preload_key) continue;  // Not of the table: read by preload_of.
        const std::string where = path + ":" + std::to_string(node.source().begin.line);
        const auto* setting = std::ranges::find_if(settings_table, [name](const Setting& row) { return row.key == name; });
        if (setting == std::end(settings_table))
            return refuse(Code::invalid_field, name, where + ": there is no setting " + std::string(name) + ".");
        TRY(const std::vector<std::string> values, texts_of(node, where + ": " + std::string(name)));
        TRY_DO(check_values(*setting, values, where + ": " + std::string(name)));
    }
    return {};
}

/// One setting's value by the order of the sources.
Result<Origin> resolve(const Setting& setting, const std::vector<std::string>& flags, const toml::table& file, const std::string& path,
                       const Environment& environment, std::vector<std::string>& values) {
    if (!flags.empty()) {
        values = setting.separator == 0 ? std::vector{flags.back()} : flags;
        TRY_DO(check_values(setting, values, setting.flag));
        return Origin{setting.key, joined(values), "flag"};
    }
    if (const toml::node* node = file.get(setting.key)) {
        const std::string where = path + ":" + std::to_string(node->source().begin.line);
        TRY(values, texts_of(*node, where + ": " + setting.key));
        TRY_DO(check_values(setting, values, where + ": " + setting.key));
        return Origin{setting.key, joined(values), "file " + where};
    }
    if (const char* text = environment(setting.variable); text != nullptr && *text != '\0') {
        values = split(text, setting.separator);
        TRY_DO(check_values(setting, values, setting.variable));
        return Origin{setting.key, joined(values), setting.variable};
    }
    return Origin{setting.key, "", "default"};
}

/// The words of the command line.
struct Words {
    std::string config;
    std::vector<std::vector<std::string>> flags{std::size(settings_table)};
    bool read_only = false;
    bool after_failures = false;
    bool plain = false;
};

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

/// Errors: `invalid_field`, naming the word that is not known and the nearest that is.
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
    print->add_flag("--plain", words.plain, "as lines KEY=VALUE");
    app.require_subcommand(1);
    Asked asked;
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

/// Where the daemon lives, from what the sources said; the defaults are the keeper's own, so that both agree.
Result<void> settle_places(Settings& settings, const std::vector<std::vector<std::string>>& values, const Environment& environment) {
    const auto said = [&](const char* name) -> const char* {
        for (const Row row : {row_listen, row_socket, row_state_dir})
            if (std::string_view(name) == settings_table[row].variable) return values[row].empty() ? nullptr : values[row].front().c_str();
        return environment(name);
    };
    TRY(settings.places, keeper::resolve_places({}, said));
    settings.origins[row_listen].value = settings.places.listen;
    settings.origins[row_socket].value = settings.places.attach_socket.native();
    settings.origins[row_state_dir].value = settings.places.state_directory.native();
    return {};
}

/// The value of a setting that has one text, or its default, which `vramd config` shows then.
std::string value_of(Settings& settings, const std::vector<std::vector<std::string>>& values, Row row, const char* otherwise) {
    if (!values[row].empty()) return values[row].front();
    settings.origins[row].value = otherwise;
    return otherwise;
}

/// Which models stay, which go, and when.
Result<void> settle_eviction(Settings& settings, const std::vector<std::vector<std::string>>& values) {
    settings.ram_cache = value_of(settings, values, row_ram_cache, "80%");
    if (settings.ram_cache != "0") TRY_DO(device::parse_size(settings.ram_cache));
    const std::string eviction = value_of(settings, values, row_eviction, "fifo");
    const auto order = enum_named<EvictionOrder>(eviction);
    if (!order) return refuse(Code::invalid_field, "--eviction", "--eviction must be fifo, lru or smart, not '" + eviction + "'.");
    settings.eviction = *order;
    const std::string watermarks = value_of(settings, values, row_watermarks, "80,70");
    const auto marks = parse_percentages(watermarks, 2);
    if (!marks || (*marks)[0] < (*marks)[1])
        return refuse(Code::invalid_field, "--watermarks",
                      "--watermarks must be two percentages from 0 to 100, the lower one last, such as 80,70; not '" + watermarks + "'.");
    settings.watermarks = {(*marks)[0], (*marks)[1]};
    const std::string relief = value_of(settings, values, row_relief, "75,90,95");
    const auto levels = parse_percentages(relief, 3);
    if (!levels || !std::ranges::is_sorted(*levels))
        return refuse(
            Code::invalid_field, "--relief",
            "--relief must be three percentages from 0 to 100, none lower than the one before, such as 75,90,95; not '" + relief + "'.");
    settings.relief = {(*levels)[0], (*levels)[1], (*levels)[2]};
    return {};
}

std::string lines_of(const std::vector<Origin>& origins, bool plain) {
    std::ostringstream out;
    for (const Origin& origin : origins) {
        if (plain)
            out << origin.key << '=' << origin.value << '\n';
        else
            out << std::left << std::setw(12) << origin.key << ' ' << std::setw(40) << origin.value << ' ' << origin.source << '\n';
    }
    return out.str();
}
}  // namespace

Result<Asked> read_settings(std::span<char* const> arguments, const Environment& environment) {
    Words words;
    TRY(Asked asked, read_words(arguments, words));
    if (asked.verb == Verb::told) return asked;
    Origin config{"config", words.config, "flag"};
    if (config.value.empty()) {
        const char* const named = environment("VRAMD_CONFIG");
        config = named != nullptr && *named != '\0' ? Origin{"config", named, "VRAMD_CONFIG"} : Origin{"config", "", "default"};
    }
    toml::table file;
    if (!config.value.empty()) {
        TRY(file, read_file(config.value));
        TRY_DO(check_file(file, config.value));
    }
    Settings& settings = asked.settings;
    TRY(settings.preload, preload_of(file, config.value));
    std::vector<std::vector<std::string>> values(words.flags.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        TRY(Origin origin, resolve(settings_table[i], words.flags[i], file, config.value, environment, values[i]));
        settings.origins.push_back(std::move(origin));
    }
    TRY_DO(settle_places(settings, values, environment));
    settings.devices = values[row_device];
    settings.model_folders = values[row_model_dir];
    for (const std::string& folder : settings.model_folders) {
        std::error_code ignored;  // What cannot be looked at cannot be read either.
        if (std::filesystem::is_directory(folder, ignored)) continue;
        settings.absent_model_folders.push_back(folder);
        settings.origins[row_model_dir].source += "; not there: " + folder;
    }
    if (settings.model_folders.empty()) settings.model_folders = {default_model_folder(environment)};
    if (!values[row_token_file].empty()) settings.token_file = values[row_token_file].front();
    if (words.after_failures) settings.read_only = engine::ReadOnly::after_failures;
    if (words.read_only) settings.read_only = engine::ReadOnly::asked;
    TRY_DO(settle_eviction(settings, values));
    if (values[row_device].empty()) settings.origins[row_device].value = "auto";
    if (values[row_model_dir].empty()) settings.origins[row_model_dir].value = settings.model_folders.front();
    settings.origins.push_back(origin_of(settings.preload, file, config.value));
    settings.origins.push_back({"read_only", words.read_only ? "true" : "false", words.read_only ? "flag" : "default"});
    settings.origins.push_back(std::move(config));
    if (asked.verb == Verb::config) asked.text = lines_of(settings.origins, words.plain);
    return asked;
}

Result<std::vector<api::Token>> read_tokens(const std::string& path) {
    struct stat facts {};
    if (stat(path.c_str(), &facts) != 0)
        return refuse(Code::invalid_field, "--token-file", "--token-file names a file that is not there: " + path + ".");
    if ((facts.st_mode & 0077) != 0)
        return refuse(Code::invalid_field, "--token-file", path + " can be read by others; make it mode 0600.");
    std::ifstream stream(path);
    std::vector<api::Token> tokens;
    u64 number = 0;
    for (std::string line; std::getline(stream, line);) {
        ++number;
        if (line.empty() || line.front() == '#') continue;
        std::istringstream words(line);
        api::Token token;
        std::string role;
        std::string more;
        const bool complete = static_cast<bool>(words >> token.secret >> token.owner >> role);
        if (!complete || (words >> more) || (role != "user" && role != "admin"))
            return refuse(Code::invalid_field, "--token-file",
                          path + ":" + std::to_string(number) + ": must be `token owner role`, role user or admin.");
        token.role = role == "admin" ? Role::admin : Role::user;
        tokens.push_back(std::move(token));
    }
    return tokens;
}
}  // namespace vramd::program
