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
    const u64 epoch = world_.epoch;
    ++unanswered_;
    const auto started = world_.core().load_model(command, [this, epoch, request = command.request](Result<report::OperationTold> ended) {
        if (epoch == world_.epoch) --unanswered_;
        if (epoch != world_.epoch || !ended) return;
        loads_.erase(ended->id);
        if (ended->state == OperationState::failed && ended->error->code == Code::conflict && ended->error->field != "/deviceId")
            fail("a load failed by our own doing: " + describe(*ended->error));
        if (ended->state != OperationState::succeeded) return;
        resident_[request.name] = request.path;
    });
    if (!started) fail("a load was refused at once: " + describe(started.error()));
    const auto told = world_.core().operation(admin, *started);
    if (told && told->state == OperationState::running) loads_[*started] = command.request.name;
}

void Clients::unload(Choices& choices) {
    const std::string name = model_names[choices.below(std::size(model_names))];
    const bool known = resident_.contains(name);
    world_.core().unload_model({admin, name, ""}, [&](Result<engine::Freed> freed) {
        if (!freed && known) fail("an unload was refused: " + describe(freed.error()));
        if (freed) resident_.erase(name);
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
}  // namespace vramd::simulation
