/// What runs the core: one lock around decide → append → apply, then replies and effects.
///
/// Every public call is thread-safe. A `done` callback is called exactly once, from any thread, possibly before the call returns,
/// never under the engine's lock. Nothing here waits for I/O, a driver or a copy, except where a docstring says so.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "core/report/limits.hpp"
#include "core/report/told.hpp"
#include "device/device.hpp"
#include "engine/attachment.hpp"
#include "engine/events.hpp"
#include "engine/insight.hpp"
#include "engine/ports.hpp"
#include "terms/command.hpp"

namespace vramd::engine {
template <class T>
using Done = std::move_only_function<void(Result<T>)>;

struct Allocated {
    report::AllocationTold record;
    report::DeviceBooks device_after;
    u64 wait_ns = 0;       ///< For room, and for the device to make a block.
    u64 placement_ns = 0;  ///< Deciding, recording, applying.
    u64 zeroing_ns = 0;
    u64 total_ns = 0;
};
struct Freed {
    u64 freed_bytes = 0;
    AllocationStatus status = AllocationStatus::live;  ///< `live`: freed whole; `zombie`: a holder still has it.
    bool cached = false;                               ///< A copy stays, in the RAM cache.
    report::DeviceBooks device_after;
    u64 total_ns = 0;
};
/// Why an allocation was refused, beside the error: for the problem document.
struct Shortfall {
    u64 requested_bytes = 0;
    u64 available_bytes = 0;
    u64 largest_free_bytes = 0;
    std::vector<std::string> suggestions;
};

struct ClearRequest {
    Caller caller;
    std::optional<AllocationId> allocation;  ///< Exactly one of allocation and device_id.
    std::string device_id;                   ///< All free memory of the device: holes of arenas and pooled blocks.
    u64 offset_bytes = 0;
    std::optional<u64> size_bytes;  ///< Absent: to the end.
    u8 fill_value = 0;
};
struct CopyRequest {
    Caller caller;
    AllocationId source;
    AllocationId target;
    u64 source_offset_bytes = 0;
    u64 target_offset_bytes = 0;
    std::optional<u64> size_bytes;  ///< Absent: what both hold beyond their offsets, the smaller.
};
struct Moved {
    u64 bytes = 0;
    u64 duration_ns = 0;
    u64 limit_bytes_per_second = 0;  ///< memset's or memcpy's own rate on this machine, measured once after start.
    u64 allocations_touched = 0;
    u64 free_ranges_touched = 0;
};

enum class Access : u8 { read, write };

/// The bytes of one allocation, held still and alive while this object lives (a free is refused as `leased` meanwhile).
class Content {
public:
    virtual ~Content() = default;
    [[nodiscard]] virtual u64 size_bytes() const = 0;
    /// At most `max_bytes` at the offset, at least one where any are left. Valid until the next call on this object or its end.
    [[nodiscard]] virtual Result<std::span<const std::byte>> view(u64 offset_bytes, u64 max_bytes) = 0;
    /// Room to write at the offset, at most `max_bytes`; what was put there counts after `commit`. Only for Access::write.
    [[nodiscard]] virtual Result<std::span<std::byte>> room(u64 offset_bytes, u64 max_bytes) = 0;
    [[nodiscard]] virtual Result<void> commit(u64 offset_bytes, u64 bytes) = 0;
};

/// A model file found beneath a model folder.
struct AvailableModel {
    std::string path;  ///< Relative to its folder.
    std::string folder;
    u64 file_bytes = 0;                    ///< Of the file itself; shards and external data are apart.
    u64 predicted_bytes = 0;               ///< What a load takes of the first device, exactly; 0 when the file is refused.
    std::optional<Inspection> inspection;  ///< What a load will take; absent when the file is refused.
    std::optional<Error> error;            ///< Why it is refused.
    std::vector<std::string> loaded_as;
};

/// The RAM cache; no device: there is none.
struct CacheTold {
    std::string device_id;
    u64 max_bytes = 0;   ///< Of copies that are loaded nowhere for use.
    u64 used_bytes = 0;  ///< By such copies.
};

struct WorkerTold {
    i32 pid = 0;
    std::string job;
    OperationId operation;
};
struct SystemTold {
    std::string version;
    i32 keeper_pid = 0;
    i32 core_pid = 0;
    u64 generation = 0;
    u64 ledger_sequence = 0;
    u64 started_wall_ns = 0;  ///< Of the keeper.
    u64 core_started_wall_ns = 0;
    std::string boot_id;
    std::vector<WorkerTold> workers;
    RecoveryTold recovery;
    bool read_only = false;
    std::string read_only_reason;
    u64 ledger_room_bytes = 0;       ///< For events, in the files that are there.
    u64 ledger_file_bytes = 0;       ///< One file of the ledger; the next is made when less than half of one is left.
    u64 ledger_disk_free_bytes = 0;  ///< On the disk that the next one would be on.
};

/// What can be brought from a device to another, measured.
struct LinkTold {
    std::string to_device_id;
    u64 bytes_per_second = 0;
    u64 measured_wall_ns = 0;
};
struct DeviceTold {
    report::DeviceBooks books;
    device::Facts facts;
    device::Reading reading;
    std::vector<LinkTold> links;  ///< To each other device; empty until it was measured.
};

/// What a caller's key was used for (core/keys.hpp).
struct KeyTold {
    u64 body = 0;
    std::string subject;
    std::string device_id;
    u64 bytes = 0;
};

struct AuditTold {
    bool ok = true;
    u64 checked = 0;
    std::vector<std::string> findings;  ///< A sentence each.
    u64 state_hash = 0;
    u64 ledger_sequence = 0;
};

/// What a reclaim gave back.
struct Reclaimed {
    u64 bytes = 0;                    ///< Of blocks that go; they are back when the device has let go of them.
    u64 blocks = 0;                   ///< Arenas that held nothing.
    std::vector<std::string> models;  ///< Evicted, by their first names, in order.
    u64 passed_over = 0;              ///< Models whose turn it was, but that are pinned, used or to be preserved.
};
struct LimitsChanged {
    report::LimitsTold limits;    ///< As they are now; of a dry run, as they would be.
    report::LimitsImpact impact;  ///< Computed on the state just before.
    Reclaimed reclaimed;          ///< Nothing unless it was enforced at once.
};
/// Whether a change is made, or only told what it would lead to.
enum class Trial : u8 { real, dry_run };

class Engine {
public:
    /// Replays the ledger, takes blocks back, undoes what nobody was told of, and goes on. Blocks until that is done.
    /// Errors: `system_failed` where the ledger or a device cannot be opened at all.
    [[nodiscard]] static Result<std::unique_ptr<Engine>> start(Options options, Ports ports);
    virtual ~Engine() = default;

