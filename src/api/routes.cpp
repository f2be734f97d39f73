/// The route table: every call of the API, once. Dispatch, /openapi.json and the tests read this.
#include "api/handlers.hpp"
#include "api/route.hpp"

namespace vramd::api {
namespace {

/// What a call that is recorded can be refused with besides.
constexpr CodeSet change = codes(Code::read_only);
constexpr CodeSet device_named = codes(Code::not_found, Code::device_lost);

/// A row whose handler makes its own reply; `example` is one, where it has no shape.
constexpr Route own(http::Method method, const Told& told, Media media, http::Routing (*handle)(Call), std::string_view example = {}) {
    Route row = made::route(method, told);
    row.outcomes[0] = Outcome{200, told.success, media, nullptr, example};
    row.handle = handle;
    return row;
}

constexpr Route events_row() {
    Route row = own(http::Method::get,
                    {"/api/events", "streamEvents", events_section, "Follow what happens",
                     "Server-sent events of the ledger: `id:` is the event's number, `event:` its type, `data:` the event. A reader that "
                     "comes back with the last number that it saw, as browsers do by themselves, gets all that it missed, with no gap and "
                     "no double, through restarts of the daemon too. A user sees its own events, the devices' and the models', an admin "
                     "all. A slow reader reads at its own pace; one that takes nothing for 30 s is let go. Should the history end before "
                     "it is read, the stream ends with an event `problem`.",
                     "The events, one after the other.", codes(Code::history_gone, Code::not_found)},
                    Media::events, &stream_events);
    row.query = &shape_of<EventsQuery>;
    row.outcomes[0].shape = &shape_of<LedgerEvent>;
    row.header = {"Last-Event-ID", "The number of the last event seen: the stream goes on after it.", "1042"};
    return row;
}
constexpr Route read_content_row() {
    Route row = own(http::Method::get,
                    {"/api/memory/allocation/{id}/content", "readContent", content_section, "Read an allocation's bytes",
                     "Streams the content, all of it or the one range that Range names. New memory reads as zero. What is written at the "
                     "same time is seen "
                     "whole or not at all only chunk by chunk.",
                     "The bytes.", codes(Code::not_found, Code::conflict, Code::out_of_range, Code::device_lost)},
                    Media::octets, &read_content, "hello");
    row.outcomes[1] = Outcome{206, "The range of bytes that was asked for.", Media::octets, nullptr, "hello"};
    row.header = {"Range", "One range of bytes; several, or another unit, answer the whole.", "bytes=0-1023"};
    return row;
}

constexpr Route write_content_row() {
    Route row = own(
        http::Method::put,
        {"/api/memory/allocation/{id}/content", "writeContent", content_section, "Write an allocation's bytes",
         "Streams the body into the allocation: from its start, or where Content-Range says. What does not fit is refused, and nothing of "
         "it "
         "is written where the length was known. A body that breaks off leaves what had arrived.",
         "How much was written.", codes(Code::not_found, Code::conflict, Code::out_of_range, Code::device_lost)},
        Media::json, &write_content);
    row.outcomes[0].shape = &shape_of<Moved>;
    row.body_media = Media::octets;
    row.loses = "What the allocation held there.";
    row.header = {"Content-Range", "Where the body belongs; absent: at the start.", "bytes 0-1023/*"};
    return row;
}

constexpr Route read_limits_row() {
    Route row = get<&read_limits>({"/api/memory/limits/{device}", "readLimits", limits_section, "Read a device's limits",
                                   "What may be used of the device, by whom, and what that comes to now. The ETag changes with the limits.",
                                   "The limits.", codes(Code::not_found)});
    row.outcomes[1] = Outcome{304, "The limits are still those of If-None-Match's ETag.", Media::none, nullptr};
    row.header = {"If-None-Match", "Answer only if the limits are others than these, by their ETag.", "\"r3\""};
    return row;
}

constexpr Route set_limits_row() {
    Route row = put<&set_limits>({"/api/memory/limits/{device}", "setLimits", limits_section, "Set a device's limits",
                                  "For admins. Changes the limits that are named, from the next request on; what is in use stays in use, "
                                  "unless enforceImmediately takes back what "
                                  "can be taken back. Answers what they lead to: with dryRun that and nothing else.",
                                  "The limits and what they lead to.", change | codes(Code::not_found, Code::precondition_failed)});
    row.loses = "With enforceImmediately: the copies in memory of models that nobody uses, as many as the limits want.";
    row.header = {"If-Match", "Set them only if they are still these, by their ETag.", "\"r3\""};
    return row;
}

/// `unsupported`: memory of a type that the device has not, such as pinned memory of Direct3D 12.
constexpr CodeSet allocate_problems =
    change | device_named |
    codes(Code::insufficient_memory, Code::limit_exceeded, Code::quota_exceeded, Code::unsupported, Code::timed_out, Code::cancelled);
constexpr CodeSet load_problems =
    allocate_problems | codes(Code::path_not_allowed, Code::name_in_use, Code::invalid_model, Code::unsupported, Code::cancelled);
constexpr std::string_view load_tells =
    "Finds the file beneath a model folder, reads its header in a process of its own, takes exactly the memory that it needs and reads the "
    "tensors into "
    "it. A file that is loaded already is not loaded again: the name is added. The answer comes when the model is resident, unless "
    "waitForCompletion is "
    "false. Where clients hold what it needs and can be asked to let go, or another load is under way on the device, it waits for that, "
    "ten "
    "seconds at most.";
constexpr CodeSet upkeep_problems = change | codes(Code::not_found, Code::cancelled);
constexpr std::string_view upkeep_accepted = "Accepted: the operation at Location shows how far it is, and can be cancelled.";
constexpr std::string_view defragment_tells =
    "Moves allocations into holes of their owner's other blocks, so that blocks become empty and go back to what anybody can have. Ids and "
    "contents stay, nobody who reads or writes waits, and what is in use is left where it is. It survives the core's death.";
constexpr std::string_view optimize_tells =
    "Does one or several things that give memory back: see the operations. Each says what it did, what it left and why.";
constexpr std::string_view unloaded = "Copies of models in memory; the files stay, and a load reads them again.";
constexpr std::string_view optimized =
    "With cache: copies of models in memory; the files stay. With garbageCollect: what is in leases that ran out.";
constexpr std::string_view load_accepted = "Accepted: the operation at Location shows how far it is.";
constexpr std::string_view allocate_tells =
    "Takes memory and makes it ready: the answer comes when it can be used, and it reads as zero. Without room it waits for "
    "timeoutSeconds, then refuses and "
    "says what would make it fit.";

constexpr std::string_view transfer_tells =
    "Copies or moves bytes between two places, on one device or two, in chunks over all threads. A move has one authoritative copy at each "
    "instant, through a crash of the daemon too; to a device it keeps the id. Transfers take turns: the most urgent first, then owners in "
    "turn. The answer comes when it has ended, unless waitForCompletion is false.";

constexpr std::array table = {
    get<&read_health>({"/healthz", "readHealth", system_section, "Does it answer?",
                       "For a supervisor: 200 as long as the core answers at all.", "It answers."}),
    get<&read_readiness>({"/readyz", "readReadiness", system_section, "Does it serve?",
                          "200 once the core has recovered and records changes; degraded with a reason where a device is not well.",
                          "It serves.", codes(Code::read_only)}),
    get<&read_system>({"/api/system", "readSystem", system_section, "The daemon and its processes",
                       "Versions, processes, the ledger's place, what the last recovery took, and who the caller is.", "The daemon."}),
    get<&read_audit>({"/api/audit", "readAudit", system_section, "Do all books agree?",
                      "Recomputes every sum and compares state, devices and keeper. Costs time in proportion to what exists.",
                      "What was checked and found."}),

    get<&list_devices>(
        {"/api/devices", "listDevices", devices_section, "List the devices", "Every device that memory can be had of.", "The devices."}),
    get<&read_device>({"/api/devices/{device}", "readDevice", devices_section, "Read one device", "Kind, driver, capabilities and health.",
                       "The device.", codes(Code::not_found)}),
    get<&read_statuses>(
        {"/api/memory/status", "readStatuses", devices_section, "How all devices are",
         "Totals, use, health and its reasons; fragmentation, usage and allocations where asked for. Every figure is read on this call.",
         "The devices' status, together and each."}),
    get<&read_status>(
        {"/api/memory/status/{device}", "readStatus", devices_section, "How one device is",
         "Totals, use, health and its reasons; fragmentation, usage and allocations where asked for. Every figure is read on this call.",
         "The device's status.", codes(Code::not_found)}),
    get<&read_usage>({"/api/memory/usage", "readUsage", devices_section, "Who uses the memory",
                      "Of all devices, by owner, purpose and model: now, and over a window.", "The usage."}),
    get<&read_device_usage>({"/api/memory/usage/{device}", "readDeviceUsage", devices_section, "Who uses a device's memory",
                             "Of one device, by owner, purpose and model: now, and over a window.", "The usage.", codes(Code::not_found)}),
    get<&read_pressures>({"/api/memory/pressure", "readPressures", upkeep_section, "How tight memory is",
                          "Of every device: a level, who makes it so, how fast it changes, and what helps. Measured on this call.",
                          "The pressure."}),
    get<&read_pressure>({"/api/memory/pressure/{device}", "readPressure", upkeep_section, "How tight a device's memory is",
                         "A level, who makes it so, how fast it changes, and what helps. Measured on this call.", "The pressure.",
                         codes(Code::not_found)}),
    get<&read_analytics>({"/api/memory/analytics", "readAnalytics", upkeep_section, "What memory did over a window",
                          "Throughput, efficiency, trends and fragmentation over time, from the ledger's history.", "The analysis.",
                          codes(Code::not_found)}),
    get<&read_optimization>({"/api/memory/optimization", "readOptimization", upkeep_section, "What would help",
                             "Recommendations, most first, each with the call that does it and its effect, found by trying it on a copy "
                             "of the state.",
                             "The recommendations."}),
    get<&read_model_memory>({"/api/memory/models", "readModelMemory", models_section, "Model memory joined with device memory",
                             "What each model's header, the books and its device say of its memory, and whether all agree.",
                             "The models' memory."}),

    read_limits_row(),
    set_limits_row(),

    post<&allocate, 201>({"/api/memory/allocations/allocate", "allocate", allocations_section, "Allocate memory", allocate_tells,
                          "The allocation.", allocate_problems}),
    post<&allocate_here, 201>({"/api/memory/allocations/allocate/{device}", "allocateOnDevice", allocations_section,
                               "Allocate memory on a device", allocate_tells, "The allocation.", allocate_problems}),
    get<&list_allocations>({"/api/memory/allocations", "listAllocations", allocations_section, "List allocations",
                            "The caller's own, or for an admin all; newest first.", "A page of records.", codes(Code::not_found)}),
    get<&list_device_allocations>({"/api/memory/allocations/device/{device}", "listDeviceAllocations", allocations_section,
                                   "List a device's allocations", "The caller's own, or for an admin all; newest first.",
                                   "A page of records.", codes(Code::not_found)}),
    get<&read_allocation>({"/api/memory/allocation/{id}", "readAllocation", allocations_section, "Read one allocation",
                           "Another owner's id answers as a missing one. With includeHistory it tells the events of its life besides.",
                           "The record.", codes(Code::not_found)}),
    read_content_row(),
    write_content_row(),
    put<&renew_lease>({"/api/memory/allocation/{id}/lease", "renewLease", allocations_section, "Renew a lease",
                       "For memory that is not persistent. Reading or writing the content renews it too.", "The record.",
                       change | codes(Code::not_found)}),
    losing(
        or_accepted(
            remove<&free_allocation>(
                {"/api/memory/allocations/{id}", "freeAllocation", allocations_section, "Free an allocation",
                 "Gives the memory back. Memory that is being read or written, or that clients have attached, is refused as leased, unless "
                 "force waits for the former and leaves it to the latter, as a zombie.",
                 "What was freed.", change | codes(Code::not_found, Code::leased)}),
            "Accepted: the record at Location is there until the memory is freed.", &shape_of<Allocation>),
        "The bytes in it."),

    losing(post<&clear>({"/api/memory/operations/clear", "clear", content_section, "Fill memory with a byte",
                         "An allocation or a part of it, or all free memory of a device (for an admin).", "What was filled, and how fast.",
                         device_named | codes(Code::out_of_range)}),
           "What the allocation held there. A device's free memory holds nothing."),
    post<&clear_device>({"/api/memory/operations/clear/{device}", "clearDevice", content_section, "Fill a device's free memory with a byte",
                         "All that no allocation holds, in arenas and in the pool.", "What was filled, and how fast.", device_named}),
    losing(post<&optimize_models>(
               {"/api/memory/operations/optimize-models", "optimizeModels", upkeep_section, "Unload models to lower the pressure",
                "Unloads models that nobody pinned, uses or excluded, in the strategy's order, until the pressure is below the "
                "target. Each unload is decided anew; a dry run does it to a copy.",
                "What was unloaded, what was left and why.", codes(Code::not_found)}),
           unloaded),
    losing(post<&copy>({"/api/memory/operations/copy", "copy", content_section, "Copy within a device",
                        "From one allocation into another, or within one; overlapping ranges are copied as if through a buffer.",
                        "What was copied, and how fast.", device_named | codes(Code::out_of_range, Code::unsupported)}),
           "What the target held there."),
    or_accepted(post<&defragment>({"/api/memory/operations/defragment", "defragment", upkeep_section, "Defragment all devices",
                                   defragment_tells, "What was moved and gained.", upkeep_problems}),
                upkeep_accepted, &shape_of<Operation>),
    or_accepted(post<&defragment>({"/api/memory/operations/defragment/{device}", "defragmentDevice", upkeep_section, "Defragment a device",
                                   defragment_tells, "What was moved and gained.", upkeep_problems}),
                upkeep_accepted, &shape_of<Operation>),
    losing(or_accepted(post<&optimize>({"/api/memory/operations/optimize", "optimize", upkeep_section, "Optimize all devices",
                                        optimize_tells, "What was done and gained.", upkeep_problems}),
                       upkeep_accepted, &shape_of<Operation>),
           optimized),
    losing(or_accepted(post<&optimize>({"/api/memory/operations/optimize/{device}", "optimizeDevice", upkeep_section, "Optimize a device",
                                        optimize_tells, "What was done and gained.", upkeep_problems}),
                       upkeep_accepted, &shape_of<Operation>),
           optimized),

    losing(or_accepted(post<&transfer, 201>({"/api/memory/transfer", "transfer", transfers_section, "Transfer between devices",
                                             transfer_tells, "The transfer, ended.",
                                             change | device_named |
                                                 codes(Code::insufficient_memory, Code::leased, Code::pinned, Code::out_of_range,
                                                       Code::timed_out, Code::cancelled, Code::limit_exceeded, Code::quota_exceeded)}),
                       "Accepted: the transfer at Location shows how far it is.", &shape_of<Transfer>),
           "With targetAllocationId: what that held there."),
    get<&list_transfers>({"/api/memory/transfers", "listTransfers", transfers_section, "List transfers",
                          "The caller's own, or for an admin all; newest first. Ended ones stay for a while.", "A page of transfers.",
                          codes(Code::not_found)}),
    get<&read_transfer>({"/api/memory/transfer/{id}", "readTransfer", transfers_section, "How far a transfer is",
                         "Progress, rate beside the link's measured limit, what is left; why it failed.", "The transfer.",
                         codes(Code::not_found)}),
    losing(remove<&cancel_transfer>({"/api/memory/transfer/{id}", "cancelTransfer", transfers_section, "Cancel a transfer",
                                     "Ends it and gives back what it had taken; the source stays as it is. What has ended already is "
                                     "refused, and told how it ended.",
                                     "The transfer.", change | codes(Code::not_found)}),
           "What it has copied so far."),

    get<&list_available_models>(
        {"/api/model/available", "listAvailableModels", models_section, "Find model files",
         "Every model file beneath the model folders, with the exact memory that a load takes, read from its header. A file that "
         "cannot be loaded says why.",
         "A page of files."}),
    or_accepted(
        post<&load_model>({"/api/model/load", "loadModel", models_section, "Load a model", load_tells, "The model.", load_problems}),
        load_accepted, &shape_of<Operation>),
    or_accepted(post<&load_model_here>({"/api/model/load/{device}", "loadModelOnDevice", models_section, "Load a model onto a device",
                                        load_tells, "The model.", load_problems}),
                load_accepted, &shape_of<Operation>),
    get<&read_model_status>({"/api/model/status", "readModelStatus", models_section, "Which models are loaded", "On all devices together.",
                             "The models and what they take."}),
    get<&read_device_model_status>({"/api/model/status/{device}", "readDeviceModelStatus", models_section, "Which models a device holds",
                                    "On one device.", "The models and what they take.", codes(Code::not_found)}),
    get<&read_model>(
        {"/api/model/info", "readModel", models_section, "Read one model", "By any of its names.", "The record.", codes(Code::not_found)}),
    get<&list_tensors>({"/api/model/{name}/tensors", "listTensors", models_section, "List a model's tensors",
                        "Name, type, shape and place of each, in the order of the file.", "A page of tensors.", codes(Code::not_found)}),
    get<&list_cache>({"/api/model/cache", "readModelCache", models_section, "What the RAM cache holds",
                      "Where it is, what it may hold, and the models whose bytes are there; newest first.",
                      "The cache, with a page of models."}),
    or_accepted(post<&cache_model>({"/api/model/cache", "cacheModel", models_section, "Bring a model into the RAM cache",
                                    "Its bytes come from the file, so that a load needs no disk. It is loaded on no device by it.",
                                    "The model.", load_problems}),
                load_accepted, &shape_of<Operation>),
    losing(remove<&empty_cache>({"/api/model/cache", "emptyModelCache", models_section, "Empty the RAM cache",
                                 "Gives up every copy that nobody uses or has loaded.", "What was freed.", change}),
           unloaded),
    get<&read_cached_model>({"/api/model/cache/{name}", "readCachedModel", models_section, "Read a model in the RAM cache",
                             "By any of its names.", "The record.", codes(Code::not_found)}),
    or_accepted(post<&cache_known_model>({"/api/model/cache/{name}", "cacheKnownModel", models_section,
                                          "Bring a model that is loaded into the RAM cache too",
                                          "Where it is there already, nothing is done.", "The model.", load_problems}),
                load_accepted, &shape_of<Operation>),
    losing(remove<&uncache_model>({"/api/model/cache/{name}", "uncacheModel", models_section, "Give up a model's copy in the RAM cache",
                                   "Where it is loaded on the cache's own device, that is the same memory: unload it instead.",
                                   "What was freed.", change | codes(Code::not_found, Code::leased)}),
           unloaded),
    losing(remove<&unload_model>({"/api/model/unload", "unloadModel", models_section, "Unload a model",
                                  "From wherever it is. Where the RAM cache is, its bytes stay there as long as the cache has room.",
                                  "What was freed.", change | codes(Code::not_found, Code::leased)}),
           unloaded),
    losing(
        remove<&unload_model_here>({"/api/model/unload/{device}", "unloadModelFromDevice", models_section, "Unload a model from a device",
                                    "From this device only.", "What was freed.", change | codes(Code::not_found, Code::leased)}),
        unloaded),

    get<&list_operations>({"/api/operations", "listOperations", progress_section, "List long work",
                           "The caller's own, or for an admin all; newest first.", "A page of operations."}),
    get<&read_operation>({"/api/operations/{id}", "readOperation", progress_section, "How far it is",
                          "Progress, rate and what is left; why it failed.", "The operation.", codes(Code::not_found)}),
    losing(remove<&cancel_operation>(
               {"/api/operations/{id}", "cancelOperation", progress_section, "Cancel it",
                "Ends the work and gives back what it had taken. What has ended already is refused, and told how it ended.",
                "The operation.", change | codes(Code::not_found)}),
           "The work that it has done so far."),

    events_row(),
    own(http::Method::get,
        {"/metrics", "readMetrics", events_section, "Figures for Prometheus",
         "Every figure of the daemon in Prometheus' text format, as it is now. Names are stable; labels are few.", "The metrics."},
        Media::text, &read_metrics,
        "# HELP vramd_device_available_bytes Bytes that can be had now without evicting.\n"
        "# TYPE vramd_device_available_bytes gauge\n"
        "vramd_device_available_bytes{device=\"host0\"} 6442450944\n"),

    own(http::Method::get,
        {"/openapi.json", "readOpenapi", system_section, "This document",
         "OpenAPI 3.1, made from the table that the daemon itself dispatches by.", "The document."},
        Media::json, &read_openapi, R"({"openapi":"3.1.0","info":{"title":"vramd"},"tags":[{"name":"Devices"}]})"),
    own(http::Method::get, {"/problems", "listProblems", system_section, "All kinds of problem", "A page for people.", "The page."},
        Media::html, &read_problems, "<!doctype html><html lang=\"en\"><head><title>Problems</title></head></html>"),
    own(http::Method::get,
        {"/problems/{code}", "readProblem", system_section, "One kind of problem",
         "What a problem document's type leads to: what it means and what to do.", "The page.", codes(Code::not_found)},
        Media::html, &read_problem, "<!doctype html><html lang=\"en\"><head><title>There is not enough memory</title></head></html>"),
};
}  // namespace

std::span<const Route> routes() { return table; }
}  // namespace vramd::api
