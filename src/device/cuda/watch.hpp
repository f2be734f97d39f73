/// Looks at a GPU every few seconds, and notices when a look does not come to its end.
///
/// Why two threads: a call into a driver that hangs never returns, and whoever made it cannot tell anybody.
#pragma once
#include <condition_variable>
#include <functional>
#include <thread>

#include "base/clock.hpp"
#include "base/mutex.hpp"

namespace vramd::device::cuda {
class Watch {
public:
    struct Times {
        u64 pause_ns = 5 * ns_per_second;      ///< Between two looks.
        u64 patience_ns = 30 * ns_per_second;  ///< For one.
        enum class First : u8 { look, pause } first = First::look;
    };
    /// `look` is called by a thread of its own again and again. When one takes longer than the patience, `silent` is called once, from the
    /// other thread, and no look follows.
    Watch(std::function<void()> look, Times times, std::function<void()> silent);
    /// Waits for the look that is under way.
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

private:
    void look_on();
    void guard();
    const std::function<void()> look_;
    const Times times_;
    const std::function<void()> silent_;
    Mutex mutex_;
    std::condition_variable_any changed_;
    u64 looks_ GUARDED_BY(mutex_) = 0;  ///< Odd: one is under way.
    bool stop_ GUARDED_BY(mutex_) = false;
    std::thread looking_;
    std::thread guarding_;
};
}  // namespace vramd::device::cuda