    // Memory.
    /// `timeout_ns`: how long to wait for room; 0: not at all. Errors: invalid_field, not_found (device), forbidden (another's owner name),
    /// insufficient_memory, unsupported, read_only; timed_out where no room came within `timeout_ns`. `shortfall_of` tells the figures
    /// behind an insufficient_memory or a timed_out.
    virtual void allocate(AllocateCommand command, u64 timeout_ns, Done<Allocated> done) = 0;
    /// Who waits for room on behalf of this session (`Caller::session`, not 0) is gone: its requests take nothing and make nobody give way
    /// any more. They are answered as `cancelled`, but for those that have their place already.
    virtual void forget_waiting(u64 session) = 0;
    [[nodiscard]] virtual Shortfall shortfall_of(const AllocateCommand& command) = 0;
    /// Errors: not_found, leased (content is being read or written, or a client has it attached), read_only. `force`: wait for the present
    /// readers to end instead; and what clients have attached is a zombie from now on: nobody begins to use it, and it is freed when the
    /// last of them lets go. The answer does not wait for that.
    virtual void free(FreeCommand command, bool force, Done<Freed> done) = 0;
    [[nodiscard]] virtual Result<report::AllocationTold> renew_lease(RenewLeaseCommand command) = 0;
    [[nodiscard]] virtual Result<std::unique_ptr<Content>> open_content(const Caller& caller, AllocationId id, Access access) = 0;
    /// Holds an allocation for a client, and with a mode also opens its memory for it; counted in `attached_clients`. What holds a model,
    /// or was allocated as shareable, others may attach too, to read; the first one of another owner seals it, for ever. Makes a few system
    /// calls. Recorded for the holder's session before it returns. Errors: not_found, conflict (not ready, being freed or moved, write of a
    /// model or of what is sealed), unsupported (its block holds more than this allocation), device_lost; with a session also read_only.
    [[nodiscard]] virtual Result<std::unique_ptr<Attachment>> attach(const Caller& caller, AllocationId id, std::optional<AttachMode> mode,
                                                                     const Holder& holder = {}) = 0;
    /// Begins a client's session, which outlives this core. `secret` is the engine's to set. Errors: read_only.
    [[nodiscard]] virtual Result<SessionId> begin_session(BeginSessionCommand command) = 0;
    /// Goes on with a session of the core before, by the sum of its key. Errors: not_found (no such session, another owner's, or its grace
    /// is over), conflict (a connection has it).
    [[nodiscard]] virtual Result<ResumedSession> resume_session(const Caller& caller, u64 key_sum) = 0;
    /// Records that a session's mapping is gone; what holds it in this core is the caller's own. Without a session it only tells.
    /// `until_it_ends` matters where the session allocated it: it has it, without a mapping, until it ends. Errors: read_only.
    [[nodiscard]] virtual Result<Kept> let_go(SessionId session, AllocationId id) = 0;
    /// The session's client has ended. What the ledger cannot take now it takes later.
    virtual void end_session(SessionId session) = 0;
    /// What clients hold though it was freed, by serial. O(devices) where there is none, else O(allocations that clients hold).
    [[nodiscard]] virtual std::vector<ZombieTold> zombies() = 0;
    virtual void clear(ClearRequest request, Done<Moved> done) = 0;
    virtual void copy(CopyRequest request, Done<Moved> done) = 0;

