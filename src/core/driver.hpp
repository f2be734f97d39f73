/// For tests of the core: a state that takes commands and has its effects done at once, by a world in which everything succeeds unless
/// the test says otherwise.
#pragma once
#include <deque>

#include "core/state.hpp"

namespace vramd::core {
/// Decides, applies and, with `finish`, completes effects. Not synchronised.
class Driver {
public:
    State state;
    Moment now{1000 * ns_per_second, 1000 * ns_per_second};
    std::deque<Effect> effects;  ///< Asked for, not done yet.

    Result<Decision> give(const Command& command) {
        auto decision = decide(state, command, now);
        if (!decision) return decision;
        for (const Event& event : decision->events) apply(state, event);
        effects.insert(effects.end(), decision->effects.begin(), decision->effects.end());
        return decision;
    }
    /// Does every effect but inspections, loads, moves and transfers, which a test answers itself.
    void finish() {
        std::deque<Effect> kept;
        while (!effects.empty()) {
            const Effect effect = effects.front();
            effects.pop_front();
            if (const auto* create = std::get_if<CreateBlockEffect>(&effect))
                (void)give(BlockCreatedCommand{create->block});  // Never refused.
            else if (const auto* release = std::get_if<ReleaseBlockEffect>(&effect))
                (void)give(BlockReleasedCommand{release->block});
            else if (const auto* zero = std::get_if<ZeroEffect>(&effect))
                (void)give(ZeroedCommand{zero->id});
            else if (std::holds_alternative<ScheduleTransfersEffect>(effect))
                (void)give(ScheduleTransfersCommand{});
            else
                kept.push_back(effect);
        }
        effects = std::move(kept);
    }
    void add_device(const std::string& id, u64 capacity_bytes) { (void)give(AddDeviceCommand{id, capacity_bytes, 4096}); }
    /// An allocation of a user, made ready.
    AllocationId allocate(const std::string& owner, u64 size_bytes) {
        AllocateCommand command;
        command.caller = {owner, Role::user};
        command.size_bytes = size_bytes;
        command.secret = 7;
        const auto decision = give(command);
        finish();
        return decision ? decision->allocation : AllocationId{};
    }
    /// What an owner's allocations take on all devices, second places not counted.
    [[nodiscard]] u64 used_by(std::string_view owner) const {
        u64 bytes = 0;
        for (const auto& [use, sums] : state.books.uses())
            if (state.books.name(use.owner) == owner) bytes += sums.live;
        return bytes;
    }
    Result<Decision> free(const std::string& owner, AllocationId id) {
        auto decision = give(FreeCommand{{owner, Role::user}, id});
        finish();
        return decision;
    }
};
inline const memory::AllocationRow& row_of(const Driver& driver, AllocationId id) { return driver.state.books.allocation(id)->row; }
}  // namespace vramd::core
