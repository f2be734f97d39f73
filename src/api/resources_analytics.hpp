/// Analytics, advice and model memory as answers show them.
#pragma once
#include "api/resources_insight.hpp"
#include "api/resources_model.hpp"

namespace vramd::api {
/// Transfers, copies or clears.
struct WorkThroughput {
    u64 count = 0;
    u64 bytes = 0;
    std::optional<u64> bytes_per_second;
    std::optional<Percentage> efficiency_percentage;
    u64 limit_bytes_per_second = 0;
};
BOOST_DESCRIBE_STRUCT(WorkThroughput, (), (count, bytes, bytes_per_second, efficiency_percentage, limit_bytes_per_second))
template <>
inline constexpr auto description<WorkThroughput> =
    describe("WorkThroughput", "What was done of one kind of work, and how fast.",
             {{.member = "count", .tells = "How many ended well.", .example = "3"},
              {.member = "bytes", .tells = "Their bytes.", .example = "3145728", .unit = "bytes"},
              {.member = "bytes_per_second",
               .tells = "Their bytes by their own time; absent without any.",
               .example = "12000000000",
               .unit = "bytes/s",
               .presence = Presence::optional},
              {.member = "efficiency_percentage",
               .tells = "That rate of the limit; 100 where it was as fast or faster; absent until the limit is measured.",
               .example = "91.20",
               .unit = "%",
               .presence = Presence::optional},
              {.member = "limit_bytes_per_second",
               .tells = "What this machine's memory can do of it, measured after the start; 0 until then.",
               .example = "13157894736",
               .unit = "bytes/s"}});

struct Throughput {
    Rate allocations_per_second;
    Rate deallocations_per_second;
    u64 allocated_bytes_per_second = 0;
    u64 freed_bytes_per_second = 0;
    WorkThroughput transfers;
    WorkThroughput copies;
    WorkThroughput clears;
};
BOOST_DESCRIBE_STRUCT(Throughput, (),
                      (allocations_per_second, deallocations_per_second, allocated_bytes_per_second, freed_bytes_per_second, transfers,
                       copies, clears))
template <>
inline constexpr auto description<Throughput> = describe(
    "Throughput", "How much happened, over the covered time.",
    {allocations_per_second_field,
     deallocations_per_second_field,
     {.member = "allocated_bytes_per_second", .tells = "Bytes taken.", .example = "6990", .unit = "bytes/s"},
     {.member = "freed_bytes_per_second", .tells = "Bytes given back.", .example = "5825", .unit = "bytes/s"},
     {.member = "transfers", .tells = "Transfers from, to or within the device that ended well."},
     {.member = "copies", .tells = "Calls of operations/copy in the window, of this start of the core: the ledger does not keep them."},
     {.member = "clears", .tells = "The same of operations/clear; a device's free memory counts as one."}});

struct Efficiency {
    Percentage average_usage_percentage;
    Percentage peak_usage_percentage;
    u64 requested_bytes = 0;
    u64 granted_bytes = 0;
    Percentage rounding_loss_percentage;
    u64 arena_bytes = 0;
    u64 arena_used_bytes = 0;
    Percentage arena_usage_percentage;
};
BOOST_DESCRIBE_STRUCT(Efficiency, (),
                      (average_usage_percentage, peak_usage_percentage, requested_bytes, granted_bytes, rounding_loss_percentage,
                       arena_bytes, arena_used_bytes, arena_usage_percentage))
template <>
inline constexpr auto description<Efficiency> =
    describe("Efficiency", "How well the memory is used. The first two over the window, the rest now.",
             {{.member = "average_usage_percentage", .tells = "Mean use of the capacity.", .example = "25.00", .unit = "%"},
              {.member = "peak_usage_percentage", .tells = "Peak use of the capacity.", .example = "50.00", .unit = "%"},
              {.member = "requested_bytes", .tells = "What allocations asked for.", .example = "2097000", .unit = "bytes"},
              {.member = "granted_bytes", .tells = "What they take.", .example = "2097152", .unit = "bytes"},
              {.member = "rounding_loss_percentage", .tells = "Granted and not asked for.", .example = "0.01", .unit = "%"},
              {.member = "arena_bytes", .tells = "Blocks that hold many allocations.", .example = "4194304", .unit = "bytes"},
              {.member = "arena_used_bytes", .tells = "What of them is used.", .example = "2097152", .unit = "bytes"},
              {.member = "arena_usage_percentage", .tells = "That share.", .example = "50.00", .unit = "%"}});

struct AnalyticsPoint {
    Time at;
    u64 peak_bytes = 0;
    u64 average_bytes = 0;
    u64 allocated_count = 0;
    u64 freed_count = 0;
};
BOOST_DESCRIBE_STRUCT(AnalyticsPoint, (), (at, peak_bytes, average_bytes, allocated_count, freed_count))
template <>
inline constexpr auto description<AnalyticsPoint> =
    describe("AnalyticsPoint", "One second, minute or hour.",
             {{.member = "at", .tells = "Where it begins.", .example = R"("2026-01-31T08:15:00.000Z")"},
              peak_bytes_field,
              average_bytes_field,
              allocated_count_field,
              freed_count_field});

struct FragmentationPoint {
    Time at;
    Percentage fragmentation_percentage;
    u64 smallest_largest_free_bytes = 0;
    u64 holes = 0;
    Percentage pressure_percentage;
};
BOOST_DESCRIBE_STRUCT(FragmentationPoint, (), (at, fragmentation_percentage, smallest_largest_free_bytes, holes, pressure_percentage))
template <>
inline constexpr auto description<FragmentationPoint> =
    describe("FragmentationPoint", "The worst of one minute or hour, looked at once a second since the core started.",
             {{.member = "at", .tells = "Where it begins.", .example = R"("2026-01-31T08:15:00.000Z")"},
              {.member = "fragmentation_percentage", .tells = "The highest.", .example = "25.00", .unit = "%"},
              {.member = "smallest_largest_free_bytes",
               .tells = "The least that the largest free run was.",
               .example = "6442450944",
               .unit = "bytes"},
              {.member = "holes", .tells = "The most free runs.", .example = "4"},
              {.member = "pressure_percentage", .tells = "The highest pressure.", .example = "25.00", .unit = "%"}});

struct Trends {
    std::optional<Trend> usage;
    std::optional<Direction> fragmentation;
    Percentage pressure_peak_percentage;
};
BOOST_DESCRIBE_STRUCT(Trends, (), (usage, fragmentation, pressure_peak_percentage))
template <>
inline constexpr auto description<Trends> =
    describe("Trends", "Where it goes, over the window.",
             {{.member = "usage", .tells = "The bytes held; absent while too little is known.", .presence = Presence::optional},
              {.member = "fragmentation",
               .tells = "The first point against the last; absent while too little is known.",
               .presence = Presence::optional},
              {.member = "pressure_peak_percentage", .tells = "The highest pressure seen.", .example = "25.00", .unit = "%"}});

struct DeviceAnalytics {
    std::string device_id;
    Rate covered_seconds;
    Throughput throughput;
    Efficiency efficiency;
    Trends trends;
    Fragmentation fragmentation;
    std::vector<FragmentationPoint> fragmentation_points;
    std::vector<AnalyticsPoint> points;
};
BOOST_DESCRIBE_STRUCT(DeviceAnalytics, (),
                      (device_id, covered_seconds, throughput, efficiency, trends, fragmentation, fragmentation_points, points))
template <>
inline constexpr auto description<DeviceAnalytics> = describe("DeviceAnalytics", "One device over a window.",
                                                              {device_id_field,
                                                               covered_seconds_field,
                                                               {.member = "throughput", .tells = "How much happened."},
                                                               {.member = "efficiency", .tells = "How well the memory is used."},
                                                               {.member = "trends", .tells = "Where it goes."},
                                                               {.member = "fragmentation", .tells = "How the free memory lies now."},
                                                               {.member = "fragmentation_points", .tells = "How it lay, by time."},
                                                               {.member = "points", .tells = "What was held, by time."}});

struct Analytics {
    report::Window window{};
    Time from;
    Time to;
    std::vector<DeviceAnalytics> devices;
};
BOOST_DESCRIBE_STRUCT(Analytics, (), (window, from, to, devices))
template <>
inline constexpr auto description<Analytics> =
    describe("Analytics", "What the memory did over a window.",
             {{.member = "window", .tells = "As asked."},
              {.member = "from", .tells = "The earliest that is known of it.", .example = R"("2026-01-31T07:15:00.000Z")"},
              {.member = "to", .tells = "Now.", .example = R"("2026-01-31T08:15:30.250Z")"},
              {.member = "devices", .tells = "Each device."}});

struct Recommendations {
    Time measured_at;
    std::vector<Action> recommendations;
};
BOOST_DESCRIBE_STRUCT(Recommendations, (), (measured_at, recommendations))
template <>
inline constexpr auto description<Recommendations> =
    describe("Recommendations", "What would help, most first.",
             {{.member = "measured_at", .tells = "When.", .example = R"("2026-01-31T08:15:30.250Z")"},
              {.member = "recommendations",
               .tells = "By how far they lower the pressure, then by the bytes freed. Each was tried on a copy of the state."}});

// ----------------------------------------------------------------------------------------------------------------------------- models
struct ModelMemory {
    std::string name;
    std::string device_id;
    ModelTier tier{};
    ModelState state{};
    std::string allocation_id;
    u64 predicted_bytes = 0;
    u64 size_bytes = 0;
    u64 tensor_bytes = 0;
    u64 block_bytes = 0;
    bool on_device = false;
    bool agrees = false;
    bool is_pinned = false;
    std::vector<std::string> differences;
};
BOOST_DESCRIBE_STRUCT(ModelMemory, (),
                      (name, device_id, tier, state, allocation_id, predicted_bytes, size_bytes, tensor_bytes, block_bytes, on_device, agrees,
                       is_pinned, differences))
template <>
inline constexpr auto description<ModelMemory> =
    describe("ModelMemory", "One model's memory as its header, the books and the device know it.",
             {{.member = "name", .tells = "The name it was loaded by.", .example = R"("detector")"},
              device_id_field,
              {.member = "tier", .tells = "What it is kept for there."},
              {.member = "state", .tells = "Whether it is there."},
              {.member = "allocation_id", .tells = "Its memory.", .example = R"("alc_0q3xw8c5k2mznd1")"},
              {.member = "predicted_bytes", .tells = "What its header says a load takes.", .example = "2191360", .unit = "bytes"},
              {.member = "size_bytes", .tells = "What it takes by the books.", .example = "2191360", .unit = "bytes"},
              {.member = "tensor_bytes", .tells = "Its tensors alone.", .example = "2190848", .unit = "bytes"},
              {.member = "block_bytes", .tells = "The block that holds it.", .example = "2191360", .unit = "bytes"},
              {.member = "on_device", .tells = "The device has that block.", .example = "true"},
              {.member = "agrees", .tells = "All of it agrees.", .example = "true"},
              {.member = "is_pinned", .tells = "It is never evicted.", .example = "false"},
              {.member = "differences", .tells = "What does not agree, a sentence each."}});

struct DeviceModels {
    std::string device_id;
    u64 model_count = 0;
    u64 model_bytes = 0;
    u64 device_bytes = 0;
    bool agrees = false;
    std::vector<ModelMemory> models;
};
BOOST_DESCRIBE_STRUCT(DeviceModels, (), (device_id, model_count, model_bytes, device_bytes, agrees, models))
template <>
inline constexpr auto description<DeviceModels> =
    describe("DeviceModels", "A device's models: model memory joined with device memory.",
             {device_id_field,
              {.member = "model_count", .tells = "Models on it.", .example = "2"},
              {.member = "model_bytes", .tells = "What the models say they take.", .example = "6893568", .unit = "bytes"},
              {.member = "device_bytes", .tells = "What the books say models hold there.", .example = "6893568", .unit = "bytes"},
              {.member = "agrees", .tells = "Both are equal, and each model agrees.", .example = "true"},
              {.member = "models", .tells = "Each model."}});

struct ModelsMemory {
    bool agrees = false;
    std::vector<DeviceModels> devices;
};
BOOST_DESCRIBE_STRUCT(ModelsMemory, (), (agrees, devices))
template <>
inline constexpr auto description<ModelsMemory> =
    describe("ModelsMemory", "Model memory joined with device memory.",
             {{.member = "agrees", .tells = "Models and devices agree everywhere.", .example = "true"},
              {.member = "devices", .tells = "Each device."}});

struct OptimizeModelsRequest {
    std::optional<std::string> device_id;
    model::EvictionPolicy strategy = model::EvictionPolicy::balanced;
    std::optional<Percentage> target_pressure_percentage;
    std::vector<std::string> exclude_models;
    std::optional<u64> max_models;
    std::optional<u64> max_bytes;
    bool dry_run = false;
};
BOOST_DESCRIBE_STRUCT(OptimizeModelsRequest, (),
                      (device_id, strategy, target_pressure_percentage, exclude_models, max_models, max_bytes, dry_run))
template <>
inline constexpr auto description<OptimizeModelsRequest> = describe(
    "OptimizeModelsRequest", "Which models to unload, and how far.",
    {{.member = "device_id",
      .tells = "One device; absent: all.",
      .example = R"("host0")",
      .min = 1,
      .max = 64,
      .presence = Presence::optional},
     {.member = "strategy", .tells = "In which order, and how far by itself.", .presence = Presence::optional},
     {.member = "target_pressure_percentage",
      .tells = "Unload until the pressure is below this; 0: all that may go. Absent: the strategy's.",
      .example = "75.00",
      .unit = "%",
      .max = 100'00,
      .presence = Presence::optional},
     {.member = "exclude_models", .tells = "Names of models that stay.", .max = 1000, .presence = Presence::optional},
     {.member = "max_models", .tells = "Unload at most so many.", .example = "10", .presence = Presence::optional},
     {.member = "max_bytes", .tells = "Unload at most so much.", .example = "8589934592", .unit = "bytes", .presence = Presence::optional},
     {.member = "dry_run",
      .tells = "True: tell what would be done, found on a copy, and do nothing.",
      .example = "false",
      .presence = Presence::optional}});

struct ModelOutcome {
    std::string name;
    std::string device_id;
    u64 size_bytes = 0;
    std::optional<model::Stays> stays;
    std::optional<std::string> detail;
};
BOOST_DESCRIBE_STRUCT(ModelOutcome, (), (name, device_id, size_bytes, stays, detail))
template <>
inline constexpr auto description<ModelOutcome> =
    describe("ModelOutcome", "What became of one model.",
             {{.member = "name", .tells = "The name it was loaded by.", .example = R"("detector")"},
              device_id_field,
              {.member = "size_bytes", .tells = "What it takes or took.", .example = "2191360", .unit = "bytes"},
              {.member = "stays", .tells = "Why it is left; absent: it was unloaded, or would be.", .presence = Presence::optional},
              {.member = "detail",
               .tells = "Why an unload was refused.",
               .example = R"("The model is being read.")",
               .presence = Presence::optional}});

struct DeviceOutcome {
    std::string device_id;
    Percentage target_pressure_percentage;
    bool target_reached = false;
    u64 freed_bytes = 0;
    OutlookTold before;
    OutlookTold after;
};
BOOST_DESCRIBE_STRUCT(DeviceOutcome, (), (device_id, target_pressure_percentage, target_reached, freed_bytes, before, after))
template <>
inline constexpr auto description<DeviceOutcome> =
    describe("DeviceOutcome", "One device before and after.",
             {device_id_field,
              {.member = "target_pressure_percentage", .tells = "What was to be reached.", .example = "75.00", .unit = "%"},
              {.member = "target_reached", .tells = "The pressure is below it.", .example = "true"},
              {.member = "freed_bytes", .tells = "What came back.", .example = "6893568", .unit = "bytes"},
              {.member = "before", .tells = "How the device was."},
              {.member = "after", .tells = "How it is, measured; of a dry run: as the copy is."}});

struct OptimizedModels {
    bool dry_run = false;
    u64 freed_bytes = 0;
    Milliseconds duration_ms;
    std::vector<DeviceOutcome> devices;
    std::vector<ModelOutcome> unloaded;
    std::vector<ModelOutcome> left;
};
BOOST_DESCRIBE_STRUCT(OptimizedModels, (), (dry_run, freed_bytes, duration_ms, devices, unloaded, left))
template <>
inline constexpr auto description<OptimizedModels> =
    describe("OptimizedModels", "What was unloaded, what was left and why.",
             {{.member = "dry_run", .tells = "Nothing was done.", .example = "false"},
              {.member = "freed_bytes", .tells = "On all devices.", .example = "6893568", .unit = "bytes"},
              {.member = "duration_ms", .tells = "How long it took.", .example = "1.250", .unit = "ms"},
              {.member = "devices", .tells = "Each device."},
              {.member = "unloaded", .tells = "What went, in that order."},
              {.member = "left", .tells = "What stays, and why."}});
}  // namespace vramd::api
