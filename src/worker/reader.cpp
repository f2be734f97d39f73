#include "worker/reader.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/background.hpp"
#include "base/invariant.hpp"

namespace vramd::worker {
namespace {
Result<void> read_all(const Fd& file, u64 offset_bytes, std::span<std::byte> into) {
    while (!into.empty()) {
        const ssize_t got = pread(file.get(), into.data(), into.size(), static_cast<off_t>(offset_bytes));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return std::unexpected(system_error("pread", errno));
        if (got == 0) return refuse(Code::invalid_model, "file", "The file became shorter while it was being read.");
        offset_bytes += static_cast<u64>(got);
        into = into.subspan(static_cast<std::size_t>(got));
    }
    return {};
}

const Fd& file_of(const ModelFiles& files, u32 index) { return index == 0 ? files.main : files.others[index - 1].fd; }
}  // namespace

Reader::Reader(u32 threads) {
    INVARIANT(threads >= 1);
    for (u32 i = 0; i < threads; ++i)
        threads_.emplace_back([this] {
            run_in_background();
            run();
        });
}

Reader::~Reader() {
    {
        const Lock lock(mutex_);
        INVARIANT(ready_.empty());
        phase_ = Phase::ending;
    }
    wake_.notify_all();
}

std::shared_ptr<Reading> Reader::begin(SharedFiles files, std::shared_ptr<const ReadPlan> plan, std::span<std::byte> place,
                                       std::function<void()> over) {
    INVARIANT(!plan->copies.empty() && plan->memory_bytes <= place.size());
    auto reading = std::make_shared<Reading>();
    reading->files_ = std::move(files);
    reading->plan_ = std::move(plan);
    reading->place_ = place;
    reading->over_ = std::move(over);
    {
        const Lock lock(mutex_);
        ready_.push_back(reading);
    }
    wake_.notify_all();
    return reading;
}

void Reader::stop(const std::shared_ptr<Reading>& reading, Error error) {
    {
        const Lock lock(mutex_);
        if (reading->files_ == nullptr) return;  // Over.
        if (!reading->error_) reading->error_ = std::move(error);
        reading->stopped_ = true;  // Not before: whoever sees it leaves bytes unread.
        std::erase(ready_, reading);
        if (!ended(*reading)) return;
    }
    reading->over_();
}

std::vector<ipc::TableCopy> Reader::take_turn(Reading& reading) {
    std::vector<ipc::TableCopy> turn;
    for (u64 left = read_turn_bytes; left > 0 && has_more(reading);) {
        ipc::TableCopy part = reading.plan_->copies[reading.next_copy_];
        const u64 size = std::min(left, part.size_bytes - reading.next_bytes_);
        part.file_offset_bytes += reading.next_bytes_;
        part.memory_offset_bytes += reading.next_bytes_;
        reading.next_bytes_ += size;
        if (reading.next_bytes_ == part.size_bytes) {
            reading.next_copy_ += 1;
            reading.next_bytes_ = 0;
        }
        part.size_bytes = size;
        left -= size;
        turn.push_back(part);
    }
    return turn;
}

bool Reader::ended(Reading& reading) {
    if (reading.busy_ > 0 || (!reading.error_ && has_more(reading))) return false;
    reading.files_.reset();
    reading.place_ = {};
    reading.over_now_.store(true, std::memory_order_release);
    return true;
}

void Reader::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [this] { return phase_ == Phase::ending || !ready_.empty(); });
        if (ready_.empty()) return;
        const std::shared_ptr<Reading> reading = std::move(ready_.front());
        ready_.pop_front();
        const std::vector<ipc::TableCopy> turn = take_turn(*reading);
        reading->busy_ += 1;
        if (has_more(*reading)) ready_.push_back(reading);  // At the end: readings take turns.
        lock.unlock();
        Result<void> read;
        for (const ipc::TableCopy& part : turn)
            for (u64 done = 0; read && done < part.size_bytes && !reading->stopped_;) {
                const u64 step = std::min(read_step_bytes, part.size_bytes - done);
                read = read_all(file_of(*reading->files_, part.file), part.file_offset_bytes + done,
                                reading->place_.subspan(part.memory_offset_bytes + done, step));
                reading->landed_bytes_.fetch_add(step, std::memory_order_relaxed);
                done += step;
            }
        lock.lock();
        reading->busy_ -= 1;
        if (!read) {
            reading->stopped_ = true;
            if (!reading->error_) reading->error_ = std::move(read).error();
            std::erase(ready_, reading);
        }
        if (!ended(*reading)) continue;
        lock.unlock();
        reading->over_();
        lock.lock();
    }
}
}  // namespace vramd::worker
