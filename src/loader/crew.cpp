#include "loader/crew.hpp"

#include <algorithm>
#include <chrono>

#include "base/invariant.hpp"
#include "loader/file_source.hpp"

namespace vramd::loader {
u64 decoded_bytes(const formats::Plan& plan) {
    u64 sum = 0;
    for (const formats::Decode& decode : plan.decodes) sum += decode.memory_size_bytes;
    return sum;
}

Crew::Crew(u32 threads) {
    INVARIANT(threads >= 1 && threads <= 16);
    for (u32 i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
    // A thread's first steps (rseq, robust list) are calls that the confinement will not allow.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ready_ == threads; });
}

Crew::~Crew() {
    {
        const Lock lock(mutex_);
        phase_ = Phase::ending;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

Result<void> Crew::decode(const DecodeWork& work, const std::function<void(u64)>& progress) {
    next_ = 0;
    landed_bytes_ = 0;
    std::unique_lock lock(mutex_);
    error_.reset();
    work_ = &work;
    busy_ = static_cast<u32>(threads_.size());
    ++round_;
    changed_.notify_all();
    while (!changed_.wait_for(lock, std::chrono::milliseconds(progress_every_ms), [this] { return busy_ == 0; })) {
        lock.unlock();
        progress(landed_bytes_.load(std::memory_order_relaxed));
        lock.lock();
    }
    work_ = nullptr;
    if (error_) return std::unexpected(*error_);
    lock.unlock();
    progress(landed_bytes_.load(std::memory_order_relaxed));
    return {};
}

void Crew::run() {
    u64 seen_round = 0;
    std::unique_lock lock(mutex_);
    ++ready_;
    changed_.notify_all();
    while (true) {
        changed_.wait(lock, [&] { return phase_ == Phase::ending || round_ != seen_round; });
        if (phase_ == Phase::ending) return;
        seen_round = round_;
        const DecodeWork& work = *work_;
        lock.unlock();
        take_items(work);
        lock.lock();
        if (--busy_ == 0) changed_.notify_all();
    }
}

void Crew::take_items(const DecodeWork& work) {
    while (true) {
        const std::size_t mine = next_.fetch_add(1, std::memory_order_relaxed);
        if (mine >= work.decodes.size()) return;
        if (auto brought = bring(work, work.decodes[mine]); !brought) {
            const Lock lock(mutex_);
            if (!error_) error_ = brought.error();
            next_ = work.decodes.size();  // Nobody takes another.
            return;
        }
    }
}

Result<void> Crew::bring(const DecodeWork& work, const formats::Decode& item) {
    FileSource source(work.files[item.file].fd, work.files[item.file].size_bytes);
    TRY_DO(formats::decode(item, source, work.memory.subspan(item.memory_offset_bytes, item.memory_size_bytes)));
    landed_bytes_.fetch_add(item.memory_size_bytes, std::memory_order_relaxed);
    return {};
}
}  // namespace vramd::loader
