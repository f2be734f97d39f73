/// How devices are: status, fragmentation, usage.
#pragma once
#include "api/resources_memory.hpp"

namespace vramd::api {
struct HoleClass {
    u64 from_bytes = 0;
    u64 holes = 0;
};
BOOST_DESCRIBE_STRUCT(HoleClass, (), (from_bytes, holes))
template <>
inline constexpr auto description<HoleClass> = describe(
    "HoleClass", "How many free runs there are of one power of two.",
    {{.member = "from_bytes", .tells = "Runs from this size to less than twice it.", .example = "4096", .unit = "bytes", .max = ~u64{0}},
     {.member = "holes", .tells = "How many.", .example = "3"}});

struct Fragmentation {
    Percentage percentage;
    u64 holes = 0;
    u64 largest_free_bytes = 0;
    u64 free_bytes = 0;
    std::vector<HoleClass> histogram;
};
BOOST_DESCRIBE_STRUCT(Fragmentation, (), (percentage, holes, largest_free_bytes, free_bytes, histogram))
template <>
inline constexpr auto description<Fragmentation> = describe(
    "Fragmentation", "How the free memory lies.",
    {{.member = "percentage", .tells = "1 − largest free run ÷ free bytes; 0 where nothing is free.", .example = "25.00", .unit = "%"},
     {.member = "holes", .tells = "Free runs.", .example = "4"},
     {.member = "largest_free_bytes", .tells = "The largest free run.", .example = "6442450944", .unit = "bytes"},
     {.member = "free_bytes", .tells = "All free runs together.", .example = "8589934592", .unit = "bytes"},
     {.member = "histogram", .tells = "Free runs by powers of two; classes without any are left out."}});

struct Share {
    std::string name;
    u64 bytes = 0;
    u64 allocations = 0;
};
BOOST_DESCRIBE_STRUCT(Share, (), (name, bytes, allocations))
template <>
inline constexpr auto description<Share> =
    describe("Share", "What one owner, purpose or model uses.",
             {{.member = "name", .tells = "The owner's, purpose's or model's name.", .example = R"("uid:1000")"},
              {.member = "bytes", .tells = "What it holds.", .example = "2097152", .unit = "bytes"},
              {.member = "allocations", .tells = "In how many allocations.", .example = "1"}});

struct Usage {
    std::optional<std::string> device_id;
    u64 used_bytes = 0;
    u64 live_bytes = 0;
    u64 zombie_bytes = 0;
    u64 allocation_count = 0;
    u64 mean_allocation_bytes = 0;
    Percentage usage_percentage;
    std::optional<u64> other_processes_bytes;
    std::vector<Share> by_owner;
    std::vector<Share> by_purpose;
    std::vector<Share> by_model;
};
BOOST_DESCRIBE_STRUCT(Usage, (),
                      (device_id, used_bytes, live_bytes, zombie_bytes, allocation_count, mean_allocation_bytes, usage_percentage,
                       other_processes_bytes, by_owner, by_purpose, by_model))
template <>
inline constexpr auto description<Usage> =
    describe("Usage", "Who uses the memory, and for what.",
             {{.member = "device_id",
               .tells = "The device; absent for all devices together.",
               .example = R"("host0")",
               .presence = Presence::optional},
              {.member = "used_bytes", .tells = "live and zombie together.", .example = "2147483648", .unit = "bytes"},
              {.member = "live_bytes", .tells = "Held by allocations.", .example = "2147483648", .unit = "bytes"},
              {.member = "zombie_bytes", .tells = "Freed, but still held by somebody.", .example = "0", .unit = "bytes"},
              {.member = "allocation_count", .tells = "Allocations.", .example = "12"},
              {.member = "mean_allocation_bytes",
               .tells = "Live bytes by allocations, rounded down; 0 of none.",
               .example = "178956970",
               .unit = "bytes"},
              {.member = "usage_percentage", .tells = "Used of total.", .example = "25.00", .unit = "%"},
              {.member = "other_processes_bytes",
               .tells = "What other processes use of the hardware; absent where the system does not say.",
               .example = "1073741824",
               .unit = "bytes",
               .presence = Presence::optional},
              {.member = "by_owner", .tells = "By owner. Who is no admin sees itself and vramd, and the rest as one row named other."},
              {.member = "by_purpose", .tells = "By purpose. Who is no admin sees its own only."},
              {.member = "by_model", .tells = "By model."}});

struct NumaNode {
    u32 id = 0;
    std::optional<u64> total_bytes;
    std::optional<u64> free_bytes;
};
BOOST_DESCRIBE_STRUCT(NumaNode, (), (id, total_bytes, free_bytes))
template <>
inline constexpr auto description<NumaNode> = describe(
    "NumaNode", "One NUMA node of the machine.",
    {{.member = "id", .tells = "As the kernel numbers it.", .example = "0"},
     {.member = "total_bytes", .tells = "Its memory.", .example = "17179869184", .unit = "bytes", .presence = Presence::optional},
     {.member = "free_bytes", .tells = "Of which nobody uses.", .example = "8589934592", .unit = "bytes", .presence = Presence::optional}});

struct OtherProcess {
    u64 pid = 0;
    std::optional<std::string> name;
    std::optional<u64> used_bytes;
};
BOOST_DESCRIBE_STRUCT(OtherProcess, (), (pid, name, used_bytes))
template <>
inline constexpr auto description<OtherProcess> = describe(
    "OtherProcess", "A process that uses a GPU's memory, as the driver tells.",
    {{.member = "pid", .tells = "Its number.", .example = "812"},
     {.member = "name", .tells = "The program's name, where the system tells.", .example = R"("python3")", .presence = Presence::optional},
     {.member = "used_bytes",
      .tells = "What the driver books to it: its context and its own memory; what it has mapped of vramd's is not counted.",
      .example = "543162368",
      .unit = "bytes",
      .presence = Presence::optional}});

struct HugePages {
    std::optional<u64> size_bytes;
    std::optional<u64> total_count;
    std::optional<u64> free_count;
    std::optional<std::string> shared_memory_policy;
};
BOOST_DESCRIBE_STRUCT(HugePages, (), (size_bytes, total_count, free_count, shared_memory_policy))
template <>
inline constexpr auto description<HugePages> = describe(
    "HugePages", "What the system offers in large pages; absent where it does not say.",
    {{.member = "size_bytes", .tells = "Of one reserved huge page.", .example = "2097152", .unit = "bytes", .presence = Presence::optional},
     {.member = "total_count", .tells = "Reserved huge pages.", .example = "0", .presence = Presence::optional},
     {.member = "free_count", .tells = "Of which free.", .example = "0", .presence = Presence::optional},
     {.member = "shared_memory_policy",
      .tells = "Transparent huge pages of shared memory.",
      .example = R"("advise")",
      .presence = Presence::optional}});

struct Stall {
    Percentage some10s_percentage;
    Percentage some60s_percentage;
    Percentage full10s_percentage;
    Percentage full60s_percentage;
};
BOOST_DESCRIBE_STRUCT(Stall, (), (some10s_percentage, some60s_percentage, full10s_percentage, full60s_percentage))
template <>
inline constexpr auto description<Stall> =
    describe("Stall", "The share of time in which tasks of the machine waited for memory (the kernel's PSI).",
             {{.member = "some10s_percentage", .tells = "At least one waited, over 10 s.", .example = "0.00", .unit = "%"},
              {.member = "some60s_percentage", .tells = "At least one waited, over 60 s.", .example = "0.00", .unit = "%"},
              {.member = "full10s_percentage", .tells = "All waited at once, over 10 s.", .example = "0.00", .unit = "%"},
              {.member = "full60s_percentage", .tells = "All waited at once, over 60 s.", .example = "0.00", .unit = "%"}});

struct DeviceStatus {
    std::string device_id;
    std::string memory_type;
    HealthState health = HealthState::good;
    u64 health_score = 0;
    std::vector<std::string> health_reasons;
    u64 total_bytes = 0;
    u64 used_bytes = 0;
    u64 available_bytes = 0;
    u64 reserved_bytes = 0;
    u64 live_bytes = 0;
    u64 zombie_bytes = 0;
    u64 free_bytes = 0;
    u64 reclaimable_bytes = 0;
    u64 pool_bytes = 0;
    std::optional<u64> physical_bytes;
    std::optional<u64> other_processes_bytes;
    std::vector<OtherProcess> other_processes;
    std::optional<u64> system_available_bytes;
    std::optional<u64> group_limit_bytes;
    std::optional<u64> group_used_bytes;
    Percentage usage_percentage;
    u64 allocation_count = 0;
    u64 block_count = 0;
    std::vector<NumaNode> numa_nodes;
    HugePages huge_pages;
    std::optional<Stall> stall;
    std::optional<Fragmentation> fragmentation;
    std::optional<Usage> usage;
    std::optional<AllocationList> allocations;
};
BOOST_DESCRIBE_STRUCT(DeviceStatus, (),
                      (device_id, memory_type, health, health_score, health_reasons, total_bytes, used_bytes, available_bytes,
                       reserved_bytes, live_bytes, zombie_bytes, free_bytes, reclaimable_bytes, pool_bytes, physical_bytes,
                       other_processes_bytes, other_processes, system_available_bytes, group_limit_bytes, group_used_bytes,
                       usage_percentage, allocation_count, block_count, numa_nodes, huge_pages, stall, fragmentation, usage, allocations))
template <>
inline constexpr auto description<DeviceStatus> = describe(
    "DeviceStatus", "How one device is. total = live + zombie + reserved + free; used = live + zombie.",
    {device_id_field,
     {.member = "memory_type", .tells = "systemMemory, gpuMemory or simulated.", .example = R"("systemMemory")"},
     {.member = "health", .tells = "Whether it works."},
     {.member = "health_score",
      .tells = "0–100: the smallest of health (good 100, degraded 50, lost 0), room (100 up to 75 % use, then 4 less for each per cent), "
               "and calm "
               "(100 − the share of the last 10 s in which all tasks waited for memory).",
      .example = "100",
      .max = 100},
     {.member = "health_reasons", .tells = "Why the score is below 100, a sentence each."},
     {.member = "total_bytes", .tells = "The capacity, as configured.", .example = "8589934592", .unit = "bytes"},
     {.member = "used_bytes", .tells = "live and zombie.", .example = "2147483648", .unit = "bytes"},
     {.member = "available_bytes",
      .tells = "What can be had now without evicting: capacity less live, zombie and reserved, and less what others took from under it.",
      .example = "6442450944",
      .unit = "bytes"},
     {.member = "reserved_bytes", .tells = "Kept back.", .example = "0", .unit = "bytes"},
     {.member = "live_bytes", .tells = "Held by allocations.", .example = "2147483648", .unit = "bytes"},
     {.member = "zombie_bytes", .tells = "Freed, but still held by somebody.", .example = "0", .unit = "bytes"},
     {.member = "free_bytes", .tells = "By the books.", .example = "6442450944", .unit = "bytes"},
     {.member = "reclaimable_bytes",
      .tells = "Models that could be evicted: nobody holds or pinned them.",
      .example = "0",
      .unit = "bytes"},
     {.member = "pool_bytes", .tells = "Memory kept ready for the next blocks.", .example = "0", .unit = "bytes"},
     {.member = "physical_bytes",
      .tells = "The hardware's memory.",
      .example = "17179869184",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "other_processes_bytes",
      .tells = "What other processes use of the hardware.",
      .example = "1073741824",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "other_processes",
      .tells = "Who they are, on a GPU whose driver tells: most bytes first, vramd's clients among them; else empty."},
     {.member = "system_available_bytes",
      .tells = "What the system could still give.",
      .example = "12884901888",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "group_limit_bytes",
      .tells = "The tightest cgroup limit over this process.",
      .example = "17179869184",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "group_used_bytes",
      .tells = "Use of the group with that limit.",
      .example = "4294967296",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "usage_percentage", .tells = "Used of total.", .example = "25.00", .unit = "%"},
     {.member = "allocation_count", .tells = "Allocations.", .example = "12"},
     {.member = "block_count", .tells = "Blocks of physical memory.", .example = "3"},
     {.member = "numa_nodes", .tells = "The machine's NUMA nodes; empty on devices that have none."},
     {.member = "huge_pages", .tells = "Large pages."},
     {.member = "stall", .tells = "How long tasks wait for memory.", .presence = Presence::optional},
     {.member = "fragmentation", .tells = "How the free memory lies; with includeFragmentation.", .presence = Presence::optional},
     {.member = "usage", .tells = "Who uses it; with includeUsageStats.", .presence = Presence::optional},
     {.member = "allocations", .tells = "The newest allocations on it; with includeAllocations.", .presence = Presence::optional}});

struct MemoryStatus {
    u64 total_bytes = 0;
    u64 used_bytes = 0;
    u64 available_bytes = 0;
    u64 reserved_bytes = 0;
    u64 zombie_bytes = 0;
    u64 reclaimable_bytes = 0;
    Percentage usage_percentage;
    HealthState health = HealthState::good;
    u64 health_score = 0;
    std::vector<DeviceStatus> devices;
};
BOOST_DESCRIBE_STRUCT(MemoryStatus, (),
                      (total_bytes, used_bytes, available_bytes, reserved_bytes, zombie_bytes, reclaimable_bytes, usage_percentage, health,
                       health_score, devices))
template <>
inline constexpr auto description<MemoryStatus> =
    describe("MemoryStatus", "How all devices are, together and each.",
             {{.member = "total_bytes", .tells = "Of all devices.", .example = "8589934592", .unit = "bytes"},
              {.member = "used_bytes", .tells = "live and zombie.", .example = "2147483648", .unit = "bytes"},
              {.member = "available_bytes", .tells = "What can be had now without evicting.", .example = "6442450944", .unit = "bytes"},
              {.member = "reserved_bytes", .tells = "Kept back.", .example = "0", .unit = "bytes"},
              {.member = "zombie_bytes", .tells = "Freed, but still held by somebody.", .example = "0", .unit = "bytes"},
              {.member = "reclaimable_bytes", .tells = "Models that could be evicted.", .example = "0", .unit = "bytes"},
              {.member = "usage_percentage", .tells = "Used of total.", .example = "25.00", .unit = "%"},
              {.member = "health", .tells = "The worst of the devices."},
              {.member = "health_score", .tells = "The lowest of the devices.", .example = "100", .max = 100},
              {.member = "devices", .tells = "Each device's status."}});
}  // namespace vramd::api
