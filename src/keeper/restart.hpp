/// When a core that died is started again, and how: a pure function of its deaths. Room-internal.
///
/// A core that served and was killed from outside (SIGKILL: a person, the kernel's out-of-memory killer) starts again at once, however
/// often. One that died by its own fault (an invariant's abort, a fault, an exit) waits longer each time, until it has lived 10 s; the
/// third such death within 10 s starts it read-only, which stays so until somebody asks for a fresh start: SIGHUP, or an upgrade.
#pragma once
#include <array>

#include "base/clock.hpp"
#include "base/types.hpp"

namespace vramd::keeper {
enum class Cause : u8 { killed, own_fault };
struct Death {
    Cause cause{};
    bool served = false;  ///< It had said `ready`.
    u64 lived_ns = 0;
    u64 now_ns = 0;
};

class RestartPolicy {
public:
    /// Answers how long to wait before the next start.
    [[nodiscard]] u64 after(const Death& death) {
        if (death.cause == Cause::own_fault) {
            // The third-last death's time is the oldest of three.
            if (faults_ >= 2 && death.now_ns - fault_ns_[faults_ % 2] <= window_ns) read_only_ = true;
            fault_ns_[faults_++ % 2] = death.now_ns;
        }
        if (death.cause == Cause::killed && death.served) return 0;
        if (death.lived_ns >= window_ns) step_ = 0;
        const u64 delay_ns = delays_ns[step_];
        if (step_ + 1 < delays_ns.size()) ++step_;
        return delay_ns;
    }
    [[nodiscard]] bool read_only() const { return read_only_; }

    static constexpr u64 window_ns = 10 * ns_per_second;
    static constexpr std::array<u64, 5> delays_ns{0, 50 * ns_per_ms, 200 * ns_per_ms, ns_per_second, 5 * ns_per_second};

private:
    std::size_t step_ = 0;
    std::array<u64, 2> fault_ns_{};  ///< Of the last two faults, by turns.
    u64 faults_ = 0;
    bool read_only_ = false;
};
}  // namespace vramd::keeper
