/// Attaching: an allocation by its id, or a model by its name, which is loaded first where it is not there.
#include <algorithm>

#include "api/codec.hpp"
#include "api/tell.hpp"
#include "attach/session.hpp"
#include "base/random.hpp"

namespace vramd::attach {
namespace {
/// Where the model is loaded for use, on the device that is wanted if one is.
const report::ModelPlaceTold* place_of(const report::ModelTold& model, const std::optional<std::string>& device_id) {
    const auto found = std::ranges::find_if(model.places, [&](const report::ModelPlaceTold& place) {
        return place.tier == ModelTier::device && place.state == ModelState::resident && (!device_id || place.device_id == *device_id);
    });
    return found == model.places.end() ? nullptr : &*found;
}

Result<std::shared_ptr<const Table>> chosen_table(engine::Engine& engine, const std::string& model, const std::vector<std::string>& names) {
    TRY(const std::vector<Tensor> all, engine.tensors(model));
    std::map<std::string_view, const Tensor*> by_name;
    for (const Tensor& tensor : all) by_name.emplace(tensor.name, &tensor);
    std::vector<Tensor> chosen;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const auto found = by_name.find(names[i]);
        if (found == by_name.end())
            return vramd::refuse(Code::not_found, "/tensors/" + std::to_string(i),
                                 "The model " + model + " has no tensor " + api::quoted_text(names[i]) + ".");
        chosen.push_back(*found->second);
    }
    return make_table(chosen);
}

/// The text of an object with one more member.
std::string with_member(std::string object, std::string_view name, std::string_view value) {
    object.back() = ',';
    return object.append("\"").append(name).append("\":").append(value).append("}");
}
}  // namespace

void Session::attach(const Call& call) {
    const auto params = params_of<AttachParams>(call);
    if (!params) return refuse(call.id, params.error());
    if (params->allocation_id.has_value() == params->model.has_value())
        return refuse(call.id, Error{Code::invalid_field, "/allocationId", 0, 0, "Exactly one of /allocationId and /model must be given."});
    if (params->allocation_id) return attach_allocation(call.id, *params);
    const auto attached = attach_model(call.id, *params);
    if (!attached) return refuse(call.id, attached.error());
    if (!*attached && may_wait(call)) load_and_attach(call.id, *params);
}

void Session::attach_allocation(const std::string& id, const AttachParams& params) {
    const auto allocation = id_from_text(*params.allocation_id);
    if (!allocation) return refuse(id, allocation.error());
    std::vector<Fd> descriptors;
    const auto given = give(*allocation, params.mode, descriptors);
    if (!given) return refuse(id, given.error());
    // Another's record is not this caller's to see; what it must know of it, stands in `memory`.
    const auto record = world_.engine.allocation(caller_, *allocation);
    AttachedAllocation result{std::nullopt, *given};
    if (record) result.allocation = api::tell_allocation(*record);
    answer(id, api::write(result), std::move(descriptors));
}

Result<bool> Session::attach_model(const std::string& id, const AttachParams& params) {
    auto model = world_.engine.model(*params.model);
    if (!model) return false;
    if (params.path && *params.path != model->path) return false;  // Loading it tells whether both are one file.
    const report::ModelPlaceTold* const place = place_of(*model, params.device_id);
    if (place == nullptr || (params.pinned && !place->pinned)) return false;  // Loading it pins it.
    const AllocationId allocation = place->allocation;
    const bool held_before = held_.contains(allocation.serial);
    std::vector<Fd> descriptors;
    const auto given = give(allocation, params.mode, descriptors);
    if (!given && given.error().code == Code::not_found) return false;  // Evicted in this moment.
    if (!given) return std::unexpected(given.error());
    const auto told = tell_attached(*model, *given, params, descriptors);
    if (!told) {
        if (!held_before) (void)let_go(held_.find(allocation.serial));  // Else we hold it until we end.
        return std::unexpected(told.error());
    }
    answer(id, *told, std::move(descriptors));
    return true;
}

