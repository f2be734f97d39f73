#include "device/cuda/watch.hpp"

#include <chrono>
#include <utility>

namespace vramd::device::cuda {
Watch::Watch(std::function<void()> look, Times times, std::function<void()> silent)
    : look_(std::move(look)), times_(times), silent_(std::move(silent)), looking_([this] { look_on(); }), guarding_([this] { guard(); }) {}

Watch::~Watch() {
    {
        const Lock lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    looking_.join();
    guarding_.join();
}

void Watch::look_on() {
    std::unique_lock lock(mutex_);
    const auto pause = [&] { (void)changed_.wait_for(lock, std::chrono::nanoseconds(times_.pause_ns), [this] { return stop_; }); };
    if (times_.first == Times::First::pause) pause();
    while (!stop_) {
        ++looks_;
        changed_.notify_all();
        lock.unlock();
        look_();
        lock.lock();
        ++looks_;
        changed_.notify_all();
        pause();
    }
}

void Watch::guard() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        const u64 seen = looks_;
        const auto moved = [&] { return stop_ || looks_ != seen; };
        if (seen % 2 == 0) {
            changed_.wait(lock, moved);
        } else if (!changed_.wait_for(lock, std::chrono::nanoseconds(times_.patience_ns), moved)) {
            lock.unlock();
            silent_();
            return;
        }
    }
}
}  // namespace vramd::device::cuda
