/// Loads, unloads and cancels of the simulated clients.
#include <algorithm>

#include "clients.hpp"

namespace vramd::simulation {
void Clients::load(Choices& choices) {
    LoadModelCommand command;
    command.caller = caller_of(choices.below(3));
    command.request.name = model_names[choices.below(std::size(model_names))];
    command.request.path = model_paths[choices.below(std::size(model_paths))];
    command.request.device_id = std::array{"", "a", "b"}[choices.below(3)];
    command.request.pinned = choices.one_in(4);
    const bool cached = world_.cache_max_bytes > 0 && choices.one_in(5);
    if (cached) command.request.device_id.clear(), command.request.pinned = false, command.request.tier = ModelTier::ram;
    command.held = choices.one_in(3);
    const u64 epoch = world_.epoch;
    ++unanswered_;
    const auto started = world_.core().load_model(
        command, [this, epoch, held = command.held, request = command.request](Result<report::OperationTold> ended) {
            if (epoch == world_.epoch) --unanswered_;
            if (epoch != world_.epoch || !ended) return;
            loads_.erase(ended->id);
            if (held) attach_loaded(*ended);
            if (ended->state == OperationState::failed && ended->error->code == Code::conflict && ended->error->field != "/deviceId")
                fail("a load failed by our own doing: " + describe(*ended->error));
            if (ended->state != OperationState::succeeded) return;
            met_[request.tier == ModelTier::ram ? "a model came into the cache" : "a model was loaded"] += 1;
            if (request.tier == ModelTier::device) resident_[request.name] = request.path;
        });
    if (!started) fail("a load was refused at once: " + describe(started.error()));
    const auto told = world_.core().operation(admin, *started);
    if (told && told->state == OperationState::running) loads_[*started] = command.request.name;
}

void Clients::unload(Choices& choices) {
    const std::string name = model_names[choices.below(std::size(model_names))];
    if (choices.one_in(4)) return uncache(choices.one_in(4) ? "" : name);
    const bool known = resident_.contains(name);
    // Perhaps the same model, onto another device: also for somebody who did not hear of it, for the core died.
    const auto operations = world_.core().operations(admin, UINT64_MAX);
    const bool loading = std::ranges::find(operations, OperationState::running, &report::OperationTold::state) != operations.end();
    // A refusal comes at once. That it is done is told when the memory is back, or never where the core dies before: it holds from here on.
    auto told = std::make_shared<std::optional<Result<engine::Freed>>>();
    world_.core().unload_model({admin, name, ""}, [told](Result<engine::Freed> freed) { *told = std::move(freed); });
    if (*told && !**told) {
        const Error& why = (*told)->error();
        if (loading && why.code == Code::conflict) return;  // Its bytes may be on their way to somebody's copy.
        if (known && why.code != Code::leased && !excused(why, nullptr)) fail("an unload was refused: " + describe(why));
        return;
    }
    resident_.erase(name), pinned_.erase(name);
    const auto left = world_.core().model(name);
    if (left && left->state == ModelState::cached) met_["a model is kept by the cache"] += 1;
}

/// What is loaded for use is none the poorer.
void Clients::uncache(const std::string& name) {
    world_.core().uncache({admin, name}, [this, name](const Result<engine::Freed>& freed) {
        if (freed && freed->freed_bytes > 0) met_["the cache was emptied"] += 1;
        if (!freed && name.empty() && !excused(freed.error(), nullptr)) fail("the cache cannot be emptied: " + describe(freed.error()));
    });
}

void Clients::cancel(Choices& choices) {
    if (loads_.empty()) return;
    auto at = loads_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(choices.below(loads_.size())));
    const OperationId id = at->first;
    const auto told = world_.core().cancel({admin, id});
    if (!told) fail("a load cannot be cancelled: " + describe(told.error()));
    if (told->state != OperationState::running) {
        loads_.erase(id);
    } else if (choices.one_in(4) && !world_.core().cancel({admin, id})) {
        fail("a second cancel of a running load was refused");
    }
}

/// Which file a model that has become resident was loaded from.
void Clients::note_models() {
    for (const report::ModelTold& model : world_.core().models())
        if (model.state != ModelState::loading && !resident_files_.contains(to_text(model.id)))
            if (const auto file = world_.files.find(model.path);
                file != world_.files.end() && file->second.size_bytes == model.tensor_bytes)
                resident_files_[to_text(model.id)] = file->second;
    // Who needs room takes it from models that nobody reads; they go with all their names.
    std::erase_if(resident_, [this](const auto& entry) {
        const auto told = world_.core().model(entry.first);
        return !told || told->state != ModelState::resident;  // Its place for use is gone; its bytes may be kept.
    });
    for (const std::string& name : pinned_)
        if (!world_.core().model(name)) fail("the pinned model " + name + " was evicted");
    for (const report::ModelTold& model : world_.core().models())
        for (const report::ModelPlaceTold& place : model.places)
            if (place.state == ModelState::resident && place.pinned) pinned_.insert(model.names.begin(), model.names.end());
}

void Clients::compare_models() {
    for (const auto& [name, path] : resident_) {
        const auto told = world_.core().model(name);
        if (!told || told->state != ModelState::resident) fail("the model " + name + " is not there any more");
        const auto bytes = content({"anybody", Role::user}, told->best().allocation, nullptr);
        if (!bytes) continue;
        // The file may have changed since: what was loaded must be one whole version of it, which its first load fixed.
        const auto known = resident_files_.find(to_text(told->id));
        if (known == resident_files_.end()) continue;
        for (u64 i = 0; i < known->second.size_bytes; ++i)
            if ((*bytes)[i] != model_byte(known->second, i)) fail("the model " + name + " holds wrong bytes");
    }
}
}  // namespace vramd::simulation
