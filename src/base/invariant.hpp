/// Properties that only a bug of ours can break. Checked in every build; never used on input or on a driver's answer.
///
/// A broken invariant aborts the process: the keeper restarts the core with all memory kept, which is better than going on
/// with books that lie.
#pragma once
#include "base/types.hpp"

namespace vramd {
/// Prints `file:line: condition` to stderr with plain write(2) and aborts. Async-signal-safe.
[[noreturn]] void invariant_broken(const char* condition, const char* file, int line) noexcept;
}  // namespace vramd

/// O(1) and always on.
#define INVARIANT(condition)                                                       \
    do {                                                                           \
        if (!(condition)) [[unlikely]]                                             \
            ::vramd::invariant_broken(#condition, __FILE__, __LINE__);             \
    } while (false)
