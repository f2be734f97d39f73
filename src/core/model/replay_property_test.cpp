// Replays of odd traces: watched step by step by a bookkeeper of the test's own, against a ns_per_second simulation that walks through
// every tick, and beside the exact optimum on small ones.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <deque>

#include "base/choices.hpp"
#include "base/clock.hpp"
#include "core/model/replay.hpp"

using namespace vramd;
using namespace vramd::model;

namespace {
constexpr EvictionOrder every_order[] = {EvictionOrder::fifo, EvictionOrder::lru, EvictionOrder::smart};
constexpr Watermarks full_marks{100'00, 100'00};

enum class Uses : u8 { end_at_once, last };
ReplayTrace odd_trace(Choices& choices, u64 models_max, u64 requests_max, u64 size_max, Uses uses) {
    ReplayTrace trace;
    const u64 models = 1 + choices.below(models_max);
    for (u64 i = 0; i < models; ++i)
        trace.models.push_back({1 + choices.below(size_max), uses == Uses::last ? choices.below(6) * ns_per_second : 0});
    u64 now = 0;
    for (u64 i = choices.below(requests_max + 1); i > 0; --i) {
        now += uses == Uses::last ? choices.below(4) * ns_per_second : ns_per_second;
        const u64 use = uses == Uses::last && !choices.one_in(3) ? choices.below(9) * ns_per_second : 0;
        const Keeps keeps = uses == Uses::last && choices.one_in(25) ? Keeps::pinned : Keeps::while_used;
        trace.requests.push_back({now, use, static_cast<u32>(choices.below(models)), keeps});
    }
    return trace;
}

/// Follows the steps with books of its own.
class Bookkeeper {
public:
    Bookkeeper(const ReplayTrace& trace, const ReplayRules& rules) : trace_(trace), rules_(rules), held_(trace.models.size()) {}

