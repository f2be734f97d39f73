/// Why memory could not be had, in figures, and what would make the same request succeed.
///
/// A suggestion is one sentence; where it is a call, the call stands behind the last ": " as `METHOD path [body]`. Each works by itself on
/// the state as it is: what can be tried on it is tried (`decide` is pure), the rest is computed so that it is never promised in vain.
#pragma once
#include <string>
#include <vector>

#include "core/state.hpp"

namespace vramd::report {
struct Figures {
    u64 available_bytes = 0;               ///< What the owner could have in all without evicting.
    u64 largest_free_bytes = 0;            ///< And in one piece.
    std::vector<std::string> suggestions;  ///< The least drastic first.
};
/// Of a request that was refused for want of memory, on the device it names, else on the one with most room. The command's `frozen`,
/// `in_use` and `closed` are as they were for the refusal.
[[nodiscard]] Figures shortfall(const core::State& state, const AllocateCommand& command, Moment now);
}  // namespace vramd::report
