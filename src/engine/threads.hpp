/// The real executor: a few threads for work that may block (making blocks, the keeper's answers), and one clock-watcher.
#pragma once
#include <memory>

#include "engine/ports.hpp"

namespace vramd::engine {
/// Work runs in the order it was posted, on any of the threads. Thread-safe. Destruction runs what is due and drops the rest.
class Threads final : public Executor {
public:
    explicit Threads(u32 count);
    ~Threads() override;
    void post(std::move_only_function<void()> work) override;
    /// `deadline_ns` on CLOCK_BOOTTIME.
    void post_at(u64 deadline_ns, std::move_only_function<void()> work) override;
    /// Ends the threads after the work that is due now; later posts are dropped. Idempotent.
    void stop();

private:
    struct State;
    std::unique_ptr<State> state_;
};
}  // namespace vramd::engine
