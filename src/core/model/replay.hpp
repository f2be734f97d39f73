/// What would have happened: requests for models, replayed over one memory of a given size under each order of eviction.
///
/// What: a discrete simulation in the trace's own time. Victims are chosen by `plan_eviction`, the daemon's own; nothing is estimated
/// but what the rules below say. Why: a user picks a policy by evidence, on the requests that were really made.
///
/// Rules
/// 1. A request wants its model at its time and uses it for `use_ns` from when it is there. Is it resident, that is a hit. Does somebody
///    load it already, the request joins that load: a hit that waits for the rest. Else it is a load of its own.
/// 2. A load begins as soon as room is made for it and takes the model's `load_ns`; loads run beside one another and do not slow each
/// other.
/// 3. Room is made when a load begins: usage with it beyond the high watermark evicts down to the low one, as far as idle models go, and
///    it must end within the capacity, else nothing is evicted and the load waits until a use or a load ends. Loads that wait are served in
///    the order in which they came. What can never fit, or finds only pinned models in its way with nothing left to end, is refused.
/// 4. Models that are loading, used, waited for or pinned are never victims.
///
/// Pure functions over values; deterministic. Time O(requests × log(requests) + evictions × models × log models).
#pragma once
#include <functional>
#include <vector>

#include "core/model/eviction.hpp"

namespace vramd::model {
enum class Keeps : u8 { while_used, pinned };
struct ReplayModel {
    u64 size_bytes = 0;  ///< > 0.
    u64 load_ns = 0;     ///< What loading it took, as measured.
};
struct ReplayRequest {
    u64 at_ns = 0;                    ///< From any beginning.
    u64 use_ns = 0;                   ///< How long the model is in use from when it is there; ends beyond 2^64 - 1 are cut.
    u32 model = 0;                    ///< Its place in `models`.
    Keeps keeps = Keeps::while_used;  ///< pinned: the model never goes once this request has it.
};
/// Requests by rising time; their models are all in `models`.
struct ReplayTrace {
    std::vector<ReplayModel> models;
    std::vector<ReplayRequest> requests;
};
struct ReplayRules {
    u64 capacity_bytes = 0;
    Watermarks marks;
};

/// hits + loads + refused = requests.
struct ReplayResult {
    u64 requests = 0;
    u64 hits = 0;
    u64 joined = 0;  ///< Those of the hits that waited for another's load.
    u64 loads = 0;
    u64 refused = 0;
    u64 delayed = 0;  ///< Requests whose load could not begin at once for want of room.
    u64 evictions = 0;
    u64 loaded_bytes = 0;  ///< These three sums stop at 2^64 - 1.
    u64 evicted_bytes = 0;
    u64 waited_ns = 0;      ///< From each request to when its model was there, refused ones apart.
    u64 waited_p50_ns = 0;  ///< Nearest rank.
    u64 waited_p99_ns = 0;
    u64 peak_bytes = 0;
    bool operator==(const ReplayResult&) const = default;
};

/// One change, as it happens.
struct ReplayStep {
    enum class Kind : u8 { hit, join, delay, evict, load, loaded, used, refuse };  ///< loaded: a load ended; used: a use ended.
    Kind kind = Kind::hit;
    u64 at_ns = 0;
    u32 model = 0;
    u64 used_bytes = 0;  ///< After it.
};
using ReplayWatch = std::function<void(const ReplayStep&)>;

[[nodiscard]] ReplayResult replay(const ReplayTrace& trace, const ReplayRules& rules, EvictionOrder order, const ReplayWatch& watch = {});

/// The same rules with Belady's victim: whose next request is farthest away goes first, which only hindsight knows. Room is made only for
/// what does not fit. With equal sizes and uses that end at once no schedule has more hits; with different sizes it is a good schedule, not
/// the best one.
[[nodiscard]] ReplayResult replay_hindsight(const ReplayTrace& trace, u64 capacity_bytes, const ReplayWatch& watch = {});

/// What no schedule whatever can beat that serves requests in the order in which they come and keeps what it serves until it has served it.
struct ReplayBound {
    u64 hits_max = 0;
    u64 loaded_bytes_min = 0;
};
/// A relaxation of the exact optimum (which is NP-hard with sizes): each time a model stays from one request to its next takes size ×
/// requests between; of all that space the trace has capacity × requests, and the cheapest stays are granted first, wherever they lie,
/// but for those across a request that leaves them no room
/// (PFOO-L: Berger, Beckmann, Harchol-Balter, "Practical Bounds on Optimal Caching with Variable Object Sizes", 2018). O(n log n).
[[nodiscard]] ReplayBound replay_bound(const ReplayTrace& trace, u64 capacity_bytes);
}  // namespace vramd::model
