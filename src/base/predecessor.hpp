/// A process that this one takes over from and that is still ending.
#pragma once
#include "base/fd.hpp"
#include "base/types.hpp"

namespace vramd {
/// Nothing of it runs any more, but until the kernel has taken it down, which can take a tenth of a second with a GPU, copies that a device
/// makes for it may still land, and its children may still write to memory that it lent them. So memory that it had is not used for
/// anything else before. Immutable; thread-safe.
class Predecessor {
public:
    /// There is none.
    Predecessor() = default;
    /// Its pidfd.
    explicit Predecessor(Fd ended) : ended_(std::move(ended)) {}

    /// Whether nothing of it reaches memory any more.
    [[nodiscard]] bool gone() const { return await(0); }
    /// Waits for that; false when it is still there after `ms_max` milliseconds.
    [[nodiscard]] bool await(u64 ms_max) const;

private:
    Fd ended_;
};
}  // namespace vramd
