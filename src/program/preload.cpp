#include "program/preload.hpp"

#include <array>
#include <functional>

#include "base/nearest.hpp"

namespace vramd::program {
namespace {
/// One key of a table: takes its value, or says what it may be.
struct Key {
    const char* name;
    std::string (*take)(const toml::node& node, LoadRequest& request);  ///< Empty: taken.
};

std::string text_to(const toml::node& node, std::string& into) {
    const auto text = node.value_exact<std::string>();
    if (!text || text->empty()) return "a text that is not empty";
    into = *text;
    return {};
}
template <class Enum>
std::string word_to(const toml::node& node, Enum& into) {
    const auto text = node.value_exact<std::string>();
    const auto word = text ? enum_named<Enum>(*text) : std::nullopt;
    if (word) {
        into = *word;
        return {};
    }
    std::string words;
    for (const std::string_view name : EnumNames<Enum>::names) words += (words.empty() ? "one of " : ", ") + std::string(name);
    return words;
}
std::string truth_to(const toml::node& node, bool& into) {
    const auto truth = node.value_exact<bool>();
    if (!truth) return "true or false";
    into = *truth;
    return {};
}

constexpr std::array<Key, 6> keys = {{
    {"name", [](const toml::node& node, LoadRequest& request) { return text_to(node, request.name); }},
    {"path", [](const toml::node& node, LoadRequest& request) { return text_to(node, request.path); }},
    {"device", [](const toml::node& node, LoadRequest& request) { return text_to(node, request.device_id); }},
    {"type", [](const toml::node& node, LoadRequest& request) { return word_to(node, request.type); }},
    {"pinned", [](const toml::node& node, LoadRequest& request) { return truth_to(node, request.pinned); }},
    {"tier", [](const toml::node& node, LoadRequest& request) { return word_to(node, request.tier); }},
}};

std::string place_of(const toml::node& node, const std::string& path) { return path + ":" + std::to_string(node.source().begin.line); }

Result<LoadRequest> request_of(const toml::table& table, const std::string& path) {
    LoadRequest request;
    for (const auto& [key, node] : table) {
        const auto* known = std::ranges::find_if(keys, [&key](const Key& row) { return key.str() == row.name; });
        if (known == keys.end()) {
            std::vector<std::string> names;
            for (const Key& row : keys) names.emplace_back(row.name);
            return refuse(Code::invalid_field, preload_key,
                          place_of(node, path) + ": [[preload]] has no key " + std::string(key.str()) + "; the nearest is " +
                              nearest_word(key.str(), names) + ".");
        }
        if (const std::string must = known->take(node, request); !must.empty())
            return refuse(Code::invalid_field, preload_key,
                          place_of(node, path) + ": " + known->name + " of [[preload]] must be " + must + ".");
    }
    if (request.name.empty() || request.path.empty())
        return refuse(Code::invalid_field, preload_key, place_of(table, path) + ": [[preload]] needs a name and a path.");
    if (request.name.size() > model_name_bytes_max)
        return refuse(Code::invalid_field, preload_key,
                      place_of(table, path) + ": name of [[preload]] has " + std::to_string(request.name.size()) + " bytes; the most is " +
                          std::to_string(model_name_bytes_max) + ".");
    if (request.tier == ModelTier::ram && (request.pinned || !request.device_id.empty()))
        return refuse(Code::invalid_field, preload_key,
                      place_of(table, path) + ": [[preload]] into the tier ram, which is the cache, takes neither device nor pinned.");
    return request;
}
}  // namespace

Result<std::vector<LoadRequest>> preload_of(const toml::table& file, const std::string& path) {
    std::vector<LoadRequest> list;
    const toml::node* const node = file.get(preload_key);
    if (node == nullptr) return list;
    const toml::array* const tables = node->as_array();
    if (tables == nullptr)
        return refuse(Code::invalid_field, preload_key, place_of(*node, path) + ": preload is a list of tables: [[preload]].");
    for (const toml::node& item : *tables) {
        const toml::table* const table = item.as_table();
        if (table == nullptr)
            return refuse(Code::invalid_field, preload_key, place_of(item, path) + ": preload is a list of tables: [[preload]].");
        TRY(LoadRequest request, request_of(*table, path));
        for (const LoadRequest& other : list)
            if (other.name == request.name)
                return refuse(Code::invalid_field, preload_key, place_of(item, path) + ": the name " + request.name + " comes twice.");
        list.push_back(std::move(request));
    }
    return list;
}

Origin origin_of(const std::vector<LoadRequest>& preload, const toml::table& file, const std::string& path) {
    Origin origin{std::string(preload_key), "", "default"};
    for (const LoadRequest& request : preload) origin.value += (origin.value.empty() ? "" : " ") + request.name;
    if (const toml::node* const node = file.get(preload_key)) origin.source = "file " + place_of(*node, path);
    return origin;
}
}  // namespace vramd::program
