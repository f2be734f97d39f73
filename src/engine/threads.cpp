#include "engine/threads.hpp"

#include <condition_variable>
#include <deque>
#include <map>
#include <thread>
#include <vector>

#include "base/mutex.hpp"

namespace vramd::engine {
struct Threads::State {
    Mutex lock;
    std::condition_variable_any changed;
    std::deque<std::move_only_function<void()>> due GUARDED_BY(lock);
    std::multimap<u64, std::move_only_function<void()>> later GUARDED_BY(lock);
    bool stopping GUARDED_BY(lock) = false;
    std::vector<std::thread> threads;

    void run();
    void gather(u64 now) REQUIRES(lock);
};

/// Moves what has come due to the queue.
void Threads::State::gather(u64 now) {
    while (!later.empty() && later.begin()->first <= now) {
        due.push_back(std::move(later.begin()->second));
        later.erase(later.begin());
    }
}

void Threads::State::run() {
    std::unique_lock held(lock);
    for (;;) {
        const u64 now = monotonic_ns();
        gather(now);
        if (!due.empty()) {
            auto work = std::move(due.front());
            due.pop_front();
            if (!due.empty()) changed.notify_one();
            held.unlock();
            work();
            work = {};  // What it owns ends outside the lock.
            held.lock();
            continue;
        }
        if (stopping) return;
        if (later.empty()) {
            changed.wait(held);
            continue;
        }
        // A deadline far away is looked at again in between: wait_for converts to a duration that must not overflow.
        const u64 wait_ns = std::min<u64>(later.begin()->first - now, 60 * ns_per_second);
        changed.wait_for(held, std::chrono::nanoseconds(wait_ns));
    }
}

Threads::Threads(u32 count) : state_(std::make_unique<State>()) {
    for (u32 i = 0; i < count; ++i) state_->threads.emplace_back([state = state_.get()] { state->run(); });
}

Threads::~Threads() { stop(); }

void Threads::stop() {
    {
        const Lock lock(state_->lock);
        state_->stopping = true;
        state_->later.clear();
    }
    state_->changed.notify_all();
    for (std::thread& thread : state_->threads)
        if (thread.joinable()) thread.join();
}

void Threads::post(std::move_only_function<void()> work) {
    {
        const Lock lock(state_->lock);
        if (state_->stopping) return;
        state_->due.push_back(std::move(work));
    }
    state_->changed.notify_one();
}

void Threads::post_at(u64 deadline_ns, std::move_only_function<void()> work) {
    {
        const Lock lock(state_->lock);
        if (state_->stopping) return;
        state_->later.emplace(deadline_ns, std::move(work));
    }
    state_->changed.notify_one();
}
}  // namespace vramd::engine
