/// An upkeep tried on a copy of the state: the same plans and the same commands, with a world in which each effect succeeds at once.
#include <algorithm>

#include "core/upkeep.hpp"

namespace vramd::core {
namespace {
class Trial {
public:
    Trial(State copy, const UpkeepRequest& request, std::string_view owner, const AtHand& at_hand, Moment now)
        : state_(std::move(copy)), request_(request), owner_(owner), at_hand_(at_hand), now_(now) {}

    UpkeepTrial run() {
        UpkeepTrial trial;
        trial.before = figures();
        for (const UpkeepAction action : request_.actions) {
            UpkeepActed acted;
            acted.action = action;
            u64 before = uncommitted();
            for (const u16 device : request_.devices) act(acted, device);
            acted.freed_bytes = uncommitted() - before;
            trial.result.planned_bytes += acted.moved_bytes;
            trial.result.actions.push_back(std::move(acted));
        }
        trial.result.after = figures();
        return trial;
    }

private:
    std::vector<FreeFigures> figures() const {
        std::vector<FreeFigures> list;
        for (const u16 device : request_.devices) list.push_back(memory::figures_of(state_.books, device));
        return list;
    }
    u64 uncommitted() const {
        u64 bytes = 0;
        for (const u16 device : request_.devices) bytes += state_.books.uncommitted_bytes(device);
        return bytes;
    }
    bool give(const Command& command) {
        const auto decision = decide(state_, command, now_);
        if (!decision) return false;
        for (const Event& event : decision->events) apply(state_, event);
        for (const Effect& effect : decision->effects) {
            if (const auto* release = std::get_if<ReleaseBlockEffect>(&effect)) {
                released_ += 1;
                (void)give(BlockReleasedCommand{release->block});
            }
            if (const auto* move = std::get_if<MoveEffect>(&effect)) (void)give(MovedCommand{move->id, false, {}});
        }
        return !decision->events.empty();
    }

    void act(UpkeepActed& acted, u16 device) {
        released_ = 0;
        switch (acted.action) {
            case UpkeepAction::defragment:
            case UpkeepAction::compact:
                move_all(acted, device);
                break;
            case UpkeepAction::garbage_collect:
                collect(acted, device);
                break;
            case UpkeepAction::preload:
                acted.why_left = std::string(nothing_to_preload);
                break;
            case UpkeepAction::cache:
                evict(acted, device);
                break;
        }
        acted.released_blocks += released_;
    }
    void move_all(UpkeepActed& acted, u16 device) {
        const memory::Plan plan = plan_upkeep(layout_for(state_, device, request_, owner_, at_hand_, now_.wall_ns), request_, acted.action);
        if (!plan.empty.empty()) (void)give(ReleaseEmptyCommand{device, request_.own_only ? owner_ : std::string(), at_hand_.frozen});
        for (const memory::PlannedMove& move : plan.moves) {
            const memory::Allocation& allocation = *state_.books.allocation_by_serial(move.serial);
            if (!give(MoveCommand{UINT64_MAX, allocation.row.id, move.to, false, at_hand_.frozen})) continue;
            acted.moves += 1;
            acted.moved_bytes += move.granted_bytes;
        }
        note_left(acted, plan);
    }
    void collect(UpkeepActed& acted, u16 device) {
        (void)give(ReleaseEmptyCommand{device, request_.own_only ? owner_ : std::string(), at_hand_.frozen});
        while (give(ExpireCommand{at_hand_.in_use})) acted.ended_leases += 1;
    }
    void evict(UpkeepActed& acted, u16 device) {
        auto command = reclaim_for(state_, device, request_);
        if (!command) return;
        command->in_use = at_hand_.in_use;
        const auto decision = decide(state_, *command, now_);
        if (!decision) return;
        for (const Event& event : decision->events)
            if (const auto* gone = std::get_if<ModelGone>(&event))
                acted.models.push_back(state_.catalogue.model(gone->id.serial)->names.front());
        note_passed_over(acted, decision->passed_over);
        (void)give(*command);
    }

    State state_;
    const UpkeepRequest& request_;
    std::string owner_;
    const AtHand& at_hand_;
    Moment now_;
    u64 released_ = 0;
};
}  // namespace

UpkeepTrial try_upkeep(State copy, const UpkeepRequest& request, std::string_view owner, const AtHand& at_hand, Moment now) {
    return Trial(std::move(copy), request, owner, at_hand, now).run();
}
}  // namespace vramd::core
