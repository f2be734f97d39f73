/// Whose an event is and on which device it happened: what decides who may see it, and what readers of events filter by.
///
/// Most events name a thing (an allocation, a block, an operation) and not its owner. While they happen, the state knows; what happened
/// long ago is told by a `Roll`, which walks along the history and remembers just that much. Both answer the same for the same event,
/// as long as the history is whole: what a Roll does not know it leaves empty and `known` false, and then only an admin may see the event.
/// Pure values.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/state.hpp"

namespace vramd::report {
struct Attribution {
    std::string owner;            ///< Empty: the daemon's own; all may see it.
    std::string device_id;        ///< Empty: on none.
    std::string other_device_id;  ///< Where bytes come from, if from another device; else empty.
    bool known = true;            ///< False: the history that would tell the owner is gone.
    bool operator==(const Attribution&) const = default;
};

/// `before` is the state just before the event was applied. O(log n).
[[nodiscard]] Attribution attribute(const core::State& before, const Event& event);

/// True if this caller may see an event of these: its owner, an admin, or anybody for the daemon's own and for models.
[[nodiscard]] bool may_see(const Caller& caller, const Attribution& whose);

/// What a walk along the history has to remember. Never aborts: history may have gaps.
class Roll {
public:
    Roll() = default;
    /// What the state knows. O(state).
    explicit Roll(const core::State& state);
    /// Whose the event is; then remembers what it says. Call for each event, in order.
    [[nodiscard]] Attribution take(const Event& event);

    struct Belongs {
        u32 owner = 0;
        u32 device = 0;
        u32 other_device = 0;
    };

private:
    friend struct RollLookup;
    u32 word(std::string_view text);
    void note(const Event& event, const Attribution& whose);

    std::vector<std::string> words_{std::string()};
    std::map<std::string, u32, std::less<>> indexes_{{std::string(), 0}};
    std::vector<u32> devices_;  ///< By index: the word of the id.
    std::map<u64, Belongs> allocations_;
    std::map<u64, u32> moves_;  ///< Allocation → the device of its second place.
    std::map<BlockKey, Belongs> blocks_;
    std::map<u64, Belongs> operations_;
    std::map<u64, Belongs> transfers_;
};
}  // namespace vramd::report
