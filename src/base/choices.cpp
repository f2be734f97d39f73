#include "base/choices.hpp"

#include <algorithm>

namespace vramd {
namespace {
std::vector<u64> without(const std::vector<u64>& list, std::size_t from, std::size_t count) {
    std::vector<u64> shorter(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(from));
    shorter.insert(shorter.end(), list.begin() + static_cast<std::ptrdiff_t>(std::min(list.size(), from + count)), list.end());
    return shorter;
}
}  // namespace

std::vector<u64> shrink(std::vector<u64> failing, const std::function<bool(const std::vector<u64>&)>& fails, u64 attempts_max) {
    u64 attempts = 0;
    const auto still_fails = [&](const std::vector<u64>& list) { return attempts++ < attempts_max && fails(list); };
    for (std::size_t run = std::max<std::size_t>(failing.size() / 2, 1); run > 0; run /= 2)
        for (std::size_t from = 0; from < failing.size() && attempts < attempts_max;) {
            std::vector<u64> shorter = without(failing, from, run);
            if (still_fails(shorter))
                failing = std::move(shorter);
            else
                from += run;
        }
    for (std::size_t i = 0; i < failing.size() && attempts < attempts_max; ++i)
        while (failing[i] > 0) {
            std::vector<u64> lower = failing;
            lower[i] /= 2;
            if (!still_fails(lower)) break;
            failing = std::move(lower);
        }
    return failing;
}
}  // namespace vramd
