/// A ledger's events as a trace: who wanted which model when, how large it is and what its loads took, as they were recorded.
///
/// What counts as a request: a load that was asked for (also of a model that was there already, and one that was refused for want of room,
/// where an earlier load tells the size), and an access to a model's memory. Accesses in a row, with no other model's request between, are
/// one use: no policy could tell them apart. A use lasts to the last of its accesses. A model that was loaded pinned is in use from then
/// until it was unloaded. Loads that failed otherwise are no requests. Evictions and unloads that happened are not replayed: when to unload
/// is what a policy decides.
///
/// A pure fold. Memory grows with the requests and with the models, not with the events.
#pragma once
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/model/trace.hpp"
#include "terms/event.hpp"

namespace vramd::model {
/// What a ledger tells.
struct EventTrace {
    NamedTrace named;
    u64 capacity_bytes = 0;            ///< Of all devices together that models were loaded onto, as they were last.
    std::vector<std::string> devices;  ///< Those.
    u64 refused_of_unknown_size = 0;   ///< Loads refused for want of room whose size no event tells: not in the trace.
};

class TraceEvents {
public:
    /// Another life of the memory begins: what was loaded before is gone.
    void begin_life();
    /// The next event and its record's time. Errors: `too_large`, as of TraceBuilder.
    [[nodiscard]] Result<void> see(const Event& event, u64 wall_ns);
    [[nodiscard]] EventTrace finish() &&;

private:
    static constexpr u64 none = UINT64_MAX;
    struct Device {
        std::string id;
        u64 granule_bytes = 1;
    };
    /// A model of this life, loading or resident.
    struct Life {
        u32 model = 0;
        u64 resident_ns = 0;       ///< 0: loading.
        u64 pinned_by = none;      ///< The request that loaded it, if it pinned it.
        std::vector<u64> waiting;  ///< Requests that wait for its load.
        u64 copies = 1;            ///< On devices and in the RAM cache: one memory here, which goes with the last.
    };
    struct Wish {
        std::string name;
        u64 at_ns = 0;
        Keeps keeps = Keeps::while_used;
        bool placed = false;  ///< A model was found or is being loaded for it.
    };
    using Content = std::tuple<u64, u64, u64, u64, u64>;

    [[nodiscard]] Result<void> on(const ModelLoading& event);
    [[nodiscard]] Result<void> on(const ModelNamed& event);
    [[nodiscard]] Result<void> on(const OperationEnded& event);
    [[nodiscard]] Result<void> on(const AllocationAccessed& event);
    void on(const DeviceAdded& event);
    void on(const DeviceResized& event);
    void on(const OperationStarted& event);
    void on(const ModelResident& event);
    void on(const ModelCopying& event);
    void end_pin(const Life& life, u64 wall_ns);
    void gone(const ModelGone& event, u64 wall_ns);
    [[nodiscard]] Result<void> want(u32 model, u64 at_ns);

    TraceBuilder builder_;
    std::map<Content, u32> models_;                   ///< By content: two names of one file are one model.
    std::map<std::string, u32, std::less<>> called_;  ///< What a name stood for last.
    std::set<std::string> loaded_onto_;               ///< Devices.
    std::map<std::string, u64> capacities_;           ///< By device.
    u64 refused_of_unknown_size_ = 0;
    u64 last_wall_ns_ = 0;
    // Of this life.
    std::vector<Device> devices_;
    std::map<u64, Life> lives_;       ///< By the model's serial.
    std::map<u64, u64> allocations_;  ///< To the model's serial.
    std::map<u64, Wish> wishes_;      ///< By the operation's serial.
};
}  // namespace vramd::model
