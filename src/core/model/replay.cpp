#include "core/model/replay.hpp"

#include <algorithm>
#include <deque>
#include <queue>
#include <span>

#include "base/invariant.hpp"

namespace vramd::model {
namespace {
constexpr u64 never = UINT64_MAX;

u64 sum_within(u64 a, u64 b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

/// The value that at least `percent` of all are at most.
u64 nearest_rank(std::vector<u64>& values, u64 percent) {
    if (values.empty()) return 0;
    const auto rank = static_cast<std::ptrdiff_t>(div_ceil(values.size() * percent, 100) - 1);
    std::nth_element(values.begin(), values.begin() + rank, values.end());
    return values[static_cast<std::size_t>(rank)];
}

/// For each request the number of the next one of the same model, or `never`.
std::vector<u64> next_requests(const ReplayTrace& trace) {
    std::vector<u64> next(trace.requests.size(), never);
    std::vector<u64> later(trace.models.size(), never);
    for (std::size_t i = trace.requests.size(); i-- > 0;) {
        next[i] = later[trace.requests[i].model];
        later[trace.requests[i].model] = i;
    }
    return next;
}

class Replay {
public:
    /// `next`: empty, or what hindsight knows; see `next_requests`.
    Replay(const ReplayTrace& trace, const ReplayRules& rules, EvictionOrder order, std::span<const u64> next, const ReplayWatch& watch)
        : trace_(trace), rules_(rules), order_(order), next_(next), watch_(watch), places_(trace.models.size()) {
        INVARIANT(rules.capacity_bytes <= number_max);
    }

    ReplayResult run() {
        for (std::size_t i = 0; i < trace_.requests.size(); ++i) {
            go_on_to(trace_.requests[i].at_ns);
            arrive(i);
        }
        go_on_to(never);
        INVARIANT(waiting_.empty() && endings_.empty());
        result_.requests = trace_.requests.size();
        result_.waited_p50_ns = nearest_rank(waits_, 50);
        result_.waited_p99_ns = nearest_rank(waits_, 99);
        return result_;
    }

private:
    using Step = ReplayStep::Kind;
    enum class Phase : u8 { absent, waiting, loading, resident };
    struct Place {
        Phase phase = Phase::absent;
        Keeps keeps = Keeps::while_used;
        std::size_t slot = 0;  ///< In `residents_`, from the beginning of a load on.
        u64 users = 0;
        u64 next = never;
        std::vector<u64> requests;  ///< That wait for it; the first one loads it.
    };
    struct Ending {
        u64 at_ns = 0;
        u64 number = 0;
        u32 model = 0;
        Phase of = Phase::loading;  ///< resident: a use ends.
        bool operator>(const Ending& other) const { return std::pair(at_ns, number) > std::pair(other.at_ns, other.number); }
    };

    void tell(Step kind, u32 model) {
        if (watch_) watch_({kind, now_ns_, model, used_bytes_});
    }

    void go_on_to(u64 at_ns) {
        while (!endings_.empty() && endings_.top().at_ns <= at_ns) {
            const Ending ending = endings_.top();
            endings_.pop();
            now_ns_ = ending.at_ns;
            if (ending.of == Phase::loading)
                end_load(ending.model);
            else
                end_use(ending.model);
            serve_waiting();
        }
        if (at_ns != never) now_ns_ = std::max(now_ns_, at_ns);
    }

    void arrive(u64 request) {
        const u32 model = trace_.requests[request].model;
        Place& place = places_[model];
        if (trace_.models[model].size_bytes > rules_.capacity_bytes) return refuse(model, 1);
        if (!next_.empty()) place.next = next_[request];
        if (place.phase == Phase::resident) {
            result_.hits += 1;
            tell(Step::hit, model);
            return begin_use(model, request);
        }
        place.requests.push_back(request);
        if (place.phase != Phase::absent) return tell(Step::join, model);
        place.phase = Phase::waiting;
        waiting_.push_back(model);
        serve_waiting();
        if (place.phase != Phase::waiting) return;
        result_.delayed += 1;
        tell(Step::delay, model);
    }

    /// Begins loads in the order in which they came, as far as there is room.
    void serve_waiting() {
        while (!waiting_.empty()) {
            const u32 model = waiting_.front();
            if (!make_room(trace_.models[model].size_bytes)) {
                if (!endings_.empty()) return;
                refuse(model, places_[model].requests.size());
            } else {
                begin_load(model);
            }
            waiting_.pop_front();
        }
    }

    void refuse(u32 model, u64 requests) {
        result_.refused += requests;
        places_[model].requests.clear();
        places_[model].phase = Phase::absent;
        tell(Step::refuse, model);
    }

    /// False, and nothing evicted: it cannot fit now.
    bool make_room(u64 size_bytes) {
        const u64 after_bytes = used_bytes_ + size_bytes;
        const u64 too_many_bytes = after_bytes > rules_.capacity_bytes ? after_bytes - rules_.capacity_bytes : 0;
        const u64 wanted_bytes = std::max(too_many_bytes, watermark(after_bytes, rules_.capacity_bytes, rules_.marks));
        if (wanted_bytes == 0) return true;
        if (too_many_bytes > 0 && !could_free(too_many_bytes)) return false;
        const Eviction plan =
            plan_eviction(residents_, order_, now_ns_, [wanted_bytes](u64 freed_bytes) { return freed_bytes >= wanted_bytes; });
        INVARIANT(plan.freed_bytes >= too_many_bytes);
        for (const u64 serial : plan.unload) evict(serial);
        return true;
    }

    [[nodiscard]] bool could_free(u64 bytes) const {
        for (const Resident& resident : residents_) {
            if (resident.in_use || resident.pinned) continue;
            if (resident.size_bytes >= bytes) return true;
            bytes -= resident.size_bytes;
        }
        return false;
    }

    void evict(u64 serial) {
        const auto slot = static_cast<std::size_t>(std::ranges::find(residents_, serial, &Resident::serial) - residents_.begin());
        const u32 model = owners_[slot];
        const u64 size_bytes = residents_[slot].size_bytes;
        residents_[slot] = residents_.back();
        owners_[slot] = owners_.back();
        places_[owners_[slot]].slot = slot;
        residents_.pop_back();
        owners_.pop_back();
        places_[model].phase = Phase::absent;
        used_bytes_ -= size_bytes;
        result_.evictions += 1;
        result_.evicted_bytes = sum_within(result_.evicted_bytes, size_bytes);
        tell(Step::evict, model);
    }

    void begin_load(u32 model) {
        const ReplayModel& facts = trace_.models[model];
        Place& place = places_[model];
        place.phase = Phase::loading;
        place.slot = residents_.size();
        residents_.push_back({.serial = ++loads_begun_, .size_bytes = facts.size_bytes, .load_ns = facts.load_ns, .in_use = true});
        owners_.push_back(model);
        used_bytes_ += facts.size_bytes;
        INVARIANT(used_bytes_ <= rules_.capacity_bytes);
        result_.peak_bytes = std::max(result_.peak_bytes, used_bytes_);
        result_.loads += 1;
        result_.loaded_bytes = sum_within(result_.loaded_bytes, facts.size_bytes);
        end_later(facts.load_ns, model, Phase::loading);
        tell(Step::load, model);
    }

    void end_later(u64 after_ns, u32 model, Phase of) {
        endings_.push({std::min(sum_within(now_ns_, after_ns), never - 1), ++endings_made_, model, of});
    }

    void end_load(u32 model) {
        Place& place = places_[model];
        place.phase = Phase::resident;
        residents_[place.slot].loaded_wall_ns = now_ns_;
        residents_[place.slot].in_use = false;
        tell(Step::loaded, model);
        result_.joined += place.requests.size() - 1;
        result_.hits += place.requests.size() - 1;
        for (const u64 request : place.requests) begin_use(model, request);
        place.requests.clear();
    }

    void begin_use(u32 model, u64 request) {
        const ReplayRequest& facts = trace_.requests[request];
        Place& place = places_[model];
        const u64 waited_ns = now_ns_ - facts.at_ns;
        waits_.push_back(waited_ns);
        result_.waited_ns = sum_within(result_.waited_ns, waited_ns);
        if (facts.keeps == Keeps::pinned) place.keeps = Keeps::pinned;
        if (facts.use_ns > 0) {
            place.users += 1;
            end_later(facts.use_ns, model, Phase::resident);
        }
        touch(place);
    }

    void end_use(u32 model) {
        places_[model].users -= 1;
        touch(places_[model]);
        tell(Step::used, model);
    }

    void touch(const Place& place) {
        Resident& resident = residents_[place.slot];
        resident.touched_wall_ns = now_ns_;
        resident.in_use = place.users > 0;
        resident.pinned = place.keeps == Keeps::pinned;
        if (!next_.empty()) resident.loaded_wall_ns = never - place.next;  // Oldest first is then farthest first.
    }

    const ReplayTrace& trace_;
    const ReplayRules rules_;
    const EvictionOrder order_;
    const std::span<const u64> next_;
    const ReplayWatch& watch_;
    std::vector<Place> places_;        ///< By model.
    std::vector<Resident> residents_;  ///< Loading ones too.
    std::vector<u32> owners_;          ///< The models of `residents_`.
    std::deque<u32> waiting_;          ///< Models whose load waits for room.
    std::priority_queue<Ending, std::vector<Ending>, std::greater<>> endings_;
    std::vector<u64> waits_;
    u64 now_ns_ = 0;
    u64 used_bytes_ = 0;
    u64 loads_begun_ = 0;
    u64 endings_made_ = 0;
    ReplayResult result_;
};
}  // namespace

ReplayResult replay(const ReplayTrace& trace, const ReplayRules& rules, EvictionOrder order, const ReplayWatch& watch) {
    return Replay(trace, rules, order, {}, watch).run();
}

ReplayResult replay_hindsight(const ReplayTrace& trace, u64 capacity_bytes, const ReplayWatch& watch) {
    const std::vector<u64> next = next_requests(trace);
    return Replay(trace, {capacity_bytes, {100'00, 100'00}}, EvictionOrder::fifo, next, watch).run();
}

ReplayBound replay_bound(const ReplayTrace& trace, u64 capacity_bytes) {
    struct Stay {
        u64 between = 0;  ///< Requests served while it stays.
        u64 size_bytes = 0;
        [[nodiscard]] u128 space() const { return u128{between} * size_bytes; }
    };
    std::vector<Stay> stays;
    std::vector<std::pair<u64, u64>> peaks;  // Requests after which no larger one came, with their sizes: rising places, falling sizes.
    std::vector<u64> last(trace.models.size(), never);
    u64 served = 0;
    u128 served_bytes = 0;
    u128 space = 0;  // What is left beside the model that each request is about.
    for (const ReplayRequest& request : trace.requests) {
        const u64 size_bytes = trace.models[request.model].size_bytes;
        if (size_bytes > capacity_bytes) continue;
        if (const u64 before = last[request.model]; before != never) {
            const auto between = std::ranges::upper_bound(peaks, before, {}, &std::pair<u64, u64>::first);
            const u64 largest_bytes = between == peaks.end() ? 0 : between->second;
            if (size_bytes <= capacity_bytes - largest_bytes) stays.push_back({served - before - 1, size_bytes});
        }
        while (!peaks.empty() && peaks.back().second <= size_bytes) peaks.pop_back();
        peaks.emplace_back(served, size_bytes);
        last[request.model] = served++;
        served_bytes += size_bytes;
        space += capacity_bytes - size_bytes;
    }
    ReplayBound bound;
    std::ranges::sort(stays, {}, &Stay::space);
    u128 left = space;
    for (const Stay& stay : stays) {
        if (stay.space() > left) break;
        left -= stay.space();
        bound.hits_max += 1;
    }
    // Bytes not loaded: worth their size, so the shortest stays first; the one that only fits in part counts in part.
    std::ranges::sort(stays, {}, &Stay::between);
    left = space;
    u128 kept_bytes = 0;
    for (const Stay& stay : stays) {
        if (stay.space() > left) {
            kept_bytes += left / stay.between;
            break;
        }
        left -= stay.space();
        kept_bytes += stay.size_bytes;
    }
    bound.loaded_bytes_min = static_cast<u64>(std::min<u128>(served_bytes - kept_bytes, UINT64_MAX));
    return bound;
}
}  // namespace vramd::model
