/// The resources of /api/model and /api/operations.
#pragma once
#include "api/problem.hpp"
#include "api/resources_parts.hpp"
#include "api/resources_upkeep.hpp"

namespace vramd::api {

struct ModelLoadRequest {
    std::string name;
    std::string path;
    ModelType type = ModelType::other;
    std::optional<u64> estimated_size_mb;
    std::optional<std::string> device_id;
    Priority priority = Priority::normal;
    bool pinned = false;
    bool wait_for_completion = true;
};
BOOST_DESCRIBE_STRUCT(ModelLoadRequest, (), (name, path, type, estimated_size_mb, device_id, priority, pinned, wait_for_completion))
template <>
inline constexpr auto description<ModelLoadRequest> = describe(
    "ModelLoadRequest", "Which model to load, and where.",
    {{.member = "name", .tells = "What it is to be called.", .example = R"("detector")", .min = 1, .max = model_name_bytes_max},
     {.member = "path",
      .tells = "The file, relative to a model folder, or absolute beneath one. Of a model in several files: the index, or the .onnx file.",
      .example = R"("ocr/ch_PP-OCRv4_det_infer.onnx")",
      .min = 1,
      .max = text_bytes_max},
     {.member = "type", .tells = "What it does.", .example = R"("other")"},
     {.member = "estimated_size_mb",
      .tells = "What the caller expects; the file's header is the truth.",
      .example = "5",
      .unit = "MiB",
      .min = 1,
      .max = number_max / mib,
      .presence = Presence::optional},
     {.member = "device_id",
      .tells = "Where; absent: where the model is, else the device with most room.",
      .example = R"("host0")",
      .min = 1,
      .max = 64,
      .presence = Presence::optional},
     {.member = "priority", .tells = "In which order loads get room.", .presence = Presence::optional},
     {.member = "pinned", .tells = "True: never evicted.", .presence = Presence::optional},
     {.member = "wait_for_completion",
      .tells = "False: answer 202 at once; the operation at Location shows progress and can be cancelled.",
      .presence = Presence::optional}});

/// The same for a device that the path names.
struct ModelLoadHereRequest {
    std::string name;
    std::string path;
    ModelType type = ModelType::other;
    std::optional<u64> estimated_size_mb;
    Priority priority = Priority::normal;
    bool pinned = false;
    bool wait_for_completion = true;
};
BOOST_DESCRIBE_STRUCT(ModelLoadHereRequest, (), (name, path, type, estimated_size_mb, priority, pinned, wait_for_completion))
template <>
inline constexpr auto description<ModelLoadHereRequest> = describe_without(description<ModelLoadRequest>, "device_id",
                                                                           "ModelLoadHereRequest",
                                                                           "Which model to load onto the device that the path names.");

struct Place {
    std::string device_id;
    ModelTier tier = ModelTier::device;
    ModelState state = ModelState::loading;
    std::string allocation_id;
    u64 size_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(Place, (), (device_id, tier, state, allocation_id, size_bytes))
template <>
inline constexpr auto description<Place> =
    describe("Place", "Where a model's bytes are.",
             {device_id_field,
              {.member = "tier", .tells = "What they are kept for there."},
              {.member = "state", .tells = "loading or resident.", .example = R"("resident")"},
              {.member = "allocation_id", .tells = "The allocation that holds them.", .example = R"("alc_0q3xw8c5k2mznd1")"},
              {.member = "size_bytes", .tells = "What they take there.", .example = "4745517", .unit = "bytes"}});

struct Model {
    std::string id;
    std::string name;
    std::vector<std::string> names;
    std::string path;
    ModelType type = ModelType::other;
    ModelFormat format = ModelFormat::safetensors;
    ModelState state = ModelState::loading;
    u64 predicted_bytes = 0;
    u64 size_bytes = 0;
    u64 tensor_bytes = 0;
    u64 tensor_count = 0;
    std::optional<u64> estimated_size_mb;
    bool pinned = false;
    u64 attached_clients = 0;
    std::vector<Place> places;
    std::string operation_id;
    std::optional<Time> loaded_at;
    std::optional<Milliseconds> load_ms;
    std::optional<u64> load_bytes_per_second;
};
BOOST_DESCRIBE_STRUCT(Model, (),
                      (id, name, names, path, type, format, state, predicted_bytes, size_bytes, tensor_bytes, tensor_count,
                       estimated_size_mb, pinned, attached_clients, places, operation_id, loaded_at, load_ms, load_bytes_per_second))
template <>
inline constexpr auto description<Model> = describe(
    "Model", "The record of one model.",
    {{.member = "id",
      .tells = "Opaque; of the file's content, so that two names for one file share it.",
      .example = R"("mdl_3d9fk1m2q8wxyz4")"},
     {.member = "name", .tells = "What it was loaded as.", .example = R"("detector")"},
     {.member = "names", .tells = "All names it goes by.", .example = R"(["detector"])"},
     {.member = "path", .tells = "The file, as the load named it.", .example = R"("ocr/ch_PP-OCRv4_det_infer.onnx")"},
     {.member = "type", .tells = "What it does.", .example = R"("other")"},
     {.member = "format", .tells = "The file's format.", .example = R"("onnx")"},
     {.member = "state", .tells = "Whether it can be used.", .example = R"("resident")"},
     {.member = "predicted_bytes", .tells = "What the header said a load takes.", .example = "4745517", .unit = "bytes"},
     {.member = "size_bytes", .tells = "What it takes at the first of its places.", .example = "4745517", .unit = "bytes"},
     {.member = "tensor_bytes", .tells = "Of which tensors; the rest is alignment.", .example = "4701004", .unit = "bytes"},
     {.member = "tensor_count", .tells = "Its tensors.", .example = "342"},
     {.member = "estimated_size_mb", .tells = "What the caller expected.", .example = "5", .unit = "MiB", .presence = Presence::optional},
     {.member = "pinned", .tells = "True: never evicted.", .example = "false"},
     {.member = "attached_clients",
      .tells = "Connections of the attach protocol that hold it now: while there are any it is neither unloaded nor evicted.",
      .example = "0"},
     {.member = "places", .tells = "Where its bytes are: each device once, the best one to use first."},
     {.member = "operation_id", .tells = "The operation that loaded it.", .example = R"("op_5g7hj2k4m6npqr8")"},
     {.member = "loaded_at",
      .tells = "When it became resident.",
      .example = R"("2026-01-31T08:15:30.250Z")",
      .presence = Presence::optional},
     {.member = "load_ms", .tells = "How long its load took.", .example = "3.218", .unit = "ms", .presence = Presence::optional},
     {.member = "load_bytes_per_second",
      .tells = "Its size by that time.",
      .example = "1474679000",
      .unit = "bytes/s",
      .presence = Presence::optional}});

struct ModelList {
    std::vector<Model> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(ModelList, (), (items, next_cursor))
template <>
inline constexpr auto description<ModelList> = describe("ModelList", "Models, newest first.",
                                                        {{.member = "items", .tells = "The records."}, next_cursor_field});

/// The RAM cache and what lies in it.
struct ModelCache {
    std::optional<std::string> device_id;
    u64 max_bytes = 0;
    u64 used_bytes = 0;
    std::vector<Model> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(ModelCache, (), (device_id, max_bytes, used_bytes, items, next_cursor))
template <>
inline constexpr auto description<ModelCache> = describe(
    "ModelCache", "The RAM cache and the models in it, newest first.",
    {{.member = "device_id", .tells = "Where it is; absent: there is none.", .example = R"("host0")", .presence = Presence::optional},
     {.member = "max_bytes", .tells = "What it may hold beside models that are loaded.", .example = "6871947673", .unit = "bytes"},
     {.member = "used_bytes", .tells = "What it holds of these.", .example = "4745517", .unit = "bytes"},
     {.member = "items", .tells = "The models whose bytes are there, also those that are loaded there: these are the same memory."},
     next_cursor_field});

/// What to bring into the RAM cache.
struct ModelCacheRequest {
    std::string name;
    std::string path;
    ModelType type = ModelType::other;
    std::optional<u64> estimated_size_mb;
    Priority priority = Priority::normal;
    bool wait_for_completion = true;
};
BOOST_DESCRIBE_STRUCT(ModelCacheRequest, (), (name, path, type, estimated_size_mb, priority, wait_for_completion))
template <>
inline constexpr auto description<ModelCacheRequest> =
    describe_without(description<ModelLoadHereRequest>, "pinned", "ModelCacheRequest", "Which model to bring into the RAM cache.");

struct ModelStatus {
    std::optional<std::string> device_id;
    u64 model_count = 0;
    u64 memory_usage_bytes = 0;
    Mebibytes memory_usage_mb;
    Mebibytes memory_limit_mb;
    Mebibytes available_memory_mb;
    std::vector<Model> loaded_models;
};
BOOST_DESCRIBE_STRUCT(ModelStatus, (),
                      (device_id, model_count, memory_usage_bytes, memory_usage_mb, memory_limit_mb, available_memory_mb, loaded_models))
template <>
inline constexpr auto description<ModelStatus> = describe(
    "ModelStatus", "Which models are loaded, and what they take.",
    {{.member = "device_id", .tells = "The device; absent for all together.", .example = R"("host0")", .presence = Presence::optional},
     {.member = "model_count", .tells = "Models, loading ones included.", .example = "1"},
     {.member = "memory_usage_bytes", .tells = "What they take.", .example = "4745517", .unit = "bytes"},
     {.member = "memory_usage_mb", .tells = "The same in MiB.", .example = "4.52", .unit = "MiB"},
     {.member = "memory_limit_mb", .tells = "The devices' capacity.", .example = "8192.00", .unit = "MiB"},
     {.member = "available_memory_mb", .tells = "What can be had now without evicting.", .example = "8187.00", .unit = "MiB"},
     {.member = "loaded_models", .tells = "Their records, newest first."}});

struct ModelNameQuery {
    std::string name;
};
BOOST_DESCRIBE_STRUCT(ModelNameQuery, (), (name))
template <>
inline constexpr auto description<ModelNameQuery> =
    describe("ModelNameQuery", "Which model.",
             {{.member = "name", .tells = "Its name.", .example = R"("detector")", .min = 1, .max = model_name_bytes_max}});

struct UnloadQuery {
    std::string name;
    bool keep_cached = true;
};
BOOST_DESCRIBE_STRUCT(UnloadQuery, (), (name, keep_cached))
template <>
inline constexpr auto description<UnloadQuery> =
    describe("UnloadQuery", "Which model, and what of it stays.",
             {{.member = "name", .tells = "Its name.", .example = R"("detector")", .min = 1, .max = model_name_bytes_max},
              {.member = "keep_cached",
               .tells = "True: what the RAM cache has of it stays as long as the cache has room. False: where it is loaded nowhere any more, that is given back now too.",
               .presence = Presence::optional}});

struct TensorsQuery {
    u64 limit = page_items_max;
    std::optional<std::string> cursor;
};
BOOST_DESCRIBE_STRUCT(TensorsQuery, (), (limit, cursor))
template <>
inline constexpr auto description<TensorsQuery> = describe("TensorsQuery", "Which part of the list.", {limit_field, cursor_field});

struct TensorInfo {
    std::string name;
    std::string dtype;
    std::vector<u64> shape;
    u64 offset_bytes = 0;
    u64 size_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(TensorInfo, (), (name, dtype, shape, offset_bytes, size_bytes))
template <>
inline constexpr auto description<TensorInfo> =
    describe("Tensor", "One tensor of a model.",
             {{.member = "name", .tells = "As the file names it.", .example = R"("conv2d_0.w_0")"},
              {.member = "dtype", .tells = "The element's type, as the format names it, in lower case.", .example = R"("f32")"},
              {.member = "shape", .tells = "In elements, as the file orders them; empty for a scalar.", .example = "[16,3,3,3]"},
              {.member = "offset_bytes", .tells = "Where it begins in the model's allocation.", .example = "4096", .unit = "bytes"},
              {.member = "size_bytes", .tells = "Its bytes.", .example = "1728", .unit = "bytes"}});

struct TensorList {
    std::string model;
    std::string allocation_id;
    std::vector<TensorInfo> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(TensorList, (), (model, allocation_id, items, next_cursor))
template <>
inline constexpr auto description<TensorList> =
    describe("TensorList", "A model's tensors, in the file's order.",
             {{.member = "model", .tells = "The model's name.", .example = R"("detector")"},
              {.member = "allocation_id", .tells = "The allocation that the offsets count in.", .example = R"("alc_0q3xw8c5k2mznd1")"},
              {.member = "items", .tells = "The tensors."},
              next_cursor_field});

struct AvailableModel {
    std::string path;
    std::string folder;
    u64 file_bytes = 0;
    std::optional<ModelFormat> format;
    std::optional<u64> predicted_bytes;
    std::optional<u64> tensor_bytes;
    std::optional<u64> tensor_count;
    std::vector<std::string> loaded_as;
    std::optional<Problem> problem;
};
BOOST_DESCRIBE_STRUCT(AvailableModel, (),
                      (path, folder, file_bytes, format, predicted_bytes, tensor_bytes, tensor_count, loaded_as, problem))
template <>
inline constexpr auto description<AvailableModel> = describe(
    "AvailableModel", "A model file found beneath a model folder.",
    {{.member = "path", .tells = "Relative to its folder; what a load takes as path.", .example = R"("ocr/ch_PP-OCRv4_det_infer.onnx")"},
     {.member = "folder", .tells = "The model folder.", .example = R"("/var/lib/vramd/models")"},
     {.member = "file_bytes", .tells = "Of all its files.", .example = "4745517", .unit = "bytes"},
     {.member = "format", .tells = "The format.", .example = R"("onnx")", .presence = Presence::optional},
     {.member = "predicted_bytes",
      .tells = "Exactly what a load takes of a device, from the header.",
      .example = "4745517",
      .unit = "bytes",
      .presence = Presence::optional},
     {.member = "tensor_bytes", .tells = "Of which tensors.", .example = "4701004", .unit = "bytes", .presence = Presence::optional},
     {.member = "tensor_count", .tells = "Its tensors.", .example = "342", .presence = Presence::optional},
     {.member = "loaded_as", .tells = "The names it is loaded by at present.", .example = R"(["detector"])"},
     {.member = "problem", .tells = "Why it cannot be loaded; absent when it can.", .presence = Presence::optional}});

struct AvailableModelList {
    std::vector<AvailableModel> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(AvailableModelList, (), (items, next_cursor))
template <>
inline constexpr auto description<AvailableModelList> = describe("AvailableModelList", "Model files, by folder and path.",
                                                                 {{.member = "items", .tells = "The files."}, next_cursor_field});

struct Operation {
    std::string id;
    OperationKind kind = OperationKind::load_model;
    OperationState state = OperationState::running;
    std::string owner;
    std::string stage;
    std::string model;
    std::string path;
    u64 done_bytes = 0;
    u64 total_bytes = 0;
    Percentage progress_percentage;
    std::optional<u64> bytes_per_second;
    std::optional<Milliseconds> eta_ms;
    Time started_at;
    std::optional<Time> ended_at;
    std::optional<Problem> problem;
    std::optional<Defragmentation> defragmentation;
    std::optional<Optimization> optimization;
};
BOOST_DESCRIBE_STRUCT(Operation, (),
                      (id, kind, state, owner, stage, model, path, done_bytes, total_bytes, progress_percentage, bytes_per_second, eta_ms,
                       started_at, ended_at, problem, defragmentation, optimization))
template <>
inline constexpr auto description<Operation> =
    describe("Operation", "Long work, and how far it is.",
             {{.member = "id", .tells = "Opaque.", .example = R"("op_5g7hj2k4m6npqr8")"},
              {.member = "kind", .tells = "What it does."},
              {.member = "state", .tells = "How far it is.", .example = R"("running")"},
              {.member = "owner", .tells = "Who started it.", .example = R"("uid:1000")"},
              {.member = "stage",
               .tells = "inspect, wait (for room), reserve, cache (first), load or done; of an optimize or a defragmentation, the operation that it is at.",
               .example = R"("load")"},
              {.member = "model", .tells = "Of a load: the model's name.", .example = R"("detector")"},
              {.member = "path", .tells = "Of a load: the model's file.", .example = R"("ocr/ch_PP-OCRv4_det_infer.onnx")"},
              {.member = "done_bytes", .tells = "Landed or moved so far; never goes back.", .example = "2097152", .unit = "bytes"},
              {.member = "total_bytes",
               .tells = "Of how many; 0 until the header is read, or the moves are planned.",
               .example = "4745517",
               .unit = "bytes"},
              {.member = "progress_percentage", .tells = "Done of total.", .example = "44.19", .unit = "%"},
              {.member = "bytes_per_second",
               .tells = "Done bytes by the time since the start; absent before the first.",
               .example = "1474679000",
               .unit = "bytes/s",
               .presence = Presence::optional},
              {.member = "eta_ms", .tells = "What is left at that rate.", .example = "1.796", .unit = "ms", .presence = Presence::optional},
              {.member = "started_at", .tells = "When it was accepted.", .example = R"("2026-01-31T08:15:30.250Z")"},
              {.member = "ended_at", .tells = "When it ended.", .example = R"("2026-01-31T08:15:30.254Z")", .presence = Presence::optional},
              {.member = "problem", .tells = "Why it failed.", .presence = Presence::optional},
              {.member = "defragmentation", .tells = "Of a defragmentation: what it did so far.", .presence = Presence::optional},
              {.member = "optimization", .tells = "Of an optimize: what it did so far.", .presence = Presence::optional}});

struct OperationList {
    std::vector<Operation> items;
    std::optional<std::string> next_cursor;
};
BOOST_DESCRIBE_STRUCT(OperationList, (), (items, next_cursor))
template <>
inline constexpr auto description<OperationList> = describe("OperationList", "Operations, newest first.",
                                                            {{.member = "items", .tells = "The operations."}, next_cursor_field});
}  // namespace vramd::api
