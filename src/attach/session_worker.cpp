/// The analysis' MemoryWorker, its seven operations, for programs that were written for it: names and fields as it has them, in snake_case.
/// Each is one call of the engine on one device, and answers the worker's status: what is loaded there, and how much room that leaves.
#include <algorithm>
#include <charconv>

#include "api/codec.hpp"
#include "api/tell.hpp"
#include "attach/session.hpp"
#include "base/random.hpp"

namespace vramd::attach {
namespace {
using Kind = api::Node::Kind;

/// The parameters of one call, read by name; the first that is wrong is told.
class Params {
public:
    explicit Params(const api::Node& node) : node_(node) {}

    std::string text(std::string_view name, u64 bytes_max, bool required) {
        const api::Node* const given = take(name, required);
        if (given == nullptr) return {};
        const bool plain = std::ranges::none_of(given->text, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
        if (given->kind == Kind::text && plain && !given->text.empty() && given->text.size() <= bytes_max) return given->text;
        fail(name, " must be a text of 1 to " + std::to_string(bytes_max) + " bytes");
        return {};
    }
    /// MiB as an integer from 1; 0 where it is not given.
    u64 mebibytes(std::string_view name) {
        const api::Node* const given = take(name, false);
        if (given == nullptr) return 0;
        u64 number = 0;
        const char* const end = given->text.data() + given->text.size();
        const auto read = std::from_chars(given->text.data(), end, number);
        if (given->kind == Kind::number && read.ec == std::errc() && read.ptr == end && number >= 1 && number <= number_max / mib)
            return number;
        fail(name, " must be an integer from 1 to " + std::to_string(number_max / mib));
        return 0;
    }
    template <class E>
    E choice(std::string_view name, E otherwise) {
        const api::Node* const given = take(name, false);
        if (given == nullptr) return otherwise;
        const auto chosen = given->kind == Kind::text ? enum_named<E>(given->text) : std::nullopt;
        if (!chosen) fail(name, " is not one that there is");
        return chosen.value_or(otherwise);
    }
    /// Errors: `invalid_field`, the first that was met; also a parameter that nothing asked for.
    [[nodiscard]] Result<void> end() {
        for (const std::string& name : node_.names)
            if (std::ranges::find(asked_, name) == asked_.end()) fail(name, " is not a known field");
        if (error_) return std::unexpected(*error_);
        return {};
    }

private:
    const api::Node* take(std::string_view name, bool required) {
        asked_.emplace_back(name);
        const api::Node* const given = node_.member(name);
        if (given == nullptr && required) fail(name, " is missing");
        return given;
    }
    void fail(std::string_view name, const std::string& what) {
        if (error_) return;
        const std::string at = api::pointer_to({}, name);
        error_ = Error{Code::invalid_field, at, 0, 0, at + what + "."};
    }

    const api::Node& node_;
    std::vector<std::string> asked_;
    std::optional<Error> error_;
};

std::string json_list(const std::vector<std::string>& texts) {
    std::string list = "[";
    for (const std::string& text : texts) list.append(list.size() > 1 ? "," : "").append(api::write(text));
    return list + "]";
}

Error why_first() { return Error{Code::conflict, {}, 0, 0, "The first operation of a worker is worker.initialize."}; }
}  // namespace

/// The models that are loaded on the worker's device, by name.
std::map<std::string, const report::ModelPlaceTold*> Session::worker_models(const std::vector<report::ModelTold>& models) const {
    std::map<std::string, const report::ModelPlaceTold*> here;
    for (const report::ModelTold& model : models)
        for (const report::ModelPlaceTold& place : model.places)
            if (place.tier == ModelTier::device && place.state == ModelState::resident && place.device_id == worker_->device_id)
                here.emplace(model.names.front(), &place);
    return here;
}

/// The worker's status as JSON, with `more` members (",\"name\":value") at its end.
Result<std::string> Session::worker_status(std::string_view more) {
    TRY(const engine::DeviceTold device, world_.engine.device(worker_->device_id));
    const std::vector<report::ModelTold> models = world_.engine.models();
    const auto here = worker_models(models);
    u64 used_bytes = 0;
    std::string loaded = "{";
    for (const report::ModelTold& model : models) {
        const auto found = here.find(model.names.front());
        if (found == here.end()) continue;
        used_bytes += found->second->size_bytes;
        loaded.append(loaded.size() > 1 ? "," : "")
            .append(api::write(found->first))
            .append(R"(:{"path":)")
            .append(api::write(model.path))
            .append(R"(,"type":)")
            .append(api::write(std::string(name_of(model.type))))
            .append(R"(,"size_mb":)")
            .append(api::write(api::mebibytes_of(found->second->size_bytes)))
            .append("}");
        if (loaded.size() > packet_bytes_max / 2)
            return vramd::refuse(Code::too_large, {},
                                 "So many models are loaded that no packet holds the status; list tells them in pages.");
    }
    const u64 limit_bytes = std::min(device.books.total_bytes, worker_->limit_bytes);
    const u64 left_bytes = limit_bytes - std::min(limit_bytes, used_bytes);
    return R"({"device_id":)" + api::write(worker_->device_id) + R"(,"loaded_models":)" + loaded + R"(},"memory_usage_mb":)" +
           api::write(api::mebibytes_of(used_bytes)) + R"(,"memory_limit_mb":)" + api::write(api::mebibytes_of(limit_bytes)) +
           R"(,"available_memory_mb":)" + api::write(api::mebibytes_of(std::min(left_bytes, api::available_bytes(device)))) +
           R"(,"model_count":)" + std::to_string(here.size()) + std::string(more) + "}";
}

void Session::answer_worker(const std::string& id, std::string_view more) {
    const auto status = worker_ ? worker_status(more) : std::unexpected(why_first());
    if (!status) return refuse(id, status.error());
    answer(id, *status);
}

void Session::worker_initialize(const Call& call) {
    Params params(call.params);
    Worker worker{params.text("device_id", 64, false), params.mebibytes("memory_limit_mb") * mib};
    if (const auto read = params.end(); !read) return refuse(call.id, read.error());
    if (worker.device_id.empty() && !world_.devices.empty()) worker.device_id = world_.devices.front().device_id;
    if (const auto known = world_.engine.known_device(worker.device_id); !known) return refuse(call.id, known.error());
    if (worker.limit_bytes == 0) worker.limit_bytes = number_max;
    worker_ = std::move(worker);
    answer_worker(call.id);
}

void Session::worker_tell(const Call& call) {
    Params params(call.params);
    if (const auto read = params.end(); !read) return refuse(call.id, read.error());
    answer_worker(call.id);
}

/// What the worker's models may still take by its own limit.
u64 Session::worker_room_bytes() const {
    const std::vector<report::ModelTold> models = world_.engine.models();
    u64 used_bytes = 0;
    for (const auto& [name, place] : worker_models(models)) used_bytes += place->size_bytes;
    return worker_->limit_bytes - std::min(worker_->limit_bytes, used_bytes);
}

void Session::worker_load(const Call& call) {
    Params params(call.params);
    LoadRequest request;
    request.name = params.text("name", model_name_bytes_max, true);
    request.path = params.text("path", api::text_bytes_max, true);
    request.type = params.choice("type", ModelType::other);
    request.estimated_size_mb = params.mebibytes("estimated_size_mb");
    if (const auto read = params.end(); !read) return refuse(call.id, read.error());
    if (!worker_) return refuse(call.id, why_first());
    const auto too_large = [estimated = request.estimated_size_mb * mib](u64 room_bytes) {
        return Error{Code::limit_exceeded, estimated > room_bytes ? "/estimated_size_mb" : "/path", estimated, room_bytes,
                     "The model is larger than the " + std::to_string(room_bytes / mib) +
                         " MiB that the worker's memory_limit_mb leaves; unload others, or initialize the worker with more."};
    };
    if (const u64 room = worker_room_bytes(); request.estimated_size_mb * mib > room) return refuse(call.id, too_large(room));
    if (!may_wait(call)) return;
    request.device_id = worker_->device_id;
    const std::string name = request.name;
    const auto known = world_.engine.model(name);
    const bool was_there = known && std::ranges::any_of(known->places, [this](const report::ModelPlaceTold& place) {
                               return place.tier == ModelTier::device && place.device_id == worker_->device_id;
                           });  // Somebody else's: it stays when this worker goes.
    load(call.id, std::move(request), Wants::loaded, [id = call.id, name, was_there, too_large](Session* session) {
        if (!session->worker_) return session->refuse(id, why_first());
        if (!was_there) session->worker_->loaded.insert(name);
        // Only now its size is known for certain: what the estimate let pass goes again.
        const std::vector<report::ModelTold> models = session->world_.engine.models();
        u64 used_bytes = 0;
        for (const auto& [other, place] : session->worker_models(models)) used_bytes += place->size_bytes;
        if (used_bytes <= session->worker_->limit_bytes) return session->answer_worker(id);
        if (was_there) return session->refuse(id, too_large(session->worker_->limit_bytes));
        session->unload_for_worker({name}, [id, too_large, limit = session->worker_->limit_bytes](Session* then, const Unloaded&) {
            then->refuse(id, too_large(limit));
        });
    });
}

/// Unloads these, one call each, and goes on when all have ended.
void Session::unload_for_worker(const std::vector<std::string>& names, std::move_only_function<void(Session*, const Unloaded&)> then) {
    struct Going {
        Unloaded unloaded;
        std::size_t left = 0;
        std::move_only_function<void(Session*, const Unloaded&)> then;
    };
    auto going = std::make_shared<Going>(Going{{}, names.size(), std::move(then)});
    if (names.empty()) return going->then(this, going->unloaded);
    for (const std::string& name : names)
        world_.engine.unload_model(
            {caller_, name, worker_->device_id}, [later = world_.later, number = number_, going, name](const Result<engine::Freed>& freed) {
                later(number, [going, name, error = freed ? std::nullopt : std::optional(freed.error())](Session* session) {
                    if (session == nullptr) return;
                    if (!error)
                        going->unloaded.gone.push_back(name);
                    else if (error->code != Code::not_found)
                        going->unloaded.kept.emplace_back(name, *error);
                    if (session->worker_ && (!error || error->code == Code::not_found)) session->worker_->loaded.erase(name);
                    if (--going->left == 0) going->then(session, going->unloaded);
                });
            });
}

void Session::worker_unload(const Call& call) {
    Params params(call.params);
    const std::string name = params.text("name", model_name_bytes_max, true);
    if (const auto read = params.end(); !read) return refuse(call.id, read.error());
    if (!worker_) return refuse(call.id, why_first());
    unload_for_worker({name}, [id = call.id, name](Session* session, const Unloaded& unloaded) {
        if (!unloaded.kept.empty()) return session->refuse(id, unloaded.kept.front().second);
        if (unloaded.gone.empty())
            return session->refuse(
                id, Error{Code::not_found, "/name", 0, 0, "There is no model " + api::quoted_text(name) + " on this worker's device."});
        session->answer_worker(id);
    });
}

/// Models go in the configured order when more than 80 % of the device is used, until it is 70 %.
void Session::worker_optimize(const Call& call) {
    Params params(call.params);
    if (const auto read = params.end(); !read) return refuse(call.id, read.error());
    if (!worker_) return refuse(call.id, why_first());
    if (!may_wait(call)) return;
    UpkeepCommand command;
    command.caller = caller_;
    command.device_id = worker_->device_id;
    command.request.kind = OperationKind::optimize;
    command.request.actions = {UpkeepAction::cache};
    command.operation_secret = random_secret();
    std::vector<std::string> before;
    const std::vector<report::ModelTold> models = world_.engine.models();
    for (const auto& [name, place] : worker_models(models)) before.push_back(name);
    ++in_flight_;
    auto ended = [later = world_.later, number = number_, id = call.id, before](const Result<report::OperationTold>& told) {
        const std::optional<Error> error = told ? told->error : std::optional(told.error());
        later(number, [id, before, error](Session* session) {
            if (session == nullptr) return;
            --session->in_flight_;
            if (error) return session->refuse(id, *error);
            if (!session->worker_) return session->refuse(id, why_first());
            const std::vector<report::ModelTold> now = session->world_.engine.models();
            const auto here = session->worker_models(now);
            std::vector<std::string> gone;
            std::ranges::copy_if(before, std::back_inserter(gone), [&](const std::string& name) { return !here.contains(name); });
            session->answer_worker(id, ",\"unloaded_models\":" + json_list(gone));
        });
    };
    if (const auto started = world_.engine.upkeep(std::move(command), std::move(ended)); !started) {
        --in_flight_;
        refuse(call.id, started.error());
    }
}

/// Unloads what this worker loaded. What others hold stays, and is named.
void Session::worker_cleanup(const Call& call) {
    Params params(call.params);
    if (const auto read = params.end(); !read) return refuse(call.id, read.error());
    if (!worker_) return refuse(call.id, why_first());
    const std::vector<std::string> names(worker_->loaded.begin(), worker_->loaded.end());
    unload_for_worker(names, [id = call.id](Session* session, const Unloaded& unloaded) {
        std::string kept = "{";
        for (const auto& [name, error] : unloaded.kept)
            kept.append(kept.size() > 1 ? "," : "")
                .append(api::write(name))
                .append(":")
                .append(api::write(std::string(facts_of(error.code).name)));
        session->answer(id, "{\"unloaded_models\":" + json_list(unloaded.gone) + ",\"kept_models\":" + kept + "}}");
        session->worker_.reset();
    });
}
}  // namespace vramd::attach
