#include <algorithm>

#include "api/handlers.hpp"
#include "api/paging.hpp"
#include "api/tell.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"

namespace vramd::api {
namespace {
constexpr u64 operations_max = 10'000;  ///< Of which a list is paged.

std::string url_of(OperationId id) { return "/api/operations/" + to_text(id); }

Result<OperationId> operation_from(std::string_view text) {
    const auto id = id_from<OperationTag>(text);
    if (!id) return refuse(Code::not_found, "id", "There is no operation " + quoted_text(text) + ", or it is not yours.");
    return *id;
}

bool is_on(const report::ModelTold& model, std::string_view device_id) {
    return std::ranges::find(model.places, device_id, &report::ModelPlaceTold::device_id) != model.places.end();
}

/// All models that a test takes, newest first.
template <class Takes>
std::vector<Model> models_where(engine::Engine& engine, Takes&& takes) {
    std::vector<report::ModelTold> told = engine.models();
    std::ranges::sort(told, std::ranges::greater(), [](const report::ModelTold& model) { return model.id.serial; });
    std::vector<Model> models;
    for (const report::ModelTold& model : told)
        if (takes(model)) models.push_back(tell_model(model));
    return models;
}

/// What is loaded, or on its way there, on all devices or one; what only the RAM cache keeps is apart.
ModelStatus status_of(engine::Engine& engine, std::string_view device_id, const std::vector<engine::DeviceTold>& devices) {
    const auto here = [device_id](const auto& place) {
        return place.tier == ModelTier::device && (device_id.empty() || place.device_id == device_id);
    };
    ModelStatus status;
    status.loaded_models = models_where(engine, [&](const report::ModelTold& model) {
        return std::ranges::any_of(model.places, here) || (device_id.empty() && model.state == ModelState::loading);
    });
    status.model_count = status.loaded_models.size();
    for (const Model& model : status.loaded_models)
        for (const Place& place : model.places)
            if (here(place)) status.memory_usage_bytes += place.size_bytes;
    status.memory_usage_mb = mebibytes_of(status.memory_usage_bytes);
    u64 limit_bytes = 0, free_bytes = 0;
    for (const engine::DeviceTold& told : devices) {
        if (!device_id.empty() && told.books.device_id != device_id) continue;
        limit_bytes += told.books.total_bytes;
        free_bytes += available_bytes(told);
    }
    status.memory_limit_mb = mebibytes_of(limit_bytes);
    status.available_memory_mb = mebibytes_of(free_bytes);
    if (!device_id.empty()) status.device_id = device_id;
    return status;
}

LoadModelCommand command_of(const Call& call, const ModelLoadRequest& body, ModelTier tier) {
    LoadModelCommand command;
    command.caller = call.caller;
    command.request = {body.name,     body.path,   body.type, body.estimated_size_mb.value_or(0), body.device_id.value_or(std::string()),
                       body.priority, body.pinned, tier};
    command.operation_secret = random_secret();
    return command;
}

/// What a load came to.
Result<Model> outcome_of(const Result<report::OperationTold>& ended) {
    if (!ended) return std::unexpected(ended.error());
    if (ended->error) return std::unexpected(*ended->error);
    if (ended->state == OperationState::cancelled) return refuse(Code::cancelled, {}, "The load was cancelled.");
    INVARIANT(ended->model.has_value());  // A load that ended well is told with it.
    return tell_model(*ended->model);
}

/// The room that a load did not find, as a request for memory: for the figures and suggestions of the refusal.
AllocateCommand room_for(const Caller& caller, const report::OperationTold& ended) {
    AllocateCommand command;
    command.caller = caller;
    command.owner = core::model_owner;
    command.shareable = true;
    command.device_id = ended.request.device_id;
    command.size_bytes = ended.error->value;
    return command;
}

void load(const Call& call, const ModelLoadRequest& body, ModelTier tier, Answer<Model> answer) {
    engine::Engine& engine = call.engine();
    const auto contested = std::make_shared<ContestedAnswer<Model>>(std::move(answer));
    const bool wait = body.wait_for_completion;
    const auto id = engine.load_model(command_of(call, body, tier),
                                      [&engine, contested, wait, caller = call.caller](Result<report::OperationTold> ended) {
                                          if (!wait) return;
                                          auto first = contested->take();
                                          if (!first) return;
                                          if (ended && ended->error && ended->error->code == Code::insufficient_memory)
                                              std::move(*first).refuse(*ended->error, engine.shortfall_of(room_for(caller, *ended)));
                                          else
                                              std::move (*first)(outcome_of(ended));
                                      });
    if (id && wait) return;
    auto first = contested->take();
    if (!first) return;
    const auto told = id ? engine.operation(call.caller, *id) : std::unexpected(id.error());
    if (told)
        std::move(*first).accepted(tell_operation(*told, read_clocks().wall_ns), url_of(*id));
    else
        std::move (*first)(std::unexpected(told.error()));
}

/// Tells what was given back, or why not.
engine::Done<engine::Freed> freed_to(Answer<Freed> answer) {
    return [answer = std::move(answer)](Result<engine::Freed> result) mutable {
        if (result)
            std::move(answer)(tell_freed(*result));
        else
            std::move(answer)(std::unexpected(result.error()));
    };
}

void unload(const Call& call, const UnloadQuery& query, std::string device_id, Answer<Freed> answer) {
    using Cached = UnloadModelCommand::Cached;
    call.engine().unload_model({call.caller, query.name, std::move(device_id), query.keep_cached ? Cached::keep : Cached::drop},
                               freed_to(std::move(answer)));
}
}  // namespace

Result<ModelStatus> read_model_status(const Plain& asked) {
    engine::Engine& engine = asked.call.engine();
    return status_of(engine, {}, engine.devices());
}

Result<ModelStatus> read_device_model_status(const Plain& asked) {
    engine::Engine& engine = asked.call.engine();
    TRY_DO(engine.device(asked.call.params[0]));
    return status_of(engine, asked.call.params[0], engine.devices());
}

void load_model(Asked<Nothing, ModelLoadRequest> asked, Answer<Model> answer) {
    load(asked.call, asked.body, ModelTier::device, std::move(answer));
}

void load_model_here(Asked<Nothing, ModelLoadHereRequest> asked, Answer<Model> answer) {
    const ModelLoadHereRequest& body = asked.body;
    const ModelLoadRequest whole{body.name,
                                 body.path,
                                 body.type,
                                 body.estimated_size_mb,
                                 asked.call.params[0],
                                 body.priority,
                                 body.pinned,
                                 body.wait_for_completion};
    load(asked.call, whole, ModelTier::device, std::move(answer));
}

void unload_model(Asked<UnloadQuery, Nothing> asked, Answer<Freed> answer) { unload(asked.call, asked.query, {}, std::move(answer)); }

void unload_model_here(Asked<UnloadQuery, Nothing> asked, Answer<Freed> answer) {
    unload(asked.call, asked.query, asked.call.params[0], std::move(answer));
}

Result<Model> read_model(const Asked<ModelNameQuery, Nothing>& asked) {
    TRY(const report::ModelTold told, asked.call.engine().model(asked.query.name));
    return tell_model(told);
}

void list_available_models(Asked<PageQuery, Nothing> asked, Answer<AvailableModelList> answer) {
    asked.call.engine().available_models(
        [query = asked.query, answer = std::move(answer)](Result<std::vector<engine::AvailableModel>> result) mutable {
            if (!result) return std::move(answer)(std::unexpected(result.error()));
            AvailableModelList list;
            for (const engine::AvailableModel& told : *result) list.items.push_back(tell_available(told));
            const auto kept = keep_page(list.items, query, list.next_cursor);
            if (kept)
                std::move(answer)(std::move(list));
            else
                std::move(answer)(std::unexpected(kept.error()));
        });
}

Result<TensorList> list_tensors(const Asked<TensorsQuery, Nothing>& asked) {
    engine::Engine& engine = asked.call.engine();
    const std::string& name = asked.call.params[0];
    TRY(const report::ModelTold model, engine.model(name));
    TRY(const std::vector<Tensor> tensors, engine.tensors(name));
    TensorList list;
    list.model = name;
    list.allocation_id = to_text(model.best().allocation);
    for (const Tensor& tensor : tensors)
        list.items.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.offset_bytes, tensor.size_bytes});
    TRY_DO(keep_page(list.items, asked.query, list.next_cursor));
    return list;
}

