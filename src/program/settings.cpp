#include "program/settings.hpp"

#define TOML_EXCEPTIONS 0
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <sstream>

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
constexpr Setting settings_table[] = {
    {"device", "--device", "VRAMD_DEVICE", ' ', "a device: host[:NAME][=SIZE], auto; repeat it for several (SIZE: 512MiB, 4GiB, 80%)"},
    {"model_dir", "--model-dir", "VRAMD_MODEL_DIR", ':', "a folder that models may be loaded from; repeat it for several"},
    {"token_file", "--token-file", "VRAMD_TOKEN_FILE", 0, "lines `token owner role` for requests with a bearer token"},
};
/// Keys that the keeper needs before any file is read; they stay with flags and variables.
constexpr std::string_view keepers[] = {"listen", "socket", "state_dir"};

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

Result<void> check_keys(const toml::table& file, const std::string& path) {
    for (const auto& [key, node] : file) {
        const std::string_view name = key.str();
        const std::string where = path + ":" + std::to_string(node.source().begin.line);
        if (std::ranges::find(keepers, name) != std::end(keepers))
            return refuse(Code::invalid_field, name,
                          where + ": " + std::string(name) + " is needed before this file is read; give it as a flag or in VRAMD_….");
        const bool known = std::ranges::any_of(settings_table, [name](const Setting& setting) { return setting.key == name; });
        if (!known) return refuse(Code::invalid_field, name, where + ": there is no setting " + std::string(name) + ".");
    }
    return {};
}

std::string default_model_folder(const Environment& environment) {
    if (geteuid() == 0) return "/var/lib/vramd/models";
    const auto value = [&](const char* name, const std::string& otherwise) {
        const char* found = environment(name);
        return found == nullptr || *found == '\0' ? otherwise : std::string(found);
    };
    return value("XDG_DATA_HOME", value("HOME", "/") + "/.local/share") + "/vramd/models";
}

/// One setting's value by the order of the sources.
Result<Origin> resolve(const Setting& setting, const std::vector<std::string>& flags, const toml::table& file, const std::string& path,
                       const Environment& environment, std::vector<std::string>& values) {
    if (!flags.empty()) {
        values = flags;
        return Origin{setting.key, joined(values), "flag"};
    }
    if (const toml::node* node = file.get(setting.key)) {
        const std::string where = path + ":" + std::to_string(node->source().begin.line);
        TRY(values, texts_of(*node, where + ": " + setting.key));
        return Origin{setting.key, joined(values), "file " + where};
    }
    if (const char* text = environment(setting.variable); text != nullptr && *text != '\0') {
        values = split(text, setting.separator);
        return Origin{setting.key, joined(values), setting.variable};
    }
    return Origin{setting.key, "", "default"};
}
}  // namespace

Result<Asked> read_settings(std::span<char* const> arguments, const Environment& environment) {
    CLI::App app{"vramd owns a machine's memory for models, gives it out by handle and keeps models in it", "vramd"};
    app.set_version_flag("--version", std::string("vramd ") + VRAMD_VERSION);
    std::string config;
    std::vector<std::vector<std::string>> flags(std::size(settings_table));
    std::string listen;
    std::string socket;
    std::string state;
    Asked asked;
    CLI::App* serve = app.add_subcommand("serve", "serve until SIGTERM");
    CLI::App* print = app.add_subcommand("config", "print every setting and where it came from");
    for (CLI::App* verb : {serve, print}) {
        verb->add_option("--config", config, "a TOML file with the keys device, model_dir, token_file");
        verb->add_option("--listen", listen, "ADDRESS:PORT for HTTP, or none (VRAMD_LISTEN; 127.0.0.1:7070)");
        verb->add_option("--socket", socket, "path of the attach socket; HTTP is served on vramd-http.sock beside it (VRAMD_SOCKET)");
        verb->add_option("--state-dir", state, "folder of the ledger (VRAMD_STATE_DIR)");
        for (std::size_t i = 0; i < flags.size(); ++i)
            verb->add_option(settings_table[i].flag, flags[i], settings_table[i].help)->allow_extra_args(false);
    }
    serve->add_flag("--read-only", asked.settings.read_only, "answer, but change nothing");
    app.require_subcommand(1);
    std::ostringstream out;
    std::ostringstream problem;
    try {
        app.parse(static_cast<int>(arguments.size()), arguments.data());
    } catch (const CLI::ParseError& error) {
        if (app.exit(error, out, problem) == 0) {
            asked.verb = Verb::told;
            asked.text = out.str();
            return asked;
        }
        return refuse(Code::invalid_field, "arguments", problem.str());
    }
    if (config.empty())
        if (const char* named = environment("VRAMD_CONFIG"); named != nullptr) config = named;
    toml::table file;
    if (!config.empty()) {
        TRY(file, read_file(config));
        TRY_DO(check_keys(file, config));
    }
    std::vector<std::vector<std::string>> values(flags.size());
    for (std::size_t i = 0; i < flags.size(); ++i) {
        TRY(Origin origin, resolve(settings_table[i], flags[i], file, config, environment, values[i]));
        asked.settings.origins.push_back(std::move(origin));
    }
    asked.settings.devices = values[0];
    asked.settings.model_folders = values[1];
    if (values[1].empty()) asked.settings.model_folders = {default_model_folder(environment)};
    if (!values[2].empty()) asked.settings.token_file = values[2].front();
    if (values[0].empty()) asked.settings.origins[0].value = "auto";
    if (values[1].empty()) asked.settings.origins[1].value = asked.settings.model_folders.front();
    asked.verb = serve->parsed() ? Verb::serve : Verb::config;
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
