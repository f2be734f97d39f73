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

/// All models, or those on one device, newest first.
std::vector<Model> models_on(engine::Engine& engine, std::string_view device_id, const std::vector<engine::DeviceTold>& devices) {
    std::vector<report::ModelTold> told = engine.models();
    std::ranges::sort(told, std::ranges::greater(), [](const report::ModelTold& model) { return model.id.serial; });
    std::vector<Model> models;
    for (const report::ModelTold& model : told)
        if (device_id.empty() || model.device_id == device_id) models.push_back(tell_model(model, devices));
    return models;
}

ModelStatus status_of(engine::Engine& engine, std::string_view device_id, const std::vector<engine::DeviceTold>& devices) {
    ModelStatus status;
    status.loaded_models = models_on(engine, device_id, devices);
    status.model_count = status.loaded_models.size();
    for (const Model& model : status.loaded_models) status.memory_usage_bytes += model.size_bytes;
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

LoadModelCommand command_of(const Call& call, const ModelLoadRequest& body) {
    LoadModelCommand command;
    command.caller = call.caller;
    command.request = {body.name,     body.path,  body.type, body.estimated_size_mb.value_or(0), body.device_id.value_or(std::string()),
                       body.priority, body.pinned};
    command.operation_secret = random_secret();
    return command;
}

/// The model that a finished load made.
Result<Model> loaded(engine::Engine& engine, const std::string& name) {
    TRY(const report::ModelTold told, engine.model(name));
    return tell_model(told, engine.devices());
}

Result<Model> outcome_of(engine::Engine& engine, const Result<report::OperationTold>& ended) {
    if (!ended) return std::unexpected(ended.error());
    if (ended->error) return std::unexpected(*ended->error);
    if (ended->state == OperationState::cancelled) return refuse(Code::cancelled, {}, "The load was cancelled.");
    return loaded(engine, ended->request.name);
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

void load(const Call& call, const ModelLoadRequest& body, Answer<Model> answer) {
    engine::Engine& engine = call.engine();
    const auto contested = std::make_shared<ContestedAnswer<Model>>(std::move(answer));
    const bool wait = body.wait_for_completion;
    const auto id =
        engine.load_model(command_of(call, body), [&engine, contested, wait, caller = call.caller](Result<report::OperationTold> ended) {
            if (!wait) return;
            auto first = contested->take();
            if (!first) return;
            if (ended && ended->error && ended->error->code == Code::insufficient_memory)
                std::move(*first).refuse(*ended->error, engine.shortfall_of(room_for(caller, *ended)));
            else
                std::move (*first)(outcome_of(engine, ended));
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

void unload(const Call& call, const std::string& name, std::string device_id, Answer<Freed> answer) {
    call.engine().unload_model({call.caller, name, std::move(device_id)},
                               [answer = std::move(answer)](Result<engine::Freed> result) mutable {
                                   if (result)
                                       std::move(answer)(tell_freed(*result));
                                   else
                                       std::move(answer)(std::unexpected(result.error()));
                               });
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

void load_model(Asked<Nothing, ModelLoadRequest> asked, Answer<Model> answer) { load(asked.call, asked.body, std::move(answer)); }

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
    load(asked.call, whole, std::move(answer));
}

void unload_model(Asked<ModelNameQuery, Nothing> asked, Answer<Freed> answer) {
    unload(asked.call, asked.query.name, {}, std::move(answer));
}

void unload_model_here(Asked<ModelNameQuery, Nothing> asked, Answer<Freed> answer) {
    unload(asked.call, asked.query.name, asked.call.params[0], std::move(answer));
}

Result<Model> read_model(const Asked<ModelNameQuery, Nothing>& asked) { return loaded(asked.call.engine(), asked.query.name); }

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
    list.allocation_id = to_text(model.allocation);
    for (const Tensor& tensor : tensors)
        list.items.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.offset_bytes, tensor.size_bytes});
    TRY_DO(keep_page(list.items, asked.query, list.next_cursor));
    return list;
}

Result<ModelList> list_cache(const Asked<PageQuery, Nothing>& asked) {
    engine::Engine& engine = asked.call.engine();
    ModelList list;
    for (Model& model : models_on(engine, {}, engine.devices()))
        if (std::ranges::any_of(model.places, [](const Place& place) { return place.tier == Tier::ram; }))
            list.items.push_back(std::move(model));
    TRY_DO(
        keep_page_below(list.items, asked.query, list.next_cursor, [](const Model& model) { return id_from<ModelTag>(model.id)->serial; }));
    return list;
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