Result<ModelCache> list_cache(const Asked<PageQuery, Nothing>& asked) {
    engine::Engine& engine = asked.call.engine();
    const engine::CacheTold told = engine.cache();
    ModelCache cache;
    if (told.device_id.empty()) return cache;
    cache.device_id = told.device_id;
    cache.max_bytes = told.max_bytes;
    cache.used_bytes = told.used_bytes;
    cache.items = models_where(engine, [&](const report::ModelTold& model) { return is_on(model, told.device_id); });
    TRY_DO(keep_page_below(cache.items, asked.query, cache.next_cursor,
                           [](const Model& model) { return id_from<ModelTag>(model.id)->serial; }));
    return cache;
}

void cache_model(Asked<Nothing, ModelCacheRequest> asked, Answer<Model> answer) {
    const ModelCacheRequest& body = asked.body;
    const ModelLoadRequest whole{body.name, body.path,     body.type, body.estimated_size_mb,
                                 {},        body.priority, false,     body.wait_for_completion};
    load(asked.call, whole, ModelTier::ram, std::move(answer));
}

void cache_known_model(Plain asked, Answer<Model> answer) {
    const auto told = asked.call.engine().model(asked.call.params[0]);
    if (!told) return std::move(answer)(std::unexpected(told.error()));
    const ModelLoadRequest whole{asked.call.params[0], told->path, told->type, {}, {}, Priority::normal, false, true};
    load(asked.call, whole, ModelTier::ram, std::move(answer));
}

