/// How tight memory is, how it was, what would help: pressure, usage over a window, analytics, advice, model memory.
#pragma once
#include "api/resources_status.hpp"
#include "core/model/eviction.hpp"
#include "core/report/advice.hpp"
#include "core/report/track.hpp"
#include "terms/pressure.hpp"

namespace vramd {
namespace api {
enum class Direction : u8 { steady, rising, falling };
}
template <>
struct EnumNames<api::Direction> {
    static constexpr std::array<std::string_view, 3> names = {"steady", "rising", "falling"};
};
template <>
struct EnumNames<report::Window> {
    static constexpr std::array<std::string_view, 5> names = {"1m", "5m", "1h", "24h", "7d"};
};
template <>
struct EnumNames<memory::PressurePart> {
    static constexpr std::array<std::string_view, 4> names = {"room", "machine", "group", "stall"};
};

namespace api {
template <>
inline constexpr auto description<Direction> = describe("Direction", "Which way a figure goes.");
template <>
inline constexpr auto description<report::Window> = describe(
    "Window", "How far back. A minute is answered from seconds, five minutes and an hour from minutes, a day and a week from hours.");
template <>
inline constexpr auto description<PressureBand> = describe("PressureBand",
                                                           "low below 75, moderate from 75, high from 90, critical from 95.");
template <>
inline constexpr auto description<PressureCause> = describe(
    "PressureCause", "Who makes it tight: this service's own memory, other processes' memory, or a system whose tasks wait for memory.");
template <>
inline constexpr auto description<memory::PressurePart> =
    describe("PressurePart",
             "room: what may be handed out. machine: the hardware's memory. group: the tightest control group above the daemon. stall: "
             "the time that tasks wait for memory.");
template <>
inline constexpr auto description<report::AdviceKind> =
    describe("AdviceKind",
             "What is advised. raiseQuota: an owner holds 90 % of its quota or more while its device has room. enforceLimit, raiseLimit: "
             "more is held than the limits allow, and a reclaim gives some of it back, or gives nothing. lowerReserve: somebody waits for "
             "room that only the reserve holds back.");
template <>
inline constexpr auto description<model::EvictionPolicy> =
    describe("EvictionStrategy",
             "conservative: oldest load first, only what nobody touched for ten minutes, down to 90. balanced: oldest load first, down "
             "to 75. aggressive: oldest load first, down to 50. smart: first what is least missed per byte (time to load it again ÷ "
             "idle time ÷ size), down to 75.");
template <>
inline constexpr auto description<model::Stays> = describe(
    "StayReason",
    "Why a model stays. notNeeded: the target is reached without it. bound: maxModels or maxBytes. touchedLately: within ten minutes.");

struct WindowQuery {
    report::Window window = report::Window::hour;
};
BOOST_DESCRIBE_STRUCT(WindowQuery, (), (window))
template <>
inline constexpr auto description<WindowQuery> =
    describe("WindowQuery", "How far back.", {{.member = "window", .tells = "The span of time.", .presence = Presence::optional}});

struct AnalyticsQuery {
    std::optional<std::string> device_id;
    report::Window window = report::Window::hour;
};
BOOST_DESCRIBE_STRUCT(AnalyticsQuery, (), (device_id, window))
template <>
inline constexpr auto description<AnalyticsQuery> =
    describe("AnalyticsQuery", "Of what, and how far back.",
             {{.member = "device_id",
               .tells = "One device; absent: all.",
               .example = R"("host0")",
               .min = 1,
               .max = 64,
               .presence = Presence::optional},
              {.member = "window", .tells = "The span of time.", .presence = Presence::optional}});

// ------------------------------------------------------------------------------------------------------------------------------ usage
// What is told of a span of time, whatever it is told of.
inline constexpr Field covered_seconds_field{
    .member = "covered_seconds", .tells = "How much of the window is known.", .example = "3600.00", .unit = "s"};
inline constexpr Field peak_bytes_field{
    .member = "peak_bytes", .tells = "The most that was held at any moment.", .example = "4194304", .unit = "bytes"};
inline constexpr Field average_bytes_field{
    .member = "average_bytes", .tells = "What was held, the mean over time.", .example = "2097152", .unit = "bytes"};
inline constexpr Field allocated_count_field{.member = "allocated_count", .tells = "Allocations made.", .example = "12"};
inline constexpr Field allocated_bytes_field{
    .member = "allocated_bytes", .tells = "What they took.", .example = "25165824", .unit = "bytes"};
inline constexpr Field freed_count_field{.member = "freed_count", .tells = "Allocations ended.", .example = "10"};
inline constexpr Field freed_bytes_field{.member = "freed_bytes", .tells = "What came back.", .example = "20971520", .unit = "bytes"};
inline constexpr Field allocations_per_second_field{
    .member = "allocations_per_second", .tells = "Allocations made, over the covered time.", .example = "0.20", .unit = "1/s"};
inline constexpr Field deallocations_per_second_field{
    .member = "deallocations_per_second", .tells = "Allocations ended, over the covered time.", .example = "0.17", .unit = "1/s"};

struct NamedPast {
    std::string name;
    u64 peak_bytes = 0;
    u64 average_bytes = 0;
    u64 allocated_count = 0;
    u64 allocated_bytes = 0;
    u64 freed_count = 0;
    u64 freed_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(NamedPast, (), (name, peak_bytes, average_bytes, allocated_count, allocated_bytes, freed_count, freed_bytes))
template <>
inline constexpr auto description<NamedPast> =
    describe("NamedPast", "What one owner, purpose or model did over the window.",
             {{.member = "name", .tells = "Its name; other: those beyond the 128 that are told of singly.", .example = R"("uid:1000")"},
              peak_bytes_field,
              average_bytes_field,
              allocated_count_field,
              allocated_bytes_field,
              freed_count_field,
              freed_bytes_field});

struct UsagePast {
    std::string device_id;
    report::Window window{};
    Time from;
    Time to;
    Rate covered_seconds;
    u64 peak_bytes = 0;
    u64 lowest_bytes = 0;
    u64 average_bytes = 0;
    u64 allocated_count = 0;
    u64 allocated_bytes = 0;
    u64 freed_count = 0;
    u64 freed_bytes = 0;
    Rate allocations_per_second;
    Rate deallocations_per_second;
    u64 mean_allocation_bytes = 0;
    std::vector<NamedPast> by_owner;
    std::vector<NamedPast> by_purpose;
    std::vector<NamedPast> by_model;
};
BOOST_DESCRIBE_STRUCT(UsagePast, (),
                      (device_id, window, from, to, covered_seconds, peak_bytes, lowest_bytes, average_bytes, allocated_count,
                       allocated_bytes, freed_count, freed_bytes, allocations_per_second, deallocations_per_second, mean_allocation_bytes,
                       by_owner, by_purpose, by_model))
template <>
inline constexpr auto description<UsagePast> = describe(
    "UsagePast",
    "What a device's memory did over a window, from the ledger. A restart of the core leaves no gap, another life of the memory does.",
    {device_id_field,
     {.member = "window", .tells = "As asked."},
     {.member = "from",
      .tells = "Where the first second, minute or hour begins that is known.",
      .example = R"("2026-01-31T07:15:00.000Z")"},
     {.member = "to", .tells = "Now.", .example = R"("2026-01-31T08:15:30.250Z")"},
     covered_seconds_field,
     peak_bytes_field,
     {.member = "lowest_bytes", .tells = "The least.", .example = "0", .unit = "bytes"},
     average_bytes_field,
     allocated_count_field,
     allocated_bytes_field,
     freed_count_field,
     freed_bytes_field,
     allocations_per_second_field,
     deallocations_per_second_field,
     {.member = "mean_allocation_bytes",
      .tells = "Allocated bytes by allocations made, rounded down.",
      .example = "2097152",
      .unit = "bytes"},
     {.member = "by_owner", .tells = "By owner, largest peak first. Who is no admin sees itself and vramd."},
     {.member = "by_purpose", .tells = "By purpose; empty for who is no admin."},
     {.member = "by_model", .tells = "By model."}});

struct UsageReport : Usage {
    std::vector<UsagePast> past;
};
BOOST_DESCRIBE_STRUCT(UsageReport, (Usage), (past))
template <>
inline constexpr auto description<UsageReport> = describe("UsageReport", "Who uses the memory now, and how it was used over the window.",
                                                          description<Usage>,
                                                          {{.member = "past", .tells = "Each device over the window."}});

// --------------------------------------------------------------------------------------------------------------------------- pressure
struct Trend {
    Direction direction{};
    u64 bytes_per_second = 0;
};
BOOST_DESCRIBE_STRUCT(Trend, (), (direction, bytes_per_second))
template <>
inline constexpr auto description<Trend> =
    describe("Trend", "How fast a use changes: least squares over the samples.",
             {{.member = "direction", .tells = "Whether it grows."},
              {.member = "bytes_per_second", .tells = "How fast, without its sign.", .example = "104857600", .unit = "bytes/s"}});

struct CallBody {
    std::optional<std::string> device_id;
    std::optional<std::string> strategy;
    std::optional<std::vector<std::string>> operations;
    std::optional<Percentage> target_pressure_percentage;
    std::optional<std::string> source_allocation_id;
    std::optional<std::string> target_device_id;
    std::optional<std::string> mode;
    std::optional<u64> max_bytes;
    std::optional<Percentage> max_percentage;
    std::optional<u64> reserve_bytes;
    std::optional<std::map<std::string, u64>> owner_quotas;
    std::optional<bool> enforce_immediately;
};
BOOST_DESCRIBE_STRUCT(CallBody, (),
                      (device_id, strategy, operations, target_pressure_percentage, source_allocation_id, target_device_id, mode, max_bytes,
                       max_percentage, reserve_bytes, owner_quotas, enforce_immediately))
template <>
inline constexpr auto description<CallBody> = describe(
    "CallBody", "The fields of the call's body, as that call takes them.",
    {{.member = "device_id", .tells = "The device.", .example = R"("host0")", .presence = Presence::optional},
     {.member = "strategy", .tells = "How.", .example = R"("balanced")", .presence = Presence::optional},
     {.member = "operations", .tells = "What.", .presence = Presence::optional},
     {.member = "target_pressure_percentage", .tells = "How far.", .example = "75.00", .unit = "%", .presence = Presence::optional},
     {.member = "source_allocation_id", .tells = "What to move.", .example = R"("alc_0q3xw8c5k2mznd1")", .presence = Presence::optional},
     {.member = "target_device_id", .tells = "Where to.", .example = R"("host0")", .presence = Presence::optional},
     {.member = "mode", .tells = "copy or move.", .example = R"("move")", .presence = Presence::optional},
     {.member = "max_bytes", .tells = "The limit that would do.", .example = "6442450944", .unit = "bytes", .presence = Presence::optional},
     {.member = "max_percentage", .tells = "The limit that would do.", .example = "100.00", .unit = "%", .presence = Presence::optional},
     {.member = "reserve_bytes", .tells = "The reserve that would do.", .example = "0", .unit = "bytes", .presence = Presence::optional},
     {.member = "owner_quotas", .tells = "The whole table of quotas, with the one that changes.", .presence = Presence::optional},
     {.member = "enforce_immediately",
      .tells = "That what is over the limits is reclaimed at once.",
      .example = "true",
      .presence = Presence::optional}});

struct CallTold {
    std::string method;
    std::string path;
    std::optional<CallBody> body;
};
BOOST_DESCRIBE_STRUCT(CallTold, (), (method, path, body))
template <>
inline constexpr auto description<CallTold> =
    describe("CallTold", "A call that can be made as it stands.",
             {{.member = "method", .tells = "The method.", .example = R"("POST")"},
              {.member = "path", .tells = "The path.", .example = R"("/api/memory/operations/optimize-models")"},
              {.member = "body", .tells = "The JSON body; absent: none.", .presence = Presence::optional}});

struct OutlookTold {
    u64 used_bytes = 0;
    u64 uncommitted_bytes = 0;
    u64 largest_free_bytes = 0;
    Percentage fragmentation_percentage;
    Percentage pressure_percentage;
};
BOOST_DESCRIBE_STRUCT(OutlookTold, (), (used_bytes, uncommitted_bytes, largest_free_bytes, fragmentation_percentage, pressure_percentage))
template <>
inline constexpr auto description<OutlookTold> =
    describe("Outlook", "How a device is, before or after.",
             {{.member = "used_bytes", .tells = "live and zombie.", .example = "2147483648", .unit = "bytes"},
              {.member = "uncommitted_bytes", .tells = "What any owner can have.", .example = "6442450944", .unit = "bytes"},
              {.member = "largest_free_bytes", .tells = "The largest free run.", .example = "6442450944", .unit = "bytes"},
              {.member = "fragmentation_percentage", .tells = "1 − largest free run ÷ free bytes.", .example = "0.00", .unit = "%"},
              {.member = "pressure_percentage", .tells = "The pressure's level.", .example = "25.00", .unit = "%"}});

struct Action {
    report::AdviceKind action{};
    std::string device_id;
    std::string reason;
    u64 freed_bytes = 0;
    OutlookTold before;
    OutlookTold after;
    CallTold call;
};
BOOST_DESCRIBE_STRUCT(Action, (), (action, device_id, reason, freed_bytes, before, after, call))
template <>
inline constexpr auto description<Action> = describe(
    "Action", "Something that helps: why, what it would bring, and the call that does it.",
    {{.member = "action", .tells = "What it is."},
     device_id_field,
     {.member = "reason", .tells = "Why, with figures.", .example = R"("2 models that nobody uses could be unloaded: 6893568 bytes.")"},
     {.member = "freed_bytes",
      .tells = "What it frees; of a limit, a reserve or a quota: what more can be had.",
      .example = "6893568",
      .unit = "bytes"},
     {.member = "before", .tells = "How the device is now."},
     {.member = "after", .tells = "How it would be: found by doing it to a copy."},
     {.member = "call", .tells = "The call that does it."}});

struct PressureThresholds {
    Percentage moderate{memory::moderate_from};
    Percentage high{memory::high_from};
    Percentage critical{memory::critical_from};
};
BOOST_DESCRIBE_STRUCT(PressureThresholds, (), (moderate, high, critical))
template <>
inline constexpr auto description<PressureThresholds> =
    describe("PressureThresholds", "From which level each band begins.",
             {{.member = "moderate", .tells = "Moderate from here.", .example = "75.00", .unit = "%"},
              {.member = "high", .tells = "High from here.", .example = "90.00", .unit = "%"},
              {.member = "critical", .tells = "Critical from here.", .example = "95.00", .unit = "%"}});

struct PressurePartTold {
    memory::PressurePart part{};
    Percentage level;
    u64 used_bytes = 0;
    u64 whole_bytes = 0;
    PressureCause cause{};
};
BOOST_DESCRIBE_STRUCT(PressurePartTold, (), (part, level, used_bytes, whole_bytes, cause))
template <>
inline constexpr auto description<PressurePartTold> =
    describe("PressurePartTold", "One part of the judgement.",
             {{.member = "part", .tells = "Which."},
              {.member = "level", .tells = "Its level.", .example = "25.00", .unit = "%"},
              {.member = "used_bytes", .tells = "What is used or taken of it; 0 for the stall.", .example = "2147483648", .unit = "bytes"},
              {.member = "whole_bytes", .tells = "Of how much; 0 for the stall.", .example = "8589934592", .unit = "bytes"},
              {.member = "cause", .tells = "Who holds more of it."}});

struct DevicePressure {
    std::string device_id;
    Percentage level;
    PressureBand band{};
    PressureCause cause{};
    memory::PressurePart decisive_part{};
    PressureThresholds thresholds;
    std::vector<PressurePartTold> parts;
    std::optional<Trend> trend;
    std::optional<u64> time_to_critical_seconds;
    PressureBand recorded_band{};
    std::optional<Time> recorded_since;
    u64 available_bytes = 0;
    u64 reclaimable_bytes = 0;
    Time measured_at;
    std::vector<Action> recommended_actions;
};
BOOST_DESCRIBE_STRUCT(DevicePressure, (),
                      (device_id, level, band, cause, decisive_part, thresholds, parts, trend, time_to_critical_seconds, recorded_band,
                       recorded_since, available_bytes, reclaimable_bytes, measured_at, recommended_actions))
template <>
inline constexpr auto description<DevicePressure> = describe(
    "DevicePressure", "How tight memory is on one device, measured on this call.",
    {device_id_field,
     {.member = "level", .tells = "The highest of the parts.", .example = "25.00", .unit = "%"},
     {.member = "band", .tells = "The level in words."},
     {.member = "cause", .tells = "Who makes it tight."},
     {.member = "decisive_part", .tells = "The part that has this level."},
     {.member = "thresholds", .tells = "Where the bands begin."},
     {.member = "parts", .tells = "All that was looked at; what the system does not say is left out."},
     {.member = "trend",
      .tells = "How the decisive part's use changes; absent until a second has been seen, and for the stall.",
      .presence = Presence::optional},
     {.member = "time_to_critical_seconds",
      .tells = "When critical is reached if all goes on so; absent if never or not within a week.",
      .example = "240",
      .unit = "s",
      .presence = Presence::optional},
     {.member = "recorded_band",
      .tells =
          "The band whose crossing was recorded last: a level counts after a second, and a band is left two points below its threshold."},
     {.member = "recorded_since",
      .tells = "Since when; absent while it is low.",
      .example = R"("2026-01-31T08:15:30.250Z")",
      .presence = Presence::optional},
     {.member = "available_bytes", .tells = "What can be had now without evicting.", .example = "6442450944", .unit = "bytes"},
     {.member = "reclaimable_bytes", .tells = "Models that could be evicted.", .example = "0", .unit = "bytes"},
     {.member = "measured_at", .tells = "When.", .example = R"("2026-01-31T08:15:30.250Z")"},
     {.member = "recommended_actions", .tells = "What helps, each with the call that does it; empty while it is low."}});

struct MemoryPressure {
    Percentage level;
    PressureBand band{};
    PressureCause cause{};
    std::vector<DevicePressure> devices;
};
BOOST_DESCRIBE_STRUCT(MemoryPressure, (), (level, band, cause, devices))
template <>
inline constexpr auto description<MemoryPressure> =
    describe("MemoryPressure", "How tight memory is, on the tightest device and on each.",
             {{.member = "level", .tells = "The highest of the devices.", .example = "25.00", .unit = "%"},
              {.member = "band", .tells = "The level in words."},
              {.member = "cause", .tells = "Who makes that device tight."},
              {.member = "devices", .tells = "Each device."}});
}  // namespace api
}  // namespace vramd