/// The result of an attach to a model that is held now. Its table's descriptor joins the others where it has one.
Result<std::string> Session::tell_attached(const report::ModelTold& model, const MemoryGiven& given, const AttachParams& params,
                                           std::vector<Fd>& descriptors) {
    std::shared_ptr<const Table> table;
    if (params.tensors) {
        TRY(table, chosen_table(world_.engine, *params.model, *params.tensors));
    } else {
        TRY(table, world_.tables.of(world_.engine, model.id, *params.model));
    }
    const auto now = world_.engine.model(*params.model);  // With this client counted.
    AttachedModel result{api::tell_model(now ? *now : model), given, std::nullopt};
    if (!table->memory) return with_member(api::write(result), "tensors", table->text);
    TRY(Fd memory, table->memory.duplicate());
    result.tensor_table = TableGiven{descriptors.size(), table->size_bytes};
    descriptors.push_back(std::move(memory));
    return api::write(result);
}

void Session::load_and_attach(const std::string& id, const AttachParams& params) {
    const auto known = world_.engine.model(*params.model);
    LoadRequest request;
    request.name = *params.model;
    request.path = params.path ? *params.path : known ? known->path : *params.model;
    request.type = known ? known->type : params.type;
    request.device_id = params.device_id.value_or(std::string());
    request.priority = params.priority;
    request.pinned = params.pinned;
    load(id, std::move(request), Wants::attached, [id, params](Session* session) {
        AttachParams now = params;
        now.path.reset();    // It was that file,
        now.pinned = false;  // and is as it was wanted.
        const auto attached = session->attach_model(id, now);
        if (!attached) return session->refuse(id, attached.error());
        if (!*attached)
            session->refuse(
                id, Error{Code::conflict, "/model", 0, 0, "The model was loaded and went again before it could be attached; try again."});
    });
}

void Session::load(const std::string& id, LoadRequest request, Wants wants, Then then) {
    LoadModelCommand command;
    command.caller = caller_;
    command.request = std::move(request);
    command.operation_secret = random_secret();
    command.held = wants == Wants::attached;
    const u64 load = next_load_++;
    ++in_flight_;
    loads_[load] = {id, {}, command.request.name, {}, std::move(then)};
    auto ended = [later = world_.later, engine = &world_.engine, number = number_, load](Result<report::OperationTold> told) mutable {
        later(number, [engine, load, told = std::move(told)](Session* session) {
            if (session != nullptr) session->loaded(load, told);
            if (told) engine->let_loaded_go(told->id);
        });
    };
    const auto started = world_.engine.load_model(std::move(command), std::move(ended));
    if (!started) {
        loads_.erase(load);
        --in_flight_;
        return refuse(id, started.error());
    }
    loads_[load].operation = *started;
    tell_progress(loads_[load]);
}

void Session::loaded(u64 load, const Result<report::OperationTold>& ended) {
    const auto found = loads_.extract(load);
    --in_flight_;
    const std::string& id = found.mapped().call;
    if (!ended) return refuse(id, ended.error());
    if (ended->error) return refuse(id, *ended->error);
    if (ended->state != OperationState::succeeded) return refuse(id, Error{Code::cancelled, {}, 0, 0, "The load was cancelled."});
    found.mapped().then(this);
}

void Session::tick() {
    for (auto& [number, load] : loads_) tell_progress(load);
}

void Session::tell_progress(Load& load) {
    const auto told = world_.engine.operation(caller_, load.operation);
    if (!told) return;
    const ProgressNotice notice{to_text(load.operation), load.model,        told->stage,
                                told->done_bytes,        told->total_bytes, api::percentage_of(told->done_bytes, told->total_bytes)};
    std::string text = with_member(api::write(notice), "call", load.call);
    if (text == load.told) return;
    send_({notice_text("progress", text), {}});
    load.told = std::move(text);
}
}  // namespace vramd::attach