Result<Model> read_cached_model(const Plain& asked) {
    engine::Engine& engine = asked.call.engine();
    const std::string& name = asked.call.params[0];
    TRY(const report::ModelTold told, engine.model(name));
    if (!is_on(told, engine.cache().device_id))
        return refuse(Code::not_found, "name", "The RAM cache has no copy of the model " + name + ".");
    return tell_model(told);
}

void empty_cache(Plain asked, Answer<Freed> answer) { asked.call.engine().uncache({asked.call.caller, {}}, freed_to(std::move(answer))); }

void uncache_model(Plain asked, Answer<Freed> answer) {
    asked.call.engine().uncache({asked.call.caller, asked.call.params[0]}, freed_to(std::move(answer)));
}

Result<OperationList> list_operations(const Asked<PageQuery, Nothing>& asked) {
    OperationList list;
    const u64 now_wall_ns = read_clocks().wall_ns;
    for (const report::OperationTold& told : asked.call.engine().operations(asked.call.caller, operations_max))
        list.items.push_back(tell_operation(told, now_wall_ns));
    TRY_DO(keep_page_below(list.items, asked.query, list.next_cursor,
                           [](const Operation& one) { return id_from<OperationTag>(one.id)->serial; }));
    return list;
}

Result<Operation> read_operation(const Plain& asked) {
    TRY(const OperationId id, operation_from(asked.call.params[0]));
    TRY(const report::OperationTold told, asked.call.engine().operation(asked.call.caller, id));
    return tell_operation(told, read_clocks().wall_ns);
}

Result<Operation> cancel_operation(const Plain& asked) {
    TRY(const OperationId id, operation_from(asked.call.params[0]));
    TRY(const report::OperationTold told, asked.call.engine().cancel({asked.call.caller, id}));
    return tell_operation(told, read_clocks().wall_ns);
}
}  // namespace vramd::api