    /// Moves bytes between two places, on one device or two; it takes its turn among the others. `until` says when `done` is called: once
    /// it is accepted and has its room, or once it has ended. Errors: not_found, conflict, leased, pinned, out_of_range, invalid_field,
    /// insufficient_memory, busy, read_only; with Until::ended also what ended it: timed_out, cancelled, device_lost.
    enum class Until : u8 { accepted, ended };
    virtual void transfer(TransferCommand command, Until until, Done<report::TransferTold> done) = 0;
    /// Errors: not_found, conflict (it has ended already), read_only.
    [[nodiscard]] virtual Result<report::TransferTold> cancel_transfer(CancelTransferCommand command) = 0;
    [[nodiscard]] virtual Result<report::TransferTold> read_transfer(const Caller& caller, TransferId id) = 0;
    [[nodiscard]] virtual report::TransferPage transfers(const Caller& caller, const report::TransferFilter& filter) = 0;

    /// Reads all of an allocation, piece by piece away from the caller's thread, and tells what its bytes are; no access is counted.
    /// Errors: not_found, conflict (not ready, being freed), unsupported, device_lost.
    virtual void content_stats(const Caller& caller, AllocationId id, Done<ContentStats> done) = 0;

    // Limits.
    /// Errors: not_found.
    [[nodiscard]] virtual Result<report::LimitsTold> limits(std::string_view device_id) = 0;
    /// Errors: not_found, forbidden, invalid_field, precondition_failed (another revision), read_only.
    [[nodiscard]] virtual Result<LimitsChanged> set_limits(SetLimitsCommand command, Trial trial) = 0;
    /// Takes memory back without its owner's word (core/reclaim.hpp); as far as it goes. `frozen` and `in_use` are the engine's to set.
    /// Errors: invalid_field, read_only.
    [[nodiscard]] virtual Result<Reclaimed> reclaim(ReclaimCommand command) = 0;

    // Models.
    /// Answers at once with the operation, which then runs. `ended` is called when it ends (at once for a model that is there already).
    [[nodiscard]] virtual Result<OperationId> load_model(LoadModelCommand command, Done<report::OperationTold> ended) = 0;
    /// Ends the hold of a load that was `held`: whoever loaded it has attached it, or does not want it any more. Else nothing.
    virtual void let_loaded_go(OperationId id) = 0;
    virtual void unload_model(UnloadModelCommand command, Done<Freed> done) = 0;
    /// Errors: not_found, conflict (it is loaded where the cache is), leased, read_only.
    virtual void uncache(UncacheCommand command, Done<Freed> done) = 0;
    [[nodiscard]] virtual CacheTold cache() = 0;
    [[nodiscard]] virtual Result<report::OperationTold> cancel(CancelOperationCommand command) = 0;
    /// Files beneath the model folders with their exact sizes; inspects those not known yet (in loader processes).
    virtual void available_models(Done<std::vector<AvailableModel>> done) = 0;

