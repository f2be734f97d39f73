/// Cutting a list's items out of an answer's text, so that -o jsonl passes them on unchanged: parsing and writing again would turn 12.50
/// into 1.25E1.
#include "cli/show.hpp"

namespace vramd::cli {
namespace {
/// The position behind the value that begins at `at`. The text is valid JSON.
std::size_t behind_value(std::string_view text, std::size_t at) {
    std::size_t depth = 0;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '"') {
            for (++at; at < text.size() && text[at] != '"'; ++at)
                if (text[at] == '\\') ++at;
        } else if (c == '{' || c == '[') {
            ++depth;
        } else if (c == '}' || c == ']') {
            if (depth == 0) return at;  // The end of what holds a bare value.
            if (--depth == 0) return at + 1;
        } else if (depth == 0 && (c == ',' || c == ':')) {
            return at;
        }
    }
    return at;
}

std::size_t skip_space(std::string_view text, std::size_t at) {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t')) ++at;
    return at;
}
}  // namespace

std::vector<std::string_view> raw_items(std::string_view text, std::string_view field) {
    std::vector<std::string_view> items;
    std::size_t at = skip_space(text, text.find('{') + 1);
    while (at < text.size() && text[at] == '"') {
        const std::size_t name_end = behind_value(text, at);
        const std::string_view name = text.substr(at + 1, text.find('"', at + 1) - at - 1);
        at = skip_space(text, name_end + 1);
        if (name == field && at < text.size() && text[at] == '[') {
            for (at = skip_space(text, at + 1); at < text.size() && text[at] != ']';) {
                const std::size_t end = behind_value(text, at);
                std::string_view item = text.substr(at, end - at);
                item.remove_suffix(item.size() - (item.find_last_not_of(" \n\r\t") + 1));
                items.push_back(item);
                at = skip_space(text, end);
                if (at < text.size() && text[at] == ',') at = skip_space(text, at + 1);
            }
            return items;
        }
        at = skip_space(text, behind_value(text, at));
        if (at < text.size() && text[at] == ',') at = skip_space(text, at + 1);
    }
    return items;
}
}  // namespace vramd::cli
