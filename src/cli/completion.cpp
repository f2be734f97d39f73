#include "cli/completion.hpp"

#include <cstdio>
#include <sstream>

#include "cli/document.hpp"
#include "cli/session.hpp"
#include "cli/verb.hpp"

namespace vramd::cli {
namespace {
constexpr u64 wait_ms_max = 40;  // A key press later than that feels stuck.

struct Global {
    std::string_view name;
    std::string_view words;  ///< Of its value.
    Takes takes = Takes::value;
};
constexpr Global globals[] = {{"--url", ""},
                              {"--socket", ""},
                              {"-o", "table wide json jsonl csv name"},
                              {"--output", "table wide json jsonl csv name"},
                              {"--bytes", "", Takes::flag},
                              {"--color", "auto always never"},
                              {"--curl", "", Takes::flag},
                              {"--watch", "", Takes::flag}};

void add_words(std::vector<std::string>& out, std::string_view list) {
    std::istringstream words{std::string(list)};
    for (std::string word; words >> word;) out.push_back(word);
}

/// One field of each item of a list that the daemon tells; nothing when it does not tell in time.
void add_live(std::vector<std::string>& out, std::string target, std::string_view items, std::string_view field) {
    Session session(Wishes{});
    const auto reply = session.ask({.target = std::move(target), .wait_ms_max = wait_ms_max});
    if (!reply) return;
    const auto parsed = parse_document(reply->body);
    if (!parsed) return;
    for (const json::value& item : items_of(*parsed, items))
        if (item.is_object()) out.push_back(text_at(item.get_object(), field));
}

void add_offers(std::vector<std::string>& out, const Argument& argument) {
    switch (argument.offers) {
        case Offers::nothing:
        case Offers::files:
            break;  // The shell's own file completion.
        case Offers::devices:
            add_live(out, "/api/devices", "items", "deviceId");
            break;
        case Offers::allocations:
            add_live(out, "/api/memory/allocations?limit=1000", "items", "id");
            break;
        case Offers::models:
            add_live(out, "/api/model/status", "loadedModels", "name");
            break;
        case Offers::model_files:
            add_live(out, "/api/model/available?limit=1000", "items", "path");
            break;
        case Offers::codes:
            for (const CodeFacts& row : code_table) out.emplace_back(row.name);
            break;
        case Offers::words:
            add_words(out, argument.words);
            break;
    }
}

/// The argument that a word stands for: the value of the flag before it, or the next positional.
const Argument* argument_at(const Verb& verb, const std::vector<std::string>& words) {
    const auto value_of = [&](std::string_view word) -> const Argument* {
        for (const Argument& argument : verb.arguments)
            if (argument.takes == Takes::value && word == "--" + std::string(argument.name)) return &argument;
        return nullptr;
    };
    std::size_t positionals = 0;
    for (std::size_t i = 1; i + 1 < words.size(); ++i) {
        const Argument* const flag = value_of(words[i]);
        if (flag != nullptr && i + 2 == words.size()) return flag;
        if (flag != nullptr)
            ++i;
        else if (!words[i].starts_with('-'))
            ++positionals;
    }
    for (const Argument& argument : verb.arguments) {
        if (argument.takes == Takes::value || argument.takes == Takes::flag) continue;
        if (argument.takes == Takes::many || positionals == 0) return &argument;
        --positionals;
    }
    return nullptr;
}
}  // namespace

std::vector<std::string> completions(const std::vector<std::string>& words) {
    std::vector<std::string> all;
    const std::string current = words.empty() ? std::string() : words.back();
    const std::string before = words.size() < 2 ? std::string() : words[words.size() - 2];
    const Verb* const verb = words.size() < 2 ? nullptr : verb_named(words[0]);
    for (const Global& global : globals)
        if (global.name == before && global.takes == Takes::value) add_words(all, global.words);
    if (!all.empty()) {
        std::erase_if(all, [&](const std::string& word) { return !word.starts_with(current); });
        return all;
    }
    if (verb == nullptr && words.size() < 2)
        for (const Verb* row : verbs()) all.emplace_back(row->name);
    if (current.starts_with('-')) {
        for (const Global& global : globals) all.emplace_back(global.name);
        if (verb != nullptr)
            for (const Argument& argument : verb->arguments)
                if (argument.takes == Takes::value || argument.takes == Takes::flag) all.push_back("--" + std::string(argument.name));
    } else if (verb != nullptr) {
        if (const Argument* argument = argument_at(*verb, words)) add_offers(all, *argument);
    }
    std::erase_if(all, [&](const std::string& word) { return !word.starts_with(current); });
    return all;
}

void complete(const std::vector<std::string>& words) {
    for (const std::string& word : completions(words)) std::printf("%s\n", word.c_str());
}
}  // namespace vramd::cli
