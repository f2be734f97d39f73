#include "program/settings.hpp"

#define TOML_EXCEPTIONS 0
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>

#include "base/percentages.hpp"
#include "device/spec.hpp"
#include "program/command_words.hpp"
#include "program/preload.hpp"
#include "program/settings_table.hpp"

namespace vramd::program {
namespace {
constexpr u64 zombie_grace_seconds_max = 86'400;
constexpr u64 gpu_patience_seconds_max = 3'600;

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
    if (settings.ram_cache != "0")
        if (const auto size = device::parse_size(settings.ram_cache); !size)
            return refuse(Code::invalid_field, "--ram-cache", "--ram-cache: " + size.error().detail + " 0 is no cache.");
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

/// Seconds, from 1 to `max`; 0 for `never`, where that is what nobody says.
Result<u64> seconds_of(Settings& settings, const std::vector<std::vector<std::string>>& values, Row row, const char* otherwise, u64 max) {
    const std::string never = "never";
    const std::string text = value_of(settings, values, row, otherwise);
    if (text == never && otherwise == never) return 0;
    const char* const end = text.data() + text.size();
    u64 seconds = 0;
    const auto [next, failed] = std::from_chars(text.data(), end, seconds);
    if (failed == std::errc{} && next == end && seconds > 0 && seconds <= max) return seconds;
    const std::string flag = settings_table[row].flag;
    return refuse(Code::invalid_field, flag,
                  flag + " must be a whole number of seconds from 1 to " + std::to_string(max) + (otherwise == never ? ", or never" : "") +
                      "; not '" + text + "'.");
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

std::string document_of(const std::vector<Origin>& origins) {
    boost::json::array items;
    for (const Origin& origin : origins) items.push_back({{"setting", origin.key}, {"value", origin.value}, {"source", origin.source}});
    return boost::json::serialize(boost::json::object{{"items", std::move(items)}}) + "\n";
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
    if (auto specs = device::parse_specs(settings.devices); !specs) {
        specs.error().field = "--device";
        return std::unexpected(std::move(specs).error());
    }
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
    TRY(settings.zombie_grace_seconds, seconds_of(settings, values, row_zombie_grace, "never", zombie_grace_seconds_max));
    TRY(settings.gpu_patience_seconds, seconds_of(settings, values, row_gpu_patience, "30", gpu_patience_seconds_max));
    if (values[row_device].empty()) settings.origins[row_device].value = "auto";
    if (values[row_model_dir].empty()) settings.origins[row_model_dir].value = settings.model_folders.front();
    settings.origins.push_back(origin_of(settings.preload, file, config.value));
    settings.origins.push_back({"read_only", words.read_only ? "true" : "false", words.read_only ? "flag" : "default"});
    settings.origins.push_back(std::move(config));
    if (asked.verb == Verb::config) asked.text = words.json ? document_of(settings.origins) : lines_of(settings.origins, words.plain);
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