    void see(const ReplayStep& step) {
        using Kind = ReplayStep::Kind;
        const u64 size = trace_.models[step.model].size_bytes;
        if (step.kind == Kind::load) {
            REQUIRE(!held_[step.model]);
            held_[step.model] = true;
            used_ += size;
            for (const u64 victim : victims_) {  // Each one was needed: with it there, there would not be enough room.
                REQUIRE(used_ + victim > rules_.capacity_bytes * rules_.marks.low / 100'00);
                REQUIRE(used_ + victim_bytes() > rules_.capacity_bytes * rules_.marks.high / 100'00);
            }
            victims_.clear();
        } else if (step.kind == Kind::evict) {
            REQUIRE(held_[step.model]);
            held_[step.model] = false;
            used_ -= size;
            victims_.push_back(size);
        } else {
            REQUIRE(victims_.empty());  // Room is made for a load and nothing else.
        }
        REQUIRE((step.kind != Kind::hit || held_[step.model]));
        REQUIRE(step.used_bytes == used_);
        REQUIRE(used_ <= rules_.capacity_bytes);
    }

private:
    [[nodiscard]] u64 victim_bytes() const {
        u64 sum = 0;
        for (const u64 bytes : victims_) sum += bytes;
        return sum;
    }
    const ReplayTrace& trace_;
    const ReplayRules& rules_;
    std::vector<bool> held_;
    std::vector<u64> victims_;
    u64 used_ = 0;
};

/// The same rules once more, the plain way: ns_per_second by ns_per_second, every list searched, every choice tried. It knows nothing of
/// `plan_eviction`.
class Walk {
public:
    Walk(const ReplayTrace& trace, const ReplayRules& rules, EvictionOrder order)
        : trace_(trace), rules_(rules), order_(order), cells_(trace.models.size()) {}

    ReplayResult run() {
        std::size_t next = 0;
        for (u64 t = 0; t < 4000; ++t) {
            now_ = t * ns_per_second;
            settle();
            for (; next < trace_.requests.size() && trace_.requests[next].at_ns == now_; ++next) {
                arrive(next);
                settle();
            }
        }
        REQUIRE(next == trace_.requests.size());
        told_.requests = next;
        std::ranges::sort(waits_);
        if (!waits_.empty()) {
            told_.waited_p50_ns = waits_[(waits_.size() * 50 + 99) / 100 - 1];
            told_.waited_p99_ns = waits_[(waits_.size() * 99 + 99) / 100 - 1];
        }
        return told_;
    }

private:
    struct Cell {
        bool there = false, loading = false, pinned = false;
        u64 loaded_at = 0, touched_at = 0, number = 0;
        std::vector<std::size_t> requests;
    };
    struct Due {
        u64 at;
        u32 model;
        bool load;
    };
    u64 used() const {
        u64 sum = 0;
        for (std::size_t i = 0; i < cells_.size(); ++i)
            if (cells_[i].there) sum += trace_.models[i].size_bytes;
        return sum;
    }
    bool busy(u32 model) const {
        return cells_[model].loading || std::ranges::any_of(dues_, [&](const Due& due) { return due.model == model; });
    }
    void settle() {
        for (bool again = true; again;) {
            again = false;
            std::size_t first = dues_.size();
            for (std::size_t i = 0; i < dues_.size(); ++i)
                if (dues_[i].at <= now_ && (first == dues_.size() || dues_[i].at < dues_[first].at)) first = i;
            if (first == dues_.size()) return;
            const Due due = dues_[first];
            dues_.erase(dues_.begin() + static_cast<std::ptrdiff_t>(first));
            Cell& cell = cells_[due.model];
            cell.touched_at = now_;
            if (due.load) {
                cell.loading = false;
                cell.loaded_at = now_;
                told_.hits += cell.requests.size() - 1;
                told_.joined += cell.requests.size() - 1;
                for (const std::size_t request : cell.requests) use(request);
                cell.requests.clear();
            }
            serve();
            again = true;
        }
    }
    void use(std::size_t request) {
        const ReplayRequest& facts = trace_.requests[request];
        Cell& cell = cells_[facts.model];
        cell.touched_at = now_;
        if (facts.keeps == Keeps::pinned) cell.pinned = true;
        if (facts.use_ns > 0) dues_.push_back({now_ + facts.use_ns, facts.model, false});
        waits_.push_back(now_ - facts.at_ns);
        told_.waited_ns += now_ - facts.at_ns;
    }
    void arrive(std::size_t request) {
        const u32 model = trace_.requests[request].model;
        Cell& cell = cells_[model];
        if (trace_.models[model].size_bytes > rules_.capacity_bytes) {
            told_.refused += 1;
        } else if (cell.there && !cell.loading) {
            told_.hits += 1;
            use(request);
        } else {
            cell.requests.push_back(request);
            if (cell.requests.size() > 1) return;
            queue_.push_back(model);
            serve();
            told_.delayed += !queue_.empty() && queue_.back() == model;
        }
    }
    void serve() {
        for (; !queue_.empty(); queue_.pop_front()) {
            const u32 model = queue_.front();
            Cell& cell = cells_[model];
            const u64 size = trace_.models[model].size_bytes;
            if (!drop_for(size)) {
                if (!dues_.empty()) return;
                told_.refused += cell.requests.size();
                cell.requests.clear();
                continue;
            }
            cell.there = cell.loading = true;
            cell.number = ++numbers_;
            told_.loads += 1;
            told_.loaded_bytes += size;
            told_.peak_bytes = std::max(told_.peak_bytes, used());
            dues_.push_back({now_ + trace_.models[model].load_ns, model, true});
        }
    }
    long double missed(u32 model) const {  // Exact here: all figures are small.
        const Cell& cell = cells_[model];
        const u64 load = std::max<u64>(trace_.models[model].load_ns, 1);
        return static_cast<long double>(load) /
               static_cast<long double>((now_ - cell.touched_at + ns_per_second) * trace_.models[model].size_bytes);
    }
    bool turn_before(u32 a, u32 b) const {
        const Cell &one = cells_[a], &two = cells_[b];
        if (order_ == EvictionOrder::fifo && one.loaded_at != two.loaded_at) return one.loaded_at < two.loaded_at;
        if (order_ == EvictionOrder::lru && one.touched_at != two.touched_at) return one.touched_at < two.touched_at;
        if (order_ == EvictionOrder::smart && missed(a) != missed(b)) return missed(a) < missed(b);
        return one.number < two.number;
    }
    bool drop_for(u64 size) {
        const u64 capacity = rules_.capacity_bytes;
        u64 allowed = capacity;  // What may be used afterwards.
        if ((used() + size) * 100'00 > capacity * rules_.marks.high) allowed = std::min(allowed, capacity * rules_.marks.low / 100'00);
        std::vector<u32> idle, gone;
        u64 all = 0, freed = 0;
        for (u32 i = 0; i < cells_.size(); ++i)
            if (cells_[i].there && !cells_[i].pinned && !busy(i)) idle.push_back(i), all += trace_.models[i].size_bytes;
        if (used() + size > capacity + all) return false;
        std::ranges::sort(idle, [this](u32 a, u32 b) { return turn_before(a, b); });
        for (const u32 model : idle)
            if (used() + size > allowed + freed) gone.push_back(model), freed += trace_.models[model].size_bytes;
        for (auto model = gone.rbegin(); model != gone.rend(); ++model)
            if (used() + size <= allowed + freed - trace_.models[*model].size_bytes) {
                freed -= trace_.models[*model].size_bytes;
                *model = UINT32_MAX;
            }
        for (const u32 model : gone)
            if (model != UINT32_MAX) {
                cells_[model].there = cells_[model].pinned = false;
                told_.evictions += 1;
                told_.evicted_bytes += trace_.models[model].size_bytes;
            }
        return true;
    }

    const ReplayTrace& trace_;
    const ReplayRules rules_;
    const EvictionOrder order_;
    std::vector<Cell> cells_;
    std::deque<u32> queue_;
    std::vector<Due> dues_;
    std::vector<u64> waits_;
    u64 now_ = 0, numbers_ = 0;
    ReplayResult told_;
};

/// The most hits and the fewest bytes that any schedule has, by trying every set that could be kept after every request.
struct Optimum {
    u64 hits = 0;
    u64 loaded_bytes = UINT64_MAX;
};
Optimum optimum_of(const ReplayTrace& trace, u64 capacity) {
    const std::size_t sets = std::size_t{1} << trace.models.size();
    const auto bytes_of = [&](std::size_t set) {
        u64 sum = 0;
        for (std::size_t i = 0; i < trace.models.size(); ++i)
            if (set >> i & 1) sum += trace.models[i].size_bytes;
        return sum;
    };
    std::vector<i64> hits(sets, -1), bytes(sets, -1);
    hits[0] = bytes[0] = 0;
    for (const ReplayRequest& request : trace.requests) {
        const std::size_t wanted = std::size_t{1} << request.model;
        const u64 size = trace.models[request.model].size_bytes;
        if (size > capacity) continue;
        std::vector<i64> hits_then(sets, -1), bytes_then(sets, -1);
        for (std::size_t set = 0; set < sets; ++set) {
            if (hits[set] < 0) continue;
            const std::size_t with = set | wanted;
            const bool hit = with == set;
            for (std::size_t kept = with;; kept = (kept - 1) & with) {
                if ((kept & wanted) != 0 && bytes_of(kept) <= capacity) {
                    hits_then[kept] = std::max(hits_then[kept], hits[set] + (hit ? 1 : 0));
                    const i64 loaded = bytes[set] + (hit ? 0 : static_cast<i64>(size));
                    if (bytes_then[kept] < 0 || loaded < bytes_then[kept]) bytes_then[kept] = loaded;
                }
                if (kept == 0) break;
            }
        }
        hits = std::move(hits_then);
        bytes = std::move(bytes_then);
    }
    Optimum best;
    for (std::size_t set = 0; set < sets; ++set) {
        if (hits[set] < 0) continue;
        best.hits = std::max(best.hits, static_cast<u64>(hits[set]));
        best.loaded_bytes = std::min(best.loaded_bytes, static_cast<u64>(bytes[set]));
    }
    return best;
}
}  // namespace

TEST_CASE("whatever is requested, the memory is never exceeded, no eviction is needless, and each request ends once") {
    Choices choices = Choices::from_seed(81);
    for (int round = 0; round < 1500; ++round) {
        const ReplayTrace trace = odd_trace(choices, 9, 120, 12, Uses::last);
        const ReplayRules rules{5 + choices.below(40), choices.one_in(2) ? Watermarks{} : full_marks};
        for (const EvictionOrder order : every_order) {
            Bookkeeper books(trace, rules);
            const ReplayResult told = replay(trace, rules, order, [&](const ReplayStep& step) { books.see(step); });
            REQUIRE(told.hits + told.loads + told.refused == trace.requests.size());
            REQUIRE(told == replay(trace, rules, order));  // Watching changes nothing.
        }
        const ReplayRules exact{rules.capacity_bytes, full_marks};
        Bookkeeper books(trace, exact);
        (void)replay_hindsight(trace, rules.capacity_bytes, [&](const ReplayStep& step) { books.see(step); });
    }
}

TEST_CASE("a ns_per_second simulation that walks through every ns_per_second comes to the same figures") {
    Choices choices = Choices::from_seed(82);
    for (int round = 0; round < 300; ++round) {
        const ReplayTrace trace = odd_trace(choices, 7, 40, 9, Uses::last);
        const ReplayRules rules{4 + choices.below(30), choices.one_in(2) ? Watermarks{} : full_marks};
        for (const EvictionOrder order : every_order) REQUIRE((replay(trace, rules, order) == Walk(trace, rules, order).run()));
    }
}

TEST_CASE("no order beats the exact optimum, hindsight reaches it where sizes are equal, and the bound is never below it") {
    Choices choices = Choices::from_seed(83);
    u64 reached = 0;
    for (int round = 0; round < 400; ++round) {
        const u64 size_max = choices.one_in(2) ? 1 : 6;
        const ReplayTrace trace = odd_trace(choices, 5, 24, size_max, Uses::end_at_once);
        const u64 capacity = 1 + choices.below(size_max * 4);
        const Optimum optimum = optimum_of(trace, capacity);
        const ReplayBound bound = replay_bound(trace, capacity);
        REQUIRE(bound.hits_max >= optimum.hits);
        REQUIRE(bound.loaded_bytes_min <= optimum.loaded_bytes);
        for (const EvictionOrder order : every_order) {
            const ReplayResult told = replay(trace, {capacity, full_marks}, order);
            REQUIRE(told.hits <= optimum.hits);
            REQUIRE(told.loaded_bytes >= optimum.loaded_bytes);
        }
        const ReplayResult hindsight = replay_hindsight(trace, capacity);
        REQUIRE(hindsight.hits <= optimum.hits);
        if (size_max == 1) REQUIRE(hindsight.hits == optimum.hits);
        reached += hindsight.hits == optimum.hits;
    }
    CHECK(reached > 300);  // With different sizes it is good, not best.
}
