/// Ctrl-C while something long runs: noticed, so that the daemon can be asked to cancel, instead of ending the process at once.
#pragma once
#include <csignal>

#include "base/types.hpp"

namespace vramd::cli {
/// While one lives, SIGINT is noted instead of ending the process. One at a time.
class InterruptWatch {
public:
    InterruptWatch();
    ~InterruptWatch();
    InterruptWatch(const InterruptWatch&) = delete;
    InterruptWatch& operator=(const InterruptWatch&) = delete;

    /// It came since the construction.
    [[nodiscard]] bool came() const;
    /// Waits so long, or until it comes.
    void wait(u64 milliseconds) const;

private:
    struct sigaction before_ {};
};
}  // namespace vramd::cli
