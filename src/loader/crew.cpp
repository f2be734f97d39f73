#include "loader/crew.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>

#include "base/invariant.hpp"
#include "loader/file_source.hpp"

namespace vramd::loader {
namespace {
constexpr int madv_populate_read = 22;  // Linux 5.14; older C libraries do not name it.
constexpr u64 page_bytes = 4096;

/// Maps the pages of a piece at once. Only speed depends on it, so a kernel that refuses is no error.
void map_pages(std::span<std::byte> memory, u64 offset_bytes, u64 size_bytes) {
    const u64 begin = round_down(offset_bytes, page_bytes);
    const u64 end = std::min<u64>(round_up(offset_bytes + size_bytes, page_bytes), memory.size());
    (void)madvise(memory.data() + begin, end - begin, madv_populate_read);
}
}  // namespace

u64 landing_bytes(const formats::Plan& plan) {
    u64 sum = 0;
    for (const formats::Copy& copy : plan.copies) sum += copy.size_bytes;
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

Result<void> Crew::fill(const FillWork& work, const std::function<void(u64)>& progress) {
    INVARIANT(work.memory.size() >= work.plan.memory_bytes);
    pieces_.clear();
    for (u32 i = 0; i < work.plan.copies.size(); ++i)
        for (u64 at = 0; at < work.plan.copies[i].size_bytes; at += piece_bytes)
            pieces_.push_back({at, std::min(piece_bytes, work.plan.copies[i].size_bytes - at), i, nullptr});
    for (const formats::Decode& decode : work.plan.decodes) pieces_.push_back({0, decode.memory_size_bytes, 0, &decode});
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
        const FillWork& work = *work_;
        lock.unlock();
        take_pieces(work);
        lock.lock();
        if (--busy_ == 0) changed_.notify_all();
    }
}

void Crew::take_pieces(const FillWork& work) {
    while (true) {
        const std::size_t mine = next_.fetch_add(1, std::memory_order_relaxed);
        if (mine >= pieces_.size()) return;
        if (auto brought = bring(work, pieces_[mine]); !brought) {
            const Lock lock(mutex_);
            if (!error_) error_ = brought.error();
            next_ = pieces_.size();  // Nobody takes another.
            return;
        }
    }
}

Result<void> Crew::bring(const FillWork& work, const Piece& piece) {
    if (piece.decode != nullptr) {
        const formats::Decode& item = *piece.decode;
        FileSource source(work.files[item.file].fd, work.files[item.file].size_bytes);
        TRY_DO(formats::decode(item, source, work.memory.subspan(item.memory_offset_bytes, item.memory_size_bytes)));
        landed_bytes_.fetch_add(item.memory_size_bytes, std::memory_order_relaxed);
        return {};
    }
    const formats::Copy& copy = work.plan.copies[piece.index];
    FileSource source(work.files[copy.file].fd, work.files[copy.file].size_bytes);
    map_pages(work.memory, copy.memory_offset_bytes + piece.first, piece.size_bytes);
    for (u64 done = 0; done < piece.size_bytes;) {
        const u64 step = std::min(step_bytes, piece.size_bytes - done);
        const u64 within_copy = piece.first + done;
        TRY_DO(source.read(copy.file_offset_bytes + within_copy, work.memory.subspan(copy.memory_offset_bytes + within_copy, step)));
        landed_bytes_.fetch_add(step, std::memory_order_relaxed);
        done += step;
    }
    return {};
}
}  // namespace vramd::loader
