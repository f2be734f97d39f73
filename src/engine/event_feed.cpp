#include "engine/event_feed.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace vramd::engine {
namespace {
/// A walk that nobody went on with for so long is let go: it may hold a whole state's worth of names.
constexpr u64 walk_idle_ns_max = 10 * ns_per_second;
/// A search for an allocation's life goes back in steps of so many events, for at most so long.
constexpr u64 search_step_events = 65'536;
constexpr u64 search_ns_max = 5 * ns_per_second;
constexpr std::size_t searches_waiting_max = 64;

/// The id as events hold it: serial, then secret.
std::array<std::byte, 16> pattern_of(AllocationId id) {
    std::array<std::byte, 16> bytes;
    std::memcpy(bytes.data(), &id.serial, sizeof id.serial);
    std::memcpy(bytes.data() + sizeof id.serial, &id.secret, sizeof id.secret);
    return bytes;
}

bool holds(std::span<const std::byte> event, const std::array<std::byte, 16>& pattern) {
    return memmem(event.data(), event.size(), pattern.data(), pattern.size()) != nullptr;
}
}  // namespace

// ------------------------------------------------------------------------------------------------------------------------ the present
void EventFeed::begin(const ledger::Ledger& ledger) {
    ledger_ = &ledger;
    const Lock lock(ring_lock_);
    last_ = ledger.sequence();
    counts_ = {};
}

bool EventFeed::add(u64 sequence, u64 wall_ns, std::vector<std::byte> bytes, report::Attribution whose) {
    const Lock lock(ring_lock_);
    if (!ring_.empty() && sequence != ring_.back().sequence + 1) {  // After damage numbers are skipped.
        ring_.clear();
        ring_bytes_ = 0;
    }
    if (!bytes.empty() && static_cast<std::size_t>(bytes[0]) < counts_.size()) ++counts_[static_cast<std::size_t>(bytes[0])];
    ring_bytes_ += bytes.size();
    ring_.push_back({sequence, wall_ns, std::move(bytes), std::move(whose)});
    last_ = std::max(last_, sequence);
    while (ring_.size() > ring_events_max || (ring_bytes_ > ring_bytes_max && ring_.size() > 1)) {
        ring_bytes_ -= ring_.front().bytes.size();
        ring_.pop_front();
    }
    return std::exchange(armed_, false);
}

void EventFeed::wake() {
    const Lock lock(listener_lock_);
    if (listener_) listener_();
}

u64 EventFeed::last() const {
    const Lock lock(ring_lock_);
    return last_;
}

std::vector<u64> EventFeed::counts() const {
    const Lock lock(ring_lock_);
    return {counts_.begin(), counts_.end()};
}

u64 EventFeed::oldest() const { return ledger_->oldest_sequence(); }

void EventFeed::listen(std::function<void()> told) {
    const Lock lock(listener_lock_);
    listener_ = std::move(told);
}

bool EventFeed::arm(u64 seen) {
    const Lock lock(ring_lock_);
    if (last_ > seen) return false;
    armed_ = true;
    return true;
}

Result<std::vector<EventTold>> EventFeed::read(u64 from, u64 max) {
    std::vector<Kept> kept;
    u64 to = 0;
    {
        const Lock lock(ring_lock_);
        if (from > last_ || max == 0) return std::vector<EventTold>();
        to = std::min(last_, from + (max - 1));
        if (!ring_.empty() && from >= ring_.front().sequence) {
            const auto first = ring_.begin() + static_cast<std::ptrdiff_t>(from - ring_.front().sequence);
            kept.assign(first, first + static_cast<std::ptrdiff_t>(to - from + 1));
        } else if (!ring_.empty()) {
            to = std::min(to, ring_.front().sequence - 1);
        }
    }
    if (kept.empty()) return read_past(from, to);
    std::vector<EventTold> events;
    events.reserve(kept.size());
    for (Kept& one : kept) {
        TRY(Event event, decode_event(one.bytes));
        events.push_back({one.sequence, one.wall_ns, std::move(event), std::move(one.whose)});
    }
    return events;
}

// --------------------------------------------------------------------------------------------------------------------------- the past
/// Sets a walk up whose next event is `from`, or lies before it.
Result<void> EventFeed::begin_walk(u64 from) {
    walk_ = std::make_unique<Walk>();
    walk_->applied_to = ledger_->oldest_sequence() - 1;
    TRY(const auto snapshot, ledger_->snapshot_before(from - 1));
    if (!snapshot || snapshot->sequence < walk_->applied_to) return {};
    // A snapshot of an older program may not be readable: then whose the events are is not known, and only admins see them.
    if (auto state = core::restore(snapshot->state)) walk_->roll = report::Roll(*state);
    walk_->applied_to = snapshot->sequence;
    return {};
}

