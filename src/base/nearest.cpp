#include "base/nearest.hpp"

#include <algorithm>
#include <cstddef>

namespace vramd {
namespace {
/// The changes that lead from one word to the other (optimal string alignment): row by row of the table of all their beginnings, of which
/// the last two rows are looked back at.
std::size_t changes_between(std::string_view from, std::string_view to) {
    std::vector<std::size_t> before_last, last(to.size() + 1), row(to.size() + 1);
    for (std::size_t j = 0; j <= to.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= from.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= to.size(); ++j) {
            const std::size_t another = last[j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
            row[j] = std::min({another, last[j] + 1, row[j - 1] + 1});
            const bool swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
            if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
        }
        before_last = std::move(last);
        last = row;
    }
    return last[to.size()];
}
}  // namespace

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
    std::string nearest;
    std::size_t fewest = ~std::size_t{0};
    for (const std::string& one : known) {
        const std::size_t changes = changes_between(word, one);
        if (changes >= fewest) continue;
        fewest = changes;
        nearest = one;
    }
    return nearest;
}
}  // namespace vramd
