/// The switch of the planted bugs: planted.py puts each bug beside the right code, and VRAMD_PLANTED=N lets the Nth speak instead of it.
/// Only a tree that planted.py has changed includes this.
#pragma once
#include <cstdlib>

namespace vramd {
inline bool planted(int bug) {
    static const int which = [] {
        const char* const text = std::getenv("VRAMD_PLANTED");
        return text == nullptr ? 0 : std::atoi(text);
    }();
    return which == bug;
}
}  // namespace vramd
