#include "device/host/pool.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/invariant.hpp"

namespace vramd::device::host {
namespace {
constexpr std::chrono::milliseconds look_every{100};  // Pressure triggers need a privilege, so MemAvailable is looked at, at 10 Hz.
constexpr std::chrono::seconds no_spares_for{1};
constexpr u64 spare_size_bytes_max = 256 * mib;
constexpr u64 spare_waste_factor_max = 4;  // A block smaller than a spare by more is made fresh: cutting wastes more than it saves.
constexpr u64 entries_max = 1024;          // Each is a descriptor and a mapping.
}  // namespace

Pool::Pool(Limits limits, Available available, std::shared_ptr<const Predecessor> predecessor)
    : limits_(limits),
      spare_size_bytes_(std::min(limits.spare_bytes, spare_size_bytes_max)),
      available_(std::move(available)),
      predecessor_(std::move(predecessor)),
      thread_([this] { work(); }) {}

Pool::~Pool() {
    {
        const Lock lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
}

std::optional<std::deque<Pool::Entry>::iterator> Pool::find(u64 size_bytes) {
    std::optional<std::deque<Entry>::iterator> dirty;
    // Newest first: what was freed last is likeliest still in a cache, and the oldest are the ones to be dropped.
    for (auto entry = entries_.end(); entry != entries_.begin();) {
        --entry;
        if (entry->memory.size_bytes() != size_bytes) continue;
        if (entry->state == Entry::State::clean) return entry;
        if (!dirty) dirty = entry;
    }
    return dirty;
}

std::optional<Memory> Pool::take(u64 size_bytes) {
    Entry entry;
    {
        std::unique_lock lock(mutex_);
        auto found = find(size_bytes);
        // One of this size is being zeroed: that ends sooner than fresh memory would be there.
        while (!found && in_hand_bytes_ == size_bytes) {
            changed_.wait(lock);
            found = find(size_bytes);
        }
        if (!found) return std::nullopt;
        entry = std::move(**found);
        entries_.erase(*found);
        entry_bytes_ -= size_bytes;
    }
    if (entry.state == Entry::State::dirty && !entry.memory.zero(worker_threads())) return std::nullopt;
    return std::move(entry.memory);
}

std::optional<Memory> Pool::take_spare(u64 size_bytes) {
    std::optional<Memory> spare;
    {
        const Lock lock(mutex_);
        if (spares_.empty() || size_bytes < spare_size_bytes_ / spare_waste_factor_max) return std::nullopt;
        spare = std::move(spares_.front());
        spares_.pop_front();
        spare_bytes_ -= spare->size_bytes();
        idle_ = false;
    }
    wake_.notify_all();
    return spare;
}

void Pool::give(Memory memory) {
    INVARIANT(memory && !memory.is_read_only());
    if (predecessor_ && !predecessor_->gone()) return discard(std::move(memory));
    {
        const Lock lock(mutex_);
        const u64 size = memory.size_bytes();
        if (size > limits_.max_bytes) {
            discarded_.push_back(std::move(memory));
        } else {
            while (!entries_.empty() && (entry_bytes_ + size > limits_.max_bytes || entries_.size() >= entries_max)) drop_oldest();
            if (entry_bytes_ + size > limits_.max_bytes) {  // The one in hand takes the room.
                discarded_.push_back(std::move(memory));
            } else {
                entry_bytes_ += size;
                entries_.push_back({std::move(memory), Entry::State::dirty});
            }
        }
        idle_ = false;
    }
    wake_.notify_all();
}

void Pool::discard(Memory memory) {
    {
        const Lock lock(mutex_);
        discarded_.push_back(std::move(memory));
        idle_ = false;
    }
    wake_.notify_all();
}

u64 Pool::give_way(u64 bytes) {
    std::deque<Memory> going;
    u64 freed = 0;
    const auto let_go = [&](Memory& memory) {
        freed += memory.size_bytes();
        going.push_back(std::move(memory));
    };
    {
        std::unique_lock lock(mutex_);
        for (Memory& memory : discarded_) let_go(memory);
        discarded_.clear();
        if (const u64 going_already = discarding_bytes_; going_already != 0) {
            const u64 before = discards_;
            while (discards_ == before) changed_.wait(lock);
            freed += going_already;
        }
        while (freed < bytes) {
            if (!entries_.empty()) {
                entry_bytes_ -= entries_.front().memory.size_bytes();
                let_go(entries_.front().memory);
                entries_.pop_front();
            } else if (in_hand_bytes_ != 0) {
                changed_.wait(lock);  // It is an entry again in a moment.
            } else if (!spares_.empty()) {
                spare_bytes_ -= spares_.front().size_bytes();
                let_go(spares_.front());
                spares_.pop_front();
            } else {
                break;
            }
        }
    }
    return freed;  // `going` is unmapped here, off the lock.
}

u64 Pool::give_back(u64 bytes) {
    {
        const Lock lock(mutex_);
        wanted_until_ = std::chrono::steady_clock::now() + no_spares_for;
    }
    return give_way(bytes);
}

u64 Pool::returning_bytes() const {
    const Lock lock(mutex_);
    u64 sum = discarding_bytes_;
    for (const Memory& memory : discarded_) sum += memory.size_bytes();
    return sum;
}

u64 Pool::bytes() const {
    const Lock lock(mutex_);
    return entry_bytes_ + spare_bytes_;
}

void Pool::settle() {
    std::unique_lock lock(mutex_);
    while (!idle_) changed_.wait(lock);
}

void Pool::drop_oldest() {
    entry_bytes_ -= entries_.front().memory.size_bytes();
    discarded_.push_back(std::move(entries_.front().memory));
    entries_.pop_front();
}

bool Pool::discard_one(std::unique_lock<Mutex>& lock) {
    if (discarded_.empty()) return false;
    Memory memory = std::move(discarded_.front());
    discarded_.pop_front();
    discarding_bytes_ = memory.size_bytes();
    lock.unlock();
    memory.reset();
    lock.lock();
    discarding_bytes_ = 0;
    ++discards_;
    changed_.notify_all();
    return true;
}

bool Pool::zero_one(std::unique_lock<Mutex>& lock) {
    const auto dirty = std::ranges::find(entries_, Entry::State::dirty, &Entry::state);
    if (dirty == entries_.end()) return false;
    Memory memory = std::move(dirty->memory);
    entries_.erase(dirty);
    in_hand_bytes_ = memory.size_bytes();
    lock.unlock();
    const bool zeroed = memory.zero(1).has_value();  // One thread: the others serve requests.
    lock.lock();
    if (zeroed) {
        entries_.push_back({std::move(memory), Entry::State::clean});
    } else {
        entry_bytes_ -= in_hand_bytes_;
        discarded_.push_back(std::move(memory));
    }
    in_hand_bytes_ = 0;
    changed_.notify_all();
    return true;
}

bool Pool::spare_one(std::unique_lock<Mutex>& lock) {
    if (low_ || spare_size_bytes_ == 0 || spare_bytes_ + spare_size_bytes_ > limits_.spare_bytes) return false;
    if (std::chrono::steady_clock::now() < wanted_until_) return false;
    lock.unlock();
    std::optional<Memory> spare;
    const auto available = available_();
    if (!available || *available >= limits_.keep_available_bytes + 2 * spare_size_bytes_) {
        auto made = Memory::make(spare_size_bytes_, 0);
        if (made && made->touch(0, [](u64) {})) spare = *std::move(made);
    }
    lock.lock();
    low_ = !spare;
    if (!spare) return false;
    spare_bytes_ += spare_size_bytes_;
    spares_.push_back(*std::move(spare));
    return true;
}

void Pool::shrink_if_low(std::unique_lock<Mutex>& lock) {
    lock.unlock();
    const auto available = available_();
    const bool low = available && *available < limits_.keep_available_bytes;
    if (low) give_way(limits_.keep_available_bytes - *available);
    lock.lock();
    low_ = low;
}

void Pool::work() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        if (discard_one(lock) || zero_one(lock) || spare_one(lock)) continue;
        idle_ = true;
        changed_.notify_all();
        const bool holds = entry_bytes_ + spare_bytes_ > 0 || low_ || std::chrono::steady_clock::now() < wanted_until_;
        if (!holds) {
            wake_.wait(lock);
            continue;
        }
        if (wake_.wait_for(lock, look_every) == std::cv_status::timeout && !stop_) shrink_if_low(lock);
    }
}
}  // namespace vramd::device::host
