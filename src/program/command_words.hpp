/// The command line of `vramd`, word by word: what was said, before what it means is looked at.
#pragma once
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "program/settings.hpp"
#include "program/settings_table.hpp"

namespace vramd::program {
/// The words of the command line.
struct Words {
    std::string config;
    std::vector<std::vector<std::string>> flags{std::size(settings_table)};
    bool read_only = false;
    bool after_failures = false;
    bool plain = false;
    bool json = false;
};

/// Which verb, and with `Verb::told` what to print. `vramd __describe` prints the command line itself and the settings, as JSON: the
/// manual is made from that. Errors: `invalid_field`, naming the word that is not known and the nearest that is.
[[nodiscard]] Result<Asked> read_words(std::span<char* const> arguments, Words& words);
}  // namespace vramd::program
