/// A device's pressure crossed a threshold: told once, and remembered so that a restarted core does not tell it again.
#include "core/decide.hpp"

namespace vramd::core {
Result<Decision> decide_one(const State& state, const PressureCommand& command, Moment now) {
    if (command.device >= state.books.devices().size()) return not_found("device", std::to_string(command.device));
    Decision decision;
    const PressureBand before = state.pressures.band(command.device);
    if (before != command.band)
        decision.events.push_back(
            PressureChanged{command.device, before, command.band, command.level_hundredths, command.cause, now.wall_ns});
    return decision;
}
}  // namespace vramd::core
