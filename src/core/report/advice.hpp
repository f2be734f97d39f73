/// What could be done for more room, each with the call that does it and what it would bring: found by doing it to a copy of the state.
///
/// Nothing is estimated that can be tried: unloads are decided and applied to the copy as the core would, a defragmentation is planned on
/// the copied layout. Pure; the machine's figures come with the call.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/memory/defragment.hpp"
#include "core/memory/pressure.hpp"
#include "core/model/eviction.hpp"
#include "core/report/report.hpp"

namespace vramd::report {
enum class AdviceKind : u8 {
    evict_models,          ///< Unload models that nobody uses.
    release_empty_arenas,  ///< Give back blocks with nothing in them.
    defragment,            ///< Empty blocks by moving what is in them.
    move_allocation,       ///< To a device with room.
    free_unused,           ///< Something of the caller's that nobody touched for a day.
    look_at_usage,         ///< Others hold the memory: see who.
    raise_quota,           ///< An owner is at the end of its quota while its device has room.
    enforce_limit,         ///< More is in use than the limits allow, and some of it can be reclaimed.
    raise_limit,           ///< More is in use than the limits allow, and nothing of it can be reclaimed.
    lower_reserve,         ///< Somebody waits for room that only the reserve holds back.
};

/// How a device is, as far as advice is about it.
struct Outlook {
    u64 used_bytes = 0;
    u64 uncommitted_bytes = 0;
    u64 largest_free_bytes = 0;
    u64 fragmentation = 0;  ///< Hundredths.
    u64 level = 0;          ///< Pressure, hundredths.
    bool operator==(const Outlook&) const = default;
};

/// The call that does it; what is absent is not part of its body.
struct AdvisedCall {
    std::string method;
    std::string path;
    std::optional<std::string> device_id;
    std::optional<std::string> strategy;
    std::vector<std::string> operations;
    std::optional<u64> target_level;  ///< Hundredths.
    std::optional<std::string> source_allocation_id;
    std::optional<std::string> target_device_id;
    std::optional<std::string> mode;
    LimitsChange limits;
    Enforce enforce = Enforce::later;  ///< `later` is not part of the body.
};

struct Advice {
    AdviceKind kind = AdviceKind::evict_models;
    std::string device_id;
    std::string reason;   ///< A sentence.
    u64 freed_bytes = 0;  ///< What more any owner (of a quota: its owner) can have, or what is freed within its owner's arenas.
    Outlook before;
    Outlook after;
    AdvisedCall call;
};

/// What is known of the world beside the state.
struct Surroundings {
    /// Per device of the state, by index: the machine's part of a pressure input; absent: no such device is open.
    std::vector<std::optional<memory::PressureInput>> machine;
    std::vector<u64> in_use;               ///< Serials of allocations whose content is being read or written, sorted.
    std::vector<u64> frozen;               ///< Blocks whose holes are being written, sorted.
    std::vector<AllocateCommand> waiting;  ///< Requests that wait for room, those with the highest standing first.
    u64 now_wall_ns = 0;
};

/// The input for `judge`: the books' part from the state, the machine's as given.
[[nodiscard]] memory::PressureInput pressure_input(const core::State& state, u16 device, memory::PressureInput machine);
/// The same after `bytes` of blocks have gone back to the system.
[[nodiscard]] memory::PressureInput after_release(memory::PressureInput input, u64 bytes);

/// `released_bytes`: what a trial gave back since the machine's figures were taken.
[[nodiscard]] Outlook outlook_of(const core::State& state, u16 device, const memory::PressureInput& machine, u64 released_bytes = 0);
/// Decides and applies to the copy, with every block's release done at once; false where the core would refuse.
bool carry_out(core::State& copy, const Command& command, Moment now);
/// Gives up these copies (serials) on a device from the copy, as the core would, with their blocks released at once; answers what was freed
/// and sets how the device is then.
u64 unload_on_copy(core::State& copy, u16 device, const memory::PressureInput& machine, std::span<const u64> copies, u64 now_wall_ns,
                   Outlook& after);

/// The models on a device as policies see them. O(models).
[[nodiscard]] std::vector<model::Resident> residents(const core::State& state, u16 device, std::span<const u64> in_use);
/// What a policy would unload of a device until its level is below the target.
[[nodiscard]] model::Eviction plan_eviction(const core::State& state, u16 device, const memory::PressureInput& machine,
                                            std::span<const model::Resident> models, model::EvictionPolicy policy, u64 target_level,
                                            const model::EvictionBounds& bounds, u64 now_wall_ns);

/// What helps on one device now that it is tight; empty while it is not. Cheap: no copy. O(models + allocations of the caller).
[[nodiscard]] std::vector<Advice> actions_for(const core::State& state, u16 device, const Caller& caller, const Surroundings& around);
/// `1024 bytes`.
[[nodiscard]] std::string bytes_text(u64 bytes);
/// Everything that helps anywhere, most first; tried on `copy`, which is used up. O(state).
[[nodiscard]] std::vector<Advice> advise(core::State copy, const Caller& caller, const Surroundings& around);
}  // namespace vramd::report
namespace vramd {
template <>
struct EnumNames<report::AdviceKind> {
    static constexpr std::array<std::string_view, 10> names = {"evictModels", "releaseEmptyArenas", "defragment", "moveAllocation",
                                                               "freeUnused",  "lookAtUsage",        "raiseQuota", "enforceLimit",
                                                               "raiseLimit",  "lowerReserve"};
};
}  // namespace vramd