Result<std::vector<EventTold>> EventFeed::read_past(u64 from, u64 to) {
    const Lock lock(past_lock_);
    const u64 now = monotonic_ns();
    const u64 oldest = ledger_->oldest_sequence();
    if (from < oldest)
        return std::unexpected(
            Error{Code::history_gone, "from", from, oldest,
                  "Event " + std::to_string(from) + " is no longer kept; the oldest is " + std::to_string(oldest) + "."});
    if (walk_ && now - past_used_ns_ > walk_idle_ns_max) walk_.reset();
    past_used_ns_ = now;
    const bool follows = walk_ && walk_->applied_to < from && from - walk_->applied_to <= search_step_events;
    if (!follows) TRY_DO(begin_walk(from));
    std::vector<EventTold> events;
    const auto visited = ledger_->read(walk_->applied_to + 1, to, [&](const ledger::Batch& batch) -> Result<ledger::Visit> {
        // Another life of the memory: nothing of the one before is there any more.
        if (batch.life_first_sequence > walk_->applied_to) walk_->roll = report::Roll();
        u64 sequence = batch.first_sequence;
        for (const std::span<const std::byte> bytes : batch.events) {
            const u64 own = sequence++;
            if (own <= walk_->applied_to || own > to) continue;
            walk_->applied_to = own;
            auto event = decode_event(bytes);
            if (!event) continue;  // Of an older program that wrote it otherwise: a gap, told as what is no longer kept.
            report::Attribution whose = walk_->roll.take(*event);
            if (own >= from) events.push_back({own, batch.wall_ns, *std::move(event), std::move(whose)});
        }
        return ledger::Visit::more;
    });
    if (!visited || events.empty() || events.front().sequence != from) walk_.reset();
    TRY_DO(visited);
    // Trimmed in this very moment, or damaged: numbers that were never delivered must not be passed over in silence.
    if (events.empty() || events.front().sequence != from)
        return std::unexpected(Error{Code::history_gone, "from", from,
                                     std::max(ledger_->oldest_sequence(), events.empty() ? to + 1 : events.front().sequence),
                                     "Event " + std::to_string(from) + " is no longer kept, or cannot be read any more."});
    for (std::size_t i = 1; i < events.size(); ++i)
        if (events[i].sequence != events[i - 1].sequence + 1) {
            events.resize(i);  // The next call meets the gap at its start and says so.
            break;
        }
    return events;
}

// ------------------------------------------------------------------------------------------------------------------ one allocation's life
/// Looks back from the end until the allocation's beginning is found.
Result<AllocationHistory> EventFeed::search(AllocationId id, u64 max) {
    const u64 deadline = monotonic_ns() + search_ns_max;
    const auto pattern = pattern_of(id);
    const u64 oldest = ledger_->oldest_sequence();
    AllocationHistory history;
    std::deque<EventTold> found;
    bool begun = false;
    u64 to = last();
    while (to >= oldest && to > 0 && !begun && monotonic_ns() < deadline) {
        const u64 from = std::max(oldest, to > search_step_events ? to - search_step_events + 1 : 1);
        std::vector<EventTold> step;
        TRY_DO(ledger_->read(from, to, [&](const ledger::Batch& batch) -> Result<ledger::Visit> {
            u64 sequence = batch.first_sequence;
            for (const std::span<const std::byte> bytes : batch.events) {
                const u64 own = sequence++;
                if (own < from || own > to || !holds(bytes, pattern)) continue;
                auto event = decode_event(bytes);
                if (!event) {
                    ++history.omitted;
                    continue;
                }
                const auto* reserved = std::get_if<AllocationReserved>(&*event);
                begun = begun || (reserved != nullptr && reserved->id == id);
                step.push_back({own, batch.wall_ns, *std::move(event), {}});
            }
            return ledger::Visit::more;
        }));
        found.insert(found.begin(), std::make_move_iterator(step.begin()), std::make_move_iterator(step.end()));
        while (found.size() > std::max<u64>(max, 2)) {  // The newest stay; the first is found at the very end.
            found.erase(found.begin() + (begun ? 1 : 0));
            ++history.omitted;
        }
        to = from - 1;
    }
    history.complete = begun;
    history.events.assign(std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
    return history;
}

void EventFeed::history_of(const Caller& caller, AllocationId id, u64 max, std::move_only_function<void(Result<AllocationHistory>)> done) {
    if (!needs_.may_see(caller, id))
        return done(refuse(Code::not_found, "allocation", "There is no allocation " + to_text(id) + ", or it is not yours."));
    {
        const Lock lock(search_lock_);
        if (searches_.size() < searches_waiting_max) {
            searches_.push_back([this, id, max, done = std::move(done)]() mutable { done(search(id, max)); });
            if (std::exchange(searching_, true)) return;
        }
    }
    // Still here: there was no room for it in the queue.
    if (done)
        return done(
            refuse(Code::busy, "includeHistory",
                   std::to_string(searches_waiting_max) + " histories are being looked up already, which is as many as may be at once."));
    needs_.post([this] { search_next(); });
}

/// One search, then the next as work of its own: the executor has other things to do too.
void EventFeed::search_next() {
    std::move_only_function<void()> work;
    {
        const Lock lock(search_lock_);
        work = std::move(searches_.front());
        searches_.pop_front();
    }
    work();
    {
        const Lock lock(search_lock_);
        if (searches_.empty()) {
            searching_ = false;
            return;
        }
    }
    needs_.post([this] { search_next(); });
}
}  // namespace vramd::engine