    // Upkeep.
    /// Answers at once with the operation, which then runs; `ended` is called when it ends. It outlives the core: the next one goes on.
    /// Errors: not_found (device, an allocation that is to stay), invalid_field, conflict (one works on the device already), busy,
    /// read_only.
    [[nodiscard]] virtual Result<OperationId> upkeep(UpkeepCommand command, Done<report::OperationTold> ended) = 0;
    /// What it would do now, tried on a copy of the state away from the caller's thread; nothing is recorded. Errors: as `upkeep`'s.
    virtual void try_upkeep(UpkeepCommand command, Done<report::UpkeepProgress> done) = 0;

    // What is told. Each takes the lock for the time of one fold; another's things answer as missing ones to a `Role::user`.
    [[nodiscard]] virtual SystemTold system() = 0;
    /// Without the histogram of holes, which only `device` tells: it walks over the holes.
    [[nodiscard]] virtual std::vector<DeviceTold> devices() = 0;
    [[nodiscard]] virtual Result<DeviceTold> device(std::string_view device_id) = 0;
    /// Whether anything can be told of the device: it is configured, or was and the books know it still. O(devices).
    /// Errors: not_found, naming the devices that there are.
    [[nodiscard]] virtual Result<void> known_device(std::string_view device_id) = 0;
    [[nodiscard]] virtual report::AllocationPage allocations(const Caller& caller, const report::AllocationFilter& filter) = 0;
    [[nodiscard]] virtual Result<report::AllocationTold> allocation(const Caller& caller, AllocationId id) = 0;
    /// Empty `device_id`: all devices. By owner: everybody's; by purpose: of what the caller may see.
    [[nodiscard]] virtual report::UsageTold usage(const Caller& caller, std::string_view device_id) = 0;
    [[nodiscard]] virtual std::vector<report::ModelTold> models() = 0;
    [[nodiscard]] virtual Result<report::ModelTold> model(std::string_view name) = 0;
    [[nodiscard]] virtual Result<std::vector<Tensor>> tensors(std::string_view name) = 0;
    [[nodiscard]] virtual Result<report::OperationTold> operation(const Caller& caller, OperationId id) = 0;
    /// Newest first, at most `limit`.
    [[nodiscard]] virtual std::vector<report::OperationTold> operations(const Caller& caller, u64 limit) = 0;
    /// What the caller's own key was used for by a change that was recorded, if it was; through restarts, for a day.
    [[nodiscard]] virtual std::optional<KeyTold> key_used(const Caller& caller) = 0;
    /// The ledger's events. Valid as long as the engine is.
    [[nodiscard]] virtual Events& events() = 0;
    // How tight it is, how it was, what would help (insight.hpp).
    /// Every device, measured on this call.
    [[nodiscard]] virtual std::vector<PressureTold> pressures(const Caller& caller) = 0;
    /// Errors: not_found.
    [[nodiscard]] virtual Result<PressureTold> pressure(const Caller& caller, std::string_view device_id) = 0;
    /// Empty `device_id`: every device. One that is not there has no row.
    [[nodiscard]] virtual std::vector<PastTold> past(std::string_view device_id, report::Window window) = 0;
    [[nodiscard]] virtual std::vector<AnalysisTold> analysis(std::string_view device_id, report::Window window) = 0;
    /// What would help, most first; tried on a copy of the state, outside the lock and away from the caller's thread. O(state).
    virtual void advice(const Caller& caller, Done<std::vector<report::Advice>> done) = 0;
    [[nodiscard]] virtual std::vector<ModelsOfDevice> model_memory() = 0;
    [[nodiscard]] virtual WorkTold work() = 0;
    /// Unloads models until each device's pressure is below the target. Errors: not_found (device, an excluded model), read_only.
    virtual void optimize_models(OptimizeModelsRequest request, Done<OptimizedModels> done) = 0;
    /// O(state): recomputes every book and compares registry, backend and keeper.
    [[nodiscard]] virtual AuditTold audit() = 0;

    /// Takes no new work, answers who waits for room, and gives what runs at most `wait_ns_max` to end and be told. Who waits for a load
    /// after that is answered `busy`; the load is cut off and stays in the record as it is, so that the next core goes on with it. Blocks.
    /// Then the object may be destroyed.
    virtual void stop(u64 wait_ns_max) = 0;
};
}  // namespace vramd::engine
