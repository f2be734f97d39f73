/// What is told of pressure, of the past and of what would help: the values behind GET pressure, usage, analytics, optimization, models.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/report/advice.hpp"
#include "core/report/history.hpp"
#include "device/device.hpp"

namespace vramd::engine {
struct PressureTold {
    std::string device_id;
    memory::Pressure pressure;
    memory::PressureInput input;          ///< What it was judged from, measured on this call.
    std::optional<i64> bytes_per_second;  ///< How fast the decisive part's use changes; absent while too little is known, or for the stall.
    std::optional<u64> seconds_to_critical;
    PressureBand recorded = PressureBand::low;  ///< The band whose crossing was recorded last.
    u64 since_wall_ns = 0;                      ///< 0: it is low, or always was so.
    u64 measured_wall_ns = 0;
    u64 reclaimable_bytes = 0;  ///< Models that nobody uses or pinned.
    std::vector<report::Advice> actions;
};

/// One device over a window.
struct PastTold {
    std::string device_id;
    report::Window window{};
    report::Span span;
    std::vector<report::History::Named> owners;  ///< Largest peak first, as all lists here.
    std::vector<report::History::Named> purposes;
    std::vector<report::History::Named> models;
};

/// One device's analysis: its past beside how it is now.
struct AnalysisTold {
    PastTold past;
    report::DeviceBooks books;
    std::vector<report::SampleBucket> samples;
    report::Worked copies;  ///< In the window, but not before the core's start; as is the next.
    report::Worked clears;
    u64 copy_limit_bytes_per_second = 0;  ///< What the machine's memory can do, measured after the start; 0: not yet.
    u64 fill_limit_bytes_per_second = 0;  ///< The same for filling.
    u64 requested_bytes = 0;              ///< As asked for, of what is granted now.
    u64 granted_bytes = 0;
    u64 arena_bytes = 0;       ///< Blocks that hold many allocations …
    u64 arena_used_bytes = 0;  ///< … and what of them is used.
};

/// A model as the catalogue, the books and the device know it.
struct ModelMemoryTold {
    report::ModelTold model;
    report::ModelPlaceTold place;          ///< Its copy there.
    u64 block_bytes = 0;                   ///< By the books.
    bool on_device = false;                ///< The device has the block.
    std::vector<std::string> differences;  ///< Sentences; empty: all agree.
};
/// All models of one device.
struct ModelsOfDevice {
    std::string device_id;
    u64 catalogue_bytes = 0;  ///< Σ of what the models say they take.
    u64 books_bytes = 0;      ///< What the owner vramd holds there by the books.
    std::vector<ModelMemoryTold> models;
};

/// Copies of models that a device's books gave up without their owner's word.
struct EvictedTold {
    u64 copies = 0;
    u64 bytes = 0;
};
/// What the engine has done since the core's start, and what waits for it.
struct WorkTold {
    u64 transfers_queued = 0;
    u64 transfers_running = 0;
    std::array<u64, EnumNames<TransferState>::names.size()> transfers_ended{};  ///< By state.
    u64 transferred_bytes = 0;                                                  ///< Of those that succeeded.
    std::map<std::pair<std::string, std::string>, u64> link_bytes;              ///< The same, from which device to which.
    std::map<std::string, EvictedTold> evicted;                                 ///< By device.
    u64 waiting_allocations = 0;                                                ///< Requests that wait for room or their owner's quota.
    u64 waiting_loads = 0;                                                      ///< Loads that wait for room.
    u64 asked = 0;                                                              ///< How often a client was asked to let go of a model,
    u64 asked_bytes = 0;                                                        ///< and of how many bytes;
    u64 given = 0;                                                              ///< how often it did so in time,
    u64 given_bytes = 0;                                                        ///< and of how many bytes;
    u64 kept = 0;                                                               ///< and how often it answered that it does not.
    u64 audits = 0;                                                             ///< Whoever asked for them; one an hour nobody did.
    u64 audits_failed = 0;
    u64 audit_findings = 0;  ///< Of the last one.
    u64 audit_begun_ns = 0;  ///< When the last one by itself was due (monotonic); 0: the hour has not begun.
};

/// What an allocation's bytes are, read on this call.
struct ContentStats {
    u64 scanned_bytes = 0;
    u64 zero_bytes = 0;          ///< Bytes that are 0.
    u64 distinct_values = 0;     ///< Of the 256 that a byte can have.
    u64 entropy_hundredths = 0;  ///< Bits per byte, by how often each value occurs: 0 … 800.
    u64 checksum = 0;            ///< As a verified transfer's.
    u64 duration_ns = 0;
};

enum class Run : u8 { really, dry };
struct OptimizeModelsRequest {
    Caller caller;
    std::string device_id;  ///< Empty: all devices.
    model::EvictionPolicy policy = model::EvictionPolicy::balanced;
    std::optional<u64> target_level;   ///< Hundredths; absent: the policy's.
    std::vector<std::string> exclude;  ///< Names of models that stay.
    model::EvictionBounds bounds;
    Run run = Run::really;
};
struct ModelOutcome {
    std::string name;
    std::string device_id;
    u64 bytes = 0;
    std::optional<model::Stays> stays;  ///< Why it is still there; absent: unloaded (dry: would be).
    std::string detail;                 ///< A refusal, where one came.
};
struct DeviceOutcome {
    std::string device_id;
    report::Outlook before;
    report::Outlook after;
    u64 target_level = 0;
    u64 freed_bytes = 0;
};
struct OptimizedModels {
    std::vector<DeviceOutcome> devices;
    std::vector<ModelOutcome> models;
    u64 duration_ns = 0;
};
}  // namespace vramd::engine
