/// The core: a state machine over values. `decide` says what a command leads to, `apply` does it, and nothing else changes state.
///
/// Equal ledgers give equal states: `state_hash` is the proof, taken before a crash and after the replay. No thread, clock, random,
/// descriptor or system call is known here; time and secrets come with the command.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "core/keys.hpp"
#include "core/memory/books.hpp"
#include "core/memory/pressure.hpp"
#include "core/memory/transfers.hpp"
#include "core/model/catalogue.hpp"
#include "core/sessions.hpp"
#include "terms/command.hpp"
#include "terms/effect.hpp"
#include "terms/event.hpp"

namespace vramd::core {
/// The owner of all model memory.
inline constexpr std::string_view model_owner = "vramd";
/// The longest lease: a hundred years. In nanoseconds its end is far from wrapping.
inline constexpr u64 lease_seconds_max = 3'153'600'000;

struct State {
    memory::Books books;
    model::Catalogue catalogue;
    memory::Transfers transfers;
    memory::Pressures pressures;
    Keys keys;
    Sessions sessions;
};

/// A copy of a model that goes without its owner's word: for room, by pressure or by limits.
struct Evicted {
    u16 device = 0;
    u64 bytes = 0;  ///< Of its block.
};

/// What a command leads to.
struct Decision {
    std::vector<Event> events;    ///< Recorded and applied together, or not at all.
    std::vector<Effect> effects;  ///< Run after that.
    AllocationId allocation;      ///< Of an allocate: what was reserved.
    OperationId operation;        ///< Of a load: what was started.
    TransferId transfer;          ///< Of a transfer: what was queued, cancelled or ended.
    SessionId session{};          ///< Of a session's beginning.
    std::optional<u16> device{};  ///< Of limits and reclaims: the device.
    u64 freed_bytes = 0;
    u64 passed_over = 0;  ///< Of a reclaim: models whose turn it was, but that are pinned, used or to be preserved.
    /// The request does not fit yet, but will once blocks released by `events` are gone: decide again then.
    bool again_after_release = false;
    std::vector<Evicted> evicted{};  ///< Among what ends by `events`.
};

/// What the command leads to, or why it is refused; nothing changes. `now` is the time of the decision.
[[nodiscard]] Result<Decision> decide(const State& state, const Command& command, Moment now);

/// What a refusal says of clients that were asked to let go and hold so much still; nothing of none.
[[nodiscard]] std::string held_by_asked(u64 bytes);

/// Whether the request could be granted if nothing but the limits and quotas stood against it: one that cannot waits in vain.
[[nodiscard]] bool can_ever_fit(const State& state, const AllocateCommand& command);

/// Does what the event says. INVARIANT where it cannot fit: `decide` made it for this very state.
void apply(State& state, const Event& event);

/// Effects that a core which died may have left undone: what a restarted one runs after its replay.
[[nodiscard]] std::vector<Effect> unfinished(const State& state);

/// Every invariant, recomputed; a sentence for each that does not hold. O(state).
[[nodiscard]] std::vector<std::string> audit(const State& state);

[[nodiscard]] std::vector<std::byte> save(const State& state);
/// Errors: `system_failed` where the bytes are not a saved state.
[[nodiscard]] Result<State> restore(std::span<const std::byte> bytes);
/// Checksum of `save`. O(state).
[[nodiscard]] u64 state_hash(const State& state);

/// True if the caller may see this allocation: its owner, an admin, or anybody for what holds a model.
[[nodiscard]] bool may_see(const State& state, const Caller& caller, const memory::Allocation& allocation);
[[nodiscard]] bool may_see(const State& state, const Caller& caller, const memory::Use& use);
/// A refusal of a device that is not in use, which names those that are; an empty id asked for any. Field "device".
[[nodiscard]] std::unexpected<Error> no_device(const memory::Books& books, std::string_view device_id);
}  // namespace vramd::core
