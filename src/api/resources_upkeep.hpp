/// The resources of defragmenting and optimizing: what is asked, and what was done.
#pragma once
#include "api/resources_parts.hpp"
#include "terms/upkeep.hpp"

namespace vramd::api {
inline constexpr u64 time_limit_ms_max = 86'400'000;
inline constexpr u64 preserve_items_max = 1000;

template <>
inline constexpr auto description<DefragmentStrategy> =
    describe("DefragmentStrategy",
             "quick: empties blocks that are at most a quarter in use, moving at most 64 MiB. balanced: empties every block whose content "
             "fits elsewhere, the emptiest first, as long as each byte moved gains more than one. thorough: fewest blocks and holes, "
             "whatever is moved for it. conservative: as balanced, but leaves allocations above 1 MiB or accessed within 60 s where they "
             "are.");
template <>
inline constexpr auto description<UpkeepAction> = describe(
    "OptimizeOperation",
    "defragment: empties blocks, balanced. compact: slides allocations within their blocks, so that each block's holes become one. "
    "garbageCollect: gives back empty blocks, ends leases that ran out. preload: loads configured models that are absent. cache: evicts "
    "models nobody pinned or uses, oldest first, down to the target usage.");
template <>
inline constexpr auto description<UpkeepStop> = describe(
    "StoppedBy",
    "What ended it. done: nothing was left to gain. timeBound: its time was over. pinned: memory that is to stay kept the rest in place. "
    "leased: memory in use did.");

inline constexpr Field time_limit_field{.member = "time_limit_ms",
                                        .tells = "Nothing further begins after so long; absent: no bound.",
                                        .example = "2000",
                                        .unit = "ms",
                                        .min = 1,
                                        .max = time_limit_ms_max,
                                        .presence = Presence::optional};
inline constexpr Field dry_run_field{.member = "dry_run",
                                     .tells = "True: tries it on a copy of the books and answers what it would do; nothing changes.",
                                     .example = "false",
                                     .presence = Presence::optional};
inline constexpr Field upkeep_wait_field{
    .member = "wait_for_completion",
    .tells = "False: answer 202 at once; the operation at Location shows progress and can be cancelled.",
    .example = "true",
    .presence = Presence::optional};

struct DefragmentRequest {
    DefragmentStrategy strategy = DefragmentStrategy::balanced;
    std::optional<u64> time_limit_ms;
    std::optional<Percentage> target_fragmentation_percentage;
    bool dry_run = false;
    bool wait_for_completion = true;
};
BOOST_DESCRIBE_STRUCT(DefragmentRequest, (), (strategy, time_limit_ms, target_fragmentation_percentage, dry_run, wait_for_completion))
template <>
inline constexpr auto description<DefragmentRequest> =
    describe("DefragmentRequest", "How to defragment. A user moves the user's own memory only, an admin everybody's.",
             {{.member = "strategy", .tells = "What it minimises.", .example = R"("balanced")", .presence = Presence::optional},
              time_limit_field,
              {.member = "target_fragmentation_percentage",
               .tells = "Enough when a device is no more fragmented than this; absent: as far as the strategy goes.",
               .example = "10.00",
               .unit = "%",
               .presence = Presence::optional},
              dry_run_field,
              upkeep_wait_field});

struct OptimizeRequest {
    std::vector<UpkeepAction> operations;
    std::optional<Percentage> target_usage_percentage;
    std::vector<std::string> preserve_allocation_ids;
    std::vector<std::string> preserve_models;
    std::optional<u64> time_limit_ms;
    bool dry_run = false;
    bool wait_for_completion = true;
};
BOOST_DESCRIBE_STRUCT(OptimizeRequest, (),
                      (operations, target_usage_percentage, preserve_allocation_ids, preserve_models, time_limit_ms, dry_run,
                       wait_for_completion))
template <>
inline constexpr auto description<OptimizeRequest> = describe(
    "OptimizeRequest", "What to optimize.",
    {{.member = "operations",
      .tells = "In the order in which they are done; absent: garbageCollect, defragment, compact, and cache where a target usage is given.",
      .example = R"(["garbageCollect","defragment"])",
      .max = 5,
      .presence = Presence::optional},
     {.member = "target_usage_percentage",
      .tells = "Of cache: how much of the device may be in use afterwards; absent: above 80 % it goes down to 70 %.",
      .example = "70.00",
      .unit = "%",
      .presence = Presence::optional},
     {.member = "preserve_allocation_ids",
      .tells = "Allocations that stay where they are.",
      .example = R"(["alc_0q3xw8c5k2mznd1"])",
      .max = preserve_items_max,
      .presence = Presence::optional},
     {.member = "preserve_models",
      .tells = "Models that are not evicted, by name.",
      .example = R"(["detector"])",
      .max = preserve_items_max,
      .presence = Presence::optional},
     time_limit_field,
     dry_run_field,
     upkeep_wait_field});

/// How memory lies, read at one moment.
struct MemorySnapshot {
    u64 total_bytes = 0;
    u64 used_bytes = 0;
    Percentage usage_percentage;
    u64 free_bytes = 0;
    u64 uncommitted_bytes = 0;
    u64 largest_free_bytes = 0;
    u64 holes = 0;
    Percentage fragmentation_percentage;
    u64 blocks = 0;
    u64 allocations = 0;
};
BOOST_DESCRIBE_STRUCT(MemorySnapshot, (),
                      (total_bytes, used_bytes, usage_percentage, free_bytes, uncommitted_bytes, largest_free_bytes, holes,
                       fragmentation_percentage, blocks, allocations))
template <>
inline constexpr auto description<MemorySnapshot> = describe(
    "MemorySnapshot", "How the memory lay at one moment.",
    {{.member = "total_bytes", .tells = "The capacity.", .example = "1073741824", .unit = "bytes"},
     {.member = "used_bytes", .tells = "Held by allocations, zombies included.", .example = "805306368", .unit = "bytes"},
     {.member = "usage_percentage", .tells = "Used of total.", .example = "75.00", .unit = "%"},
     {.member = "free_bytes", .tells = "Holes in blocks, and what no block covers.", .example = "268435456", .unit = "bytes"},
     {.member = "uncommitted_bytes", .tells = "Of which no block covers: any owner can have it.", .example = "201326592", .unit = "bytes"},
     {.member = "largest_free_bytes", .tells = "The largest free run.", .example = "201326592", .unit = "bytes"},
     {.member = "holes", .tells = "Free runs.", .example = "17"},
     {.member = "fragmentation_percentage",
      .tells = "1 − largest free run ÷ free bytes; of several devices, by the sums of both.",
      .example = "25.00",
      .unit = "%"},
     {.member = "blocks", .tells = "Blocks of physical memory.", .example = "12"},
     {.member = "allocations", .tells = "Allocations.", .example = "4096"}});

struct DeviceBeforeAfter {
    std::string device_id;
    MemorySnapshot before;
    std::optional<MemorySnapshot> after;
};
BOOST_DESCRIBE_STRUCT(DeviceBeforeAfter, (), (device_id, before, after))
inline constexpr Field before_field{.member = "before", .tells = "How the memory lay when it began."};
inline constexpr Field after_field{
    .member = "after", .tells = "How it lay when it ended; absent until then.", .presence = Presence::optional};
inline constexpr Field duration_field{
    .member = "duration_ms", .tells = "From its start to what is told here.", .example = "12.480", .unit = "ms"};
inline constexpr Field moves_field{.member = "moves", .tells = "Allocations moved; their ids and contents stay.", .example = "211"};
inline constexpr Field moved_bytes_field{.member = "moved_bytes", .tells = "Their bytes.", .example = "25165824", .unit = "bytes"};
inline constexpr Field devices_field{.member = "devices", .tells = "Each device by itself."};
template <>
inline constexpr auto description<DeviceBeforeAfter> = describe("DeviceBeforeAfter", "One device before and after.",
                                                                {device_id_field, before_field, after_field});

struct Defragmentation {
    DefragmentStrategy strategy = DefragmentStrategy::balanced;
    bool dry_run = false;
    u64 moves = 0;
    u64 moved_bytes = 0;
    u64 freed_bytes = 0;
    Rate efficiency;
    UpkeepStop stopped_by = UpkeepStop::done;
    std::string why_left;
    MemorySnapshot before;
    std::optional<MemorySnapshot> after;
    std::vector<DeviceBeforeAfter> devices;
    Milliseconds duration_ms;
};
BOOST_DESCRIBE_STRUCT(Defragmentation, (),
                      (strategy, dry_run, moves, moved_bytes, freed_bytes, efficiency, stopped_by, why_left, before, after, devices,
                       duration_ms))
template <>
inline constexpr auto description<Defragmentation> =
    describe("Defragmentation", "What a defragmentation did.",
             {{.member = "strategy", .tells = "The strategy.", .example = R"("balanced")"},
              {.member = "dry_run", .tells = "True: it was only tried on a copy of the books.", .example = "false"},
              moves_field,
              moved_bytes_field,
              {.member = "freed_bytes", .tells = "Came back to what no block covers.", .example = "134217728", .unit = "bytes"},
              {.member = "efficiency",
               .tells = "By how much the largest free run grew, per byte moved; 0 where nothing was moved.",
               .example = "5.33",
               .unit = "bytes per byte"},
              {.member = "stopped_by", .tells = "What ended it.", .example = R"("done")"},
              {.member = "why_left", .tells = "What was left and why; empty where nothing was.", .example = R"("")"},
              before_field,
              after_field,
              devices_field,
              duration_field});

struct OptimizeAction {
    UpkeepAction operation = UpkeepAction::defragment;
    UpkeepStop stopped_by = UpkeepStop::done;
    u64 moves = 0;
    u64 moved_bytes = 0;
    u64 freed_bytes = 0;
    u64 released_blocks = 0;
    u64 ended_leases = 0;
    std::vector<std::string> models;
    u64 left = 0;
    std::string why_left;
};
BOOST_DESCRIBE_STRUCT(OptimizeAction, (),
                      (operation, stopped_by, moves, moved_bytes, freed_bytes, released_blocks, ended_leases, models, left, why_left))
template <>
inline constexpr auto description<OptimizeAction> =
    describe("OptimizeAction", "What one operation of an optimize did and freed, and what it left and why.",
             {{.member = "operation", .tells = "The operation."},
              {.member = "stopped_by", .tells = "What ended it.", .example = R"("done")"},
              moves_field,
              moved_bytes_field,
              {.member = "freed_bytes", .tells = "What it freed.", .example = "2097152", .unit = "bytes"},
              {.member = "released_blocks", .tells = "Blocks given back.", .example = "1"},
              {.member = "ended_leases", .tells = "Leases that had run out.", .example = "0"},
              {.member = "models", .tells = "Models evicted, or asked to load.", .example = R"(["detector"])"},
              {.member = "left", .tells = "Blocks or models that it would have taken, but left.", .example = "0"},
              {.member = "why_left", .tells = "Why; empty where nothing was left.", .example = R"("")"}});

struct Optimization {
    bool dry_run = false;
    MemorySnapshot before;
    std::optional<MemorySnapshot> after;
    std::vector<OptimizeAction> actions;
    std::vector<DeviceBeforeAfter> devices;
    Milliseconds duration_ms;
};
BOOST_DESCRIBE_STRUCT(Optimization, (), (dry_run, before, after, actions, devices, duration_ms))
template <>
inline constexpr auto description<Optimization> =
    describe("Optimization", "What an optimize did.",
             {{.member = "dry_run", .tells = "True: it was only tried on a copy of the books.", .example = "false"},
              before_field,
              after_field,
              {.member = "actions", .tells = "Its operations, in order, as far as they are over."},
              devices_field,
              duration_field});
}  // namespace vramd::api
