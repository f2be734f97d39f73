/// What a verb of vramctl is: its words as data, and one function that runs it.
///
/// The command line, --help, completion and the man page are made from these descriptions, so a new verb is one file with one `Verb` and
/// one row in verbs.cpp.
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/failure.hpp"

namespace vramd::cli {
class Session;

enum class Takes : u8 {
    required,  ///< A positional word.
    optional,  ///< A positional word that may be left out; follows the required ones.
    many,      ///< One or more positional words; the last argument.
    value,     ///< --name VALUE
    flag,      ///< --name
};
/// What completion offers for a word.
enum class Offers : u8 { nothing, devices, allocations, models, model_files, files, codes, words };

struct Argument {
    std::string_view name;  ///< Without dashes.
    Takes takes = Takes::value;
    std::string_view tells;
    Offers offers = Offers::nothing;
    std::string_view words = {};   ///< For `Offers::words`: "a b c"; anything else is refused.
    std::string_view letter = {};  ///< Of a value or flag: "-f" says the same.
};

/// The words that were given, by argument.
class Given {
public:
    void add(std::string_view argument, std::string word) { words_[std::string(argument)].push_back(std::move(word)); }
    [[nodiscard]] bool has(std::string_view argument) const { return words_.contains(std::string(argument)); }
    /// The one word; empty if it was not given.
    [[nodiscard]] std::string text(std::string_view argument) const;
    [[nodiscard]] const std::vector<std::string>& all(std::string_view argument) const;
    /// The word as a size. Errors: usage, naming the argument.
    [[nodiscard]] Told<u64> size(std::string_view argument) const;
    /// The word as a whole number. Errors: usage, naming the argument.
    [[nodiscard]] Told<u64> number(std::string_view argument) const;

private:
    std::map<std::string, std::vector<std::string>> words_;
};

enum class Repeats : u8 { no, yes };
enum class Shows : u8 {
    answers,     ///< In each of the forms that -o names.
    what_it_is,  ///< Bytes or a script, which have one form: -o json is how a failure is told, and a form of answers is refused.
};

struct Verb {
    std::string_view name;
    std::string_view summary;
    std::string_view call;  ///< The REST call that it is; empty: none.
    std::span<const Argument> arguments;
    Told<void> (*run)(Session& session, const Given& given) = nullptr;
    Repeats watchable = Repeats::no;  ///< --watch may repeat it.
    std::string_view example = {};
    Shows shows = Shows::answers;
};

/// All of them, in the order of --help. Constant.
[[nodiscard]] std::span<const Verb* const> verbs();
[[nodiscard]] const Verb* verb_named(std::string_view name);
}  // namespace vramd::cli
