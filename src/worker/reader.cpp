#include "worker/reader.hpp"

#include <algorithm>

#include "base/background.hpp"
#include "base/clock.hpp"
#include "base/invariant.hpp"

namespace vramd::worker {
namespace {
/// Where a part is cut, so that direct reads of what follows begin aligned; more than any disk asks for.
constexpr u64 cut_bytes = direct_alignment_bytes_max;
/// What a disk writes straight into its place; below that it goes through a buffer anyway.
constexpr u64 page_aligned_min_bytes = 512 * kib;

const Fd& file_of(const ModelFiles& files, u32 index) { return index == 0 ? files.main : files.others[index - 1].fd; }
const std::string& name_of(const ModelFiles& files, u32 index) { return index == 0 ? files.main_name : files.others[index - 1].name; }

/// How much of [offset, offset + size) is taken at once where `left`, at least `cut_bytes`, may be.
u64 cut(u64 offset_bytes, u64 size_bytes, u64 left_bytes) {
    const u64 most = std::min(left_bytes, read_step_bytes);
    return size_bytes <= most ? size_bytes : most - (offset_bytes + most) % cut_bytes;
}
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

std::shared_ptr<Reading> Reader::make(SharedFiles files, std::shared_ptr<const ReadPlan> plan, std::function<void()> over) {
    auto reading = std::make_shared<Reading>();
    reading->bytes_.resize(files->others.size() + 1);
    std::vector<std::size_t> lane_of(reading->bytes_.size());
    for (u32 i = 0; i < plan->copies.size(); ++i) {
        const u32 file = plan->copies[i].file;
        if (reading->bytes_[file] == nullptr) {
            reading->bytes_[file] = std::make_unique<FileBytes>(file_of(*files, file), name_of(*files, file));
            lane_of[file] = reading->lanes_.size();
            reading->lanes_.push_back({file});
        }
        reading->lanes_[lane_of[file]].copies.push_back(i);
    }
    reading->files_ = std::move(files);
    reading->plan_ = std::move(plan);
    reading->over_ = std::move(over);
    return reading;
}

void Reader::add(const std::shared_ptr<Reading>& reading) {
    {
        const Lock lock(mutex_);
        ready_.push_back(reading);
    }
    wake_.notify_all();
}

std::shared_ptr<Reading> Reader::begin(SharedFiles files, std::shared_ptr<const ReadPlan> plan, std::span<std::byte> place,
                                       std::function<void()> over) {
    INVARIANT(!plan->copies.empty() && plan->memory_bytes <= place.size());
    auto reading = make(std::move(files), std::move(plan), std::move(over));
    reading->place_ = place;
    add(reading);
    return reading;
}

std::shared_ptr<Reading> Reader::begin(SharedFiles files, std::shared_ptr<const ReadPlan> plan, std::shared_ptr<device::Channel> channel,
                                       std::function<void()> over) {
    INVARIANT(!plan->copies.empty() && plan->memory_bytes <= channel->size_bytes());
    auto reading = make(std::move(files), std::move(plan), std::move(over));
    reading->channel_ = std::move(channel);
    add(reading);
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
    Reading::Lane lane = std::move(reading.lanes_.front());
    reading.lanes_.pop_front();
    for (u64 left = read_turn_bytes; left >= cut_bytes && lane.next_copy < lane.copies.size();) {
        ipc::TableCopy part = reading.plan_->copies[lane.copies[lane.next_copy]];
        part.file_offset_bytes += lane.next_bytes;
        part.memory_offset_bytes += lane.next_bytes;
        const u64 size = cut(part.file_offset_bytes, part.size_bytes - lane.next_bytes, left);
        lane.next_bytes += size;
        if (size == part.size_bytes - (lane.next_bytes - size)) {
            lane.next_copy += 1;
            lane.next_bytes = 0;
        }
        part.size_bytes = size;
        left -= size;
        turn.push_back(part);
    }
    if (lane.next_copy < lane.copies.size()) reading.lanes_.push_back(std::move(lane));
    return turn;
}

Result<void> Reader::bring(Reading& reading, std::span<ipc::TableCopy> parts, ReadingHand& hand) {
    if (reading.channel_ != nullptr) return bring_staged(reading, parts, hand);
    FileBytes& bytes = *reading.bytes_[parts[0].file];
    while (!parts.empty() && !reading.stopped_) {
        const std::span<ipc::TableCopy> here = parts.first(FileBytes::together(parts));
        parts = parts.subspan(here.size());
        u64 landed = 0;
        for (const ipc::TableCopy& part : here) landed += part.size_bytes;
        TRY_DO(bytes.bring(here, reading.place_, hand));
        reading.landed_bytes_.fetch_add(landed, std::memory_order_relaxed);
    }
    return {};
}

/// A turn fits a stage. What follows each other in the file and in the memory lies so in the stage too, and is sent as one; what is large
/// begins there where it begins in a page of the file, so that a disk can write it in place.
Result<void> Reader::bring_staged(Reading& reading, std::span<const ipc::TableCopy> parts, ReadingHand& hand) {
    static_assert(read_turn_bytes + 16 * cut_bytes <= device::stage_bytes_min);
    FileBytes& bytes = *reading.bytes_[parts[0].file];
    TRY(const auto stage, reading.channel_->stage());
    std::vector<ipc::TableCopy> staged(parts.begin(), parts.end());
    u64 at = 0;
    for (std::size_t i = 0; i < staged.size(); ++i) {
        const bool follows = i > 0 && parts[i].memory_offset_bytes == parts[i - 1].memory_offset_bytes + parts[i - 1].size_bytes &&
                             parts[i].file_offset_bytes == parts[i - 1].file_offset_bytes + parts[i - 1].size_bytes;
        if (!follows && staged[i].size_bytes >= page_aligned_min_bytes)
            at = round_up(at, page_bytes) + staged[i].file_offset_bytes % page_bytes;
        staged[i].memory_offset_bytes = at;
        at += staged[i].size_bytes;
    }
    u64 landed = 0;
    for (std::size_t next = 0; next < staged.size() && !reading.stopped_;) {
        const std::size_t count = FileBytes::together(std::span(staged).subspan(next));
        std::vector<ipc::TableCopy> here(staged.begin() + static_cast<std::ptrdiff_t>(next),
                                         staged.begin() + static_cast<std::ptrdiff_t>(next + count));
        TRY_DO(bytes.bring(here, stage->bytes(), hand));
        for (const std::size_t end = next + count; next < end;) {
            const std::size_t first = next++;
            u64 size = parts[first].size_bytes;
            while (next < end && staged[next].memory_offset_bytes == staged[first].memory_offset_bytes + size &&
                   parts[next].memory_offset_bytes == parts[first].memory_offset_bytes + size)
                size += parts[next++].size_bytes;
            TRY_DO(stage->send(staged[first].memory_offset_bytes, size, parts[first].memory_offset_bytes));
            landed += size;
        }
    }
    TRY_DO(stage->wait());
    reading.landed_bytes_.fetch_add(landed, std::memory_order_relaxed);
    return {};
}

bool Reader::ended(Reading& reading) {
    if (reading.busy_ > 0 || (!reading.error_ && !reading.lanes_.empty())) return false;
    for (const auto& bytes : reading.bytes_)
        if (bytes != nullptr) reading.ways_ += bytes->ways();
    reading.bytes_.clear();
    reading.files_.reset();
    reading.place_ = {};
    reading.channel_.reset();
    reading.over_now_.store(true, std::memory_order_release);
    return true;
}

void Reader::run() {
    ReadingHand hand(monotonic_ns());
    std::unique_lock lock(mutex_);
    while (true) {
        if (ready_.empty()) hand.put_down();
        wake_.wait(lock, [this] { return phase_ == Phase::ending || !ready_.empty(); });
        if (ready_.empty()) return;
        const std::shared_ptr<Reading> reading = std::move(ready_.front());
        ready_.pop_front();
        std::vector<ipc::TableCopy> turn = take_turn(*reading);
        reading->busy_ += 1;
        if (!reading->lanes_.empty()) ready_.push_back(reading);  // At the end: readings take turns.
        lock.unlock();
        const Result<void> read = bring(*reading, turn, hand);
        lock.lock();
        reading->busy_ -= 1;
        if (!read) {
            reading->stopped_ = true;
            if (!reading->error_) reading->error_ = read.error();
            std::erase(ready_, reading);
        }
        if (!ended(*reading)) continue;
        lock.unlock();
        reading->over_();
        lock.lock();
    }
}
}  // namespace vramd::worker
