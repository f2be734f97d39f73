/// The engine itself. One mutex guards the state, the ledger's end and what waits; nothing slow happens under it.
///
/// Order of every change: lock, decide, append, apply, note who must be told, unlock; then tell them and start the effects. A finished
/// effect comes back as a command through the same door. So a reply is sent only after its events are in the ledger.
///
/// Invariants: an effect starts only after the event that asks for it is recorded; a block's descriptor is in the vault before its
/// `ready` is recorded, and leaves it only after its `releasing` is; a waiter is told exactly once.
#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <set>

#include "base/mutex.hpp"
#include "core/report/report.hpp"
#include "core/state.hpp"
#include "core/upkeep.hpp"
#include "engine/engine.hpp"
#include "engine/event_feed.hpp"
#include "engine/giving.hpp"
#include "engine/link_limits.hpp"
#include "engine/live_transfer.hpp"
#include "engine/sampling.hpp"
#include "engine/waiting.hpp"
#include "ledger/ledger.hpp"

namespace vramd::engine {
class Runner final : public Engine {
public:
    Runner(Options options, Ports ports);
    ~Runner() override;
    /// What `Engine::start` does.
    [[nodiscard]] Result<void> recover();

    void allocate(AllocateCommand command, u64 timeout_ns, Done<Allocated> done) override;
    Shortfall shortfall_of(const AllocateCommand& command) override;
    void forget_waiting(u64 session) override;
    void free(FreeCommand command, bool force, Done<Freed> done) override;
    Result<report::AllocationTold> renew_lease(RenewLeaseCommand command) override;
    Result<std::unique_ptr<Content>> open_content(const Caller& caller, AllocationId id, Access access) override;
    Result<std::unique_ptr<Attachment>> attach(const Caller& caller, AllocationId id, std::optional<AttachMode> mode,
                                               const Holder& holder = {}) override;
    Result<SessionId> begin_session(BeginSessionCommand command) override;
    Result<ResumedSession> resume_session(const Caller& caller, u64 key_sum) override;
    Result<Kept> let_go(SessionId session, AllocationId id) override;
    void end_session(SessionId session) override;
    std::vector<ZombieTold> zombies() override;
    void clear(ClearRequest request, Done<Moved> done) override;
    void copy(CopyRequest request, Done<Moved> done) override;
    void transfer(TransferCommand command, Until until, Done<report::TransferTold> done) override;
    Result<report::TransferTold> cancel_transfer(CancelTransferCommand command) override;
    Result<report::TransferTold> read_transfer(const Caller& caller, TransferId id) override;
    report::TransferPage transfers(const Caller& caller, const report::TransferFilter& filter) override;
    void content_stats(const Caller& caller, AllocationId id, Done<ContentStats> done) override;

    Result<OperationId> load_model(LoadModelCommand command, Done<report::OperationTold> ended) override;
    void let_loaded_go(OperationId id) override;
    void unload_model(UnloadModelCommand command, Done<Freed> done) override;
    void uncache(UncacheCommand command, Done<Freed> done) override;
    CacheTold cache() override;
    Result<report::OperationTold> cancel(CancelOperationCommand command) override;
    void available_models(Done<std::vector<AvailableModel>> done) override;

    Result<OperationId> upkeep(UpkeepCommand command, Done<report::OperationTold> ended) override;
    void try_upkeep(UpkeepCommand command, Done<report::UpkeepProgress> done) override;

    SystemTold system() override;
    std::vector<DeviceTold> devices() override;
    Result<DeviceTold> device(std::string_view device_id) override;
    Result<void> known_device(std::string_view device_id) override;
    report::AllocationPage allocations(const Caller& caller, const report::AllocationFilter& filter) override;
    Result<report::AllocationTold> allocation(const Caller& caller, AllocationId id) override;
    report::UsageTold usage(const Caller& caller, std::string_view device_id) override;
    std::vector<report::ModelTold> models() override;
    Result<report::ModelTold> model(std::string_view name) override;
    Result<std::vector<Tensor>> tensors(std::string_view name) override;
    Result<report::OperationTold> operation(const Caller& caller, OperationId id) override;
    std::vector<report::OperationTold> operations(const Caller& caller, u64 limit) override;
    std::optional<KeyTold> key_used(const Caller& caller) override;
    Events& events() override { return feed_; }
    AuditTold audit() override;
    std::vector<PressureTold> pressures(const Caller& caller) override;
    Result<PressureTold> pressure(const Caller& caller, std::string_view device_id) override;
    std::vector<PastTold> past(std::string_view device_id, report::Window window) override;
    std::vector<AnalysisTold> analysis(std::string_view device_id, report::Window window) override;
    void advice(const Caller& caller, Done<std::vector<report::Advice>> done) override;
    std::vector<ModelsOfDevice> model_memory() override;
    WorkTold work() override;
    void optimize_models(OptimizeModelsRequest request, Done<OptimizedModels> done) override;
    Result<report::LimitsTold> limits(std::string_view device_id) override;
    Result<LimitsChanged> set_limits(SetLimitsCommand command, Trial trial) override;
    Result<Reclaimed> reclaim(ReclaimCommand command) override;
    void stop(u64 wait_ns_max) override;

    /// From now on nothing is recorded, as if the process were dead already. For the simulation, before it drops this object.
    void abandon();
    /// The state's hash, for tests: equal before a crash and after the replay.
    [[nodiscard]] u64 hash();
    /// What the core itself finds wrong now; for tests.
    [[nodiscard]] std::vector<std::string> findings();
    /// Shows the state as it is now, under the lock: `see` calls nothing of this object. For the simulation's oracle.
    void look(const std::function<void(const core::State&)>& see) {
        const Lock lock(lock_);
        see(state_);
    }

private:
    friend class HeldContent;
    friend class HeldAttachment;
    using UnderLock = std::move_only_function<void(const core::Decision&)>;
    /// What came of trying to place one.
    struct Attempt {
        Result<core::Decision> decision;
        std::optional<Error> refusal;  ///< To be told; neither this nor the next: its place is taken.
        std::optional<u64> waits_until_ns;
        Told told{};
    };
    struct Inspected {
        Loading::File file;
        Result<Inspection> result;
    };
    struct Survey;
    struct Clearing;

    // runner.cpp: the one way in.
    /// Decides, records, applies, tells, starts effects. `under_lock` runs after the apply, before the lock is let go.
    Result<core::Decision> commit(Command command, UnderLock under_lock = {});
    Result<core::Decision> commit_locked(const Command& command, UnderLock& under_lock, Told& told) REQUIRES(lock_);
    [[nodiscard]] Result<core::Decision> decide_locked(const Command& command, Moment now) REQUIRES(lock_);
    Result<core::Decision> record_locked(core::Decision decision, Moment now, UnderLock& under_lock, Told& told) REQUIRES(lock_);
    void finish(Told& told, const std::vector<Effect>& effects);
    [[nodiscard]] bool owes_an_answer() const REQUIRES(lock_);
    /// Records a finished effect. What the ledger cannot take now is given again after its next snapshot: somebody waits to be told.
    void conclude(Command command);
    void give_up(const Command& command, u16 device, Giving& giving) REQUIRES(lock_);
    void tell_freed(Giving& giving, Done<Freed> done);
    // giving.cpp: the same, once what was given up is back.
    void tell_released(Giving giving, u16 device, Done<Freed> done);
    void note_release(const Event& event, Told& told) REQUIRES(lock_);
    void tell_release(u64 order);
    void tell_releases();
    void free_waiting(u64 serial);
    void free_zombie(u64 serial);
    void free_zombies();
    void schedule_leases() REQUIRES(lock_);
    void expire_leases(u64 timer_ns);
    void keep_ledger() REQUIRES(lock_);
    void prepare_ledger();
    void write_snapshot();
    void record_unrecorded();

    // notes.cpp: what an event leads to.
    void note(const Event& event, Told& told) REQUIRES(lock_);
    void note_allocation(AllocationId id, const Error* error, Told& told) REQUIRES(lock_);
    void note_operation(const OperationEnded& ended, Told& told) REQUIRES(lock_);
    void shrink_devices(Told& told) REQUIRES(lock_);

    // waiting.cpp: who waits for room, and in which order it is had.
    static constexpr u64 newcomer = UINT64_MAX;  ///< Younger than all that wait.
    [[nodiscard]] Attempt try_allocate(Waiting& waiting) REQUIRES(lock_);
    void set_timer(Waiting& waiting, u64 deadline_ns) REQUIRES(lock_);
    void try_waiting(u64 order);
    void retry_waiting();
    void tell_attempt(Attempt& attempt, Done<Allocated>& done);
    [[nodiscard]] static u64 standing_of(const Waiting& waiting);
    [[nodiscard]] std::vector<u16> closed_to(u64 order, u64 standing) REQUIRES(lock_);
    [[nodiscard]] std::optional<u16> device_kept_for(const Waiting& waiting) REQUIRES(lock_);
    void count_overtaken(const core::Decision& decision, u64 order) REQUIRES(lock_);
    /// Fills in what the engine knows and the core does not: what is in use, frozen or kept for who waits.
    void prepare(Command& command) REQUIRES(lock_);
    [[nodiscard]] std::vector<u64> frozen_blocks() REQUIRES(lock_);
    [[nodiscard]] std::vector<u64> used_allocations() REQUIRES(lock_);

    // waiting_loads.cpp: the same of loads.
    [[nodiscard]] bool load_waits(Command& command, const core::Decision& decision, Told& told) REQUIRES(lock_);
    [[nodiscard]] bool stands_behind(const model::Operation& operation, std::string_view device_id) const REQUIRES(lock_);
    [[nodiscard]] bool comes_free(const model::Operation& operation) const REQUIRES(lock_);
    void note_load(const Event& event, Told& told) REQUIRES(lock_);
    void leave_queue(u64 serial, Told& told) REQUIRES(lock_);
    void retry_loads();
    void retry_load(u64 serial);

    // reclaiming.cpp: asking clients to let go.
    [[nodiscard]] std::vector<u64> staying_uses(const Plea& plea, Reach reach, u64 now_ns) REQUIRES(lock_);
    [[nodiscard]] std::optional<std::vector<u64>> held_victims(const Command& command, Reach reach, Moment now) REQUIRES(lock_);
    [[nodiscard]] std::vector<u64> fewest(Command& command, std::vector<u64> victims, Reach reach, Moment now) REQUIRES(lock_);
    bool ask_for(Command& command, Plea& plea, Told& told) REQUIRES(lock_);
    void ask_one(u64 serial, Plea& plea, u64 until_ns, Told& told) REQUIRES(lock_);
    [[nodiscard]] u64 block_bytes_of(u64 serial) const REQUIRES(lock_);
    [[nodiscard]] u64 still_held_bytes(const Plea& plea) const REQUIRES(lock_);
    [[nodiscard]] u64 add_holder(u64 serial, u64 session, Asked asked);
    void remove_holder(u64 number, u64 serial) REQUIRES(lock_);
    void holder_keeps(u64 number);
    [[nodiscard]] bool somebody_waits() const REQUIRES(lock_);

    // limits.cpp
    [[nodiscard]] std::optional<ReclaimCommand> emergency_of(u16 device) REQUIRES(lock_);
    void note_emergency(const Event& event, Told& told) REQUIRES(lock_);
    void look_for_emergencies();

    // effects.cpp
    void start(const Effect& effect);
    void start_one(const CreateBlockEffect& effect);
    void start_one(const ReleaseBlockEffect& effect);
    void start_one(const ZeroEffect& effect);
    void start_one(const InspectModelEffect& effect);
    void start_one(const LoadModelEffect& effect);
    void start_one(const PlaceModelEffect& effect);
    void retry_places();
    void copy_model(OperationId operation, AllocationId source, BlockOf target, u64 bytes, u64 started_ns);
    void start_one(const StopLoadEffect& effect);
    void stop_if_cancelled(OperationId operation);
    void load_ended(OperationId operation, BlockKey block, device::Device& device, u64 started_ns, Result<void> result);
    [[nodiscard]] std::optional<device::BlockSpec> spec_of(BlockKey key, device::Device*& device) REQUIRES(lock_);
    [[nodiscard]] device::Device* device_of(u16 index) REQUIRES(lock_);
    [[nodiscard]] Executor& executor_of(BlockKey key) EXCLUDES(lock_);  ///< Of its device.

    // moves.cpp
    void start_one(const MoveEffect& effect);
    void move_ended(AllocationId id, const Result<transfer::Outcome>& outcome);

    // transfers.cpp
    void try_transfer(WaitingTransfer waiting);
    void retry_transfers();
    [[nodiscard]] std::optional<std::string_view> being_freed(const TransferCommand& command) const REQUIRES(lock_);
    void start_one(const ScheduleTransfersEffect& effect);
    void start_one(const TransferEffect& effect);
    void start_one(const StopTransferEffect& effect);
    [[nodiscard]] std::optional<transfer::Job> job_of(const memory::Transfer& transfer) REQUIRES(lock_);
    void transfer_copied(TransferId id, Result<transfer::Outcome> outcome);
    void end_transfer(const TransferPlan& plan, TransferredCommand command);
    void note_transfer(const Event& event, Told& told) REQUIRES(lock_);
    void schedule_transfer_end(const TransferPlan& plan);
    void fill_rates(report::TransferTold& told) REQUIRES(lock_);

    // upkeep.cpp
    struct UpkeepRun;
    enum class UpkeepStep : u8;
    void start_one(const UpkeepEffect& effect);
    void drive(std::shared_ptr<UpkeepRun> run);
    [[nodiscard]] UpkeepStep upkeep_step(UpkeepRun& run);
    [[nodiscard]] UpkeepStep give_over(UpkeepRun& run);
    [[nodiscard]] UpkeepStep begin_action(UpkeepRun& run);
    [[nodiscard]] UpkeepStep plan_moves(UpkeepRun& run);
    [[nodiscard]] UpkeepStep next_move(UpkeepRun& run);
    [[nodiscard]] UpkeepStep end_device(UpkeepRun& run);
    [[nodiscard]] UpkeepStep end_upkeep(UpkeepRun& run);
    void release_empty(UpkeepRun& run);
    void evict_models(UpkeepRun& run);
    void note_upkeep(const Event& event, Told& told) REQUIRES(lock_);
    void wake(const std::shared_ptr<UpkeepRun>& run, Told& told) REQUIRES(lock_);
    [[nodiscard]] Result<report::UpkeepProgress> tried_upkeep(const UpkeepCommand& command);
    [[nodiscard]] core::AtHand at_hand() const REQUIRES(lock_);

    // content.cpp
    [[nodiscard]] Result<transfer::Place> hold_place(const Caller& caller, AllocationId id, u64 offset_bytes, std::optional<u64> size_bytes,
                                                     Access access);
    [[nodiscard]] Result<std::unique_ptr<Content>> hold_content(const Caller& caller, AllocationId id, Access access);
    [[nodiscard]] Result<transfer::Place> hold_locked(const memory::Allocation& allocation, u64 offset_bytes, std::optional<u64> size_bytes,
                                                      Access access) REQUIRES(lock_);
    void hold(u64 serial) REQUIRES(lock_);
    /// What waited for the end of uses, to be run without the lock.
    struct EndedUses {
        std::vector<std::move_only_function<void()>> next;
        std::vector<u64> frees;  ///< Serials that a free waits for.
        bool evictable = false;  ///< A model can be evicted now, and somebody waits for room.
    };
    void end_use(u64 serial, EndedUses& ended) REQUIRES(lock_);
    void follow(EndedUses ended);
    void let_go(u64 serial);
    [[nodiscard]] bool in_use(u64 serial) const REQUIRES(lock_);
    void accessed(AllocationId id);
    void clear_allocation(ClearRequest request, Done<Moved> done);
    [[nodiscard]] Result<void> freeze_used_holes(const std::string& device_id, std::vector<transfer::Place>& holes,
                                                 std::vector<BlockKey>& blocks);
    void clear_free(ClearRequest request, Done<Moved> done);
    void clear_next(std::shared_ptr<Clearing> clearing);
    void thaw(const std::vector<BlockKey>& blocks);
    void note_work(const device::Device* device, report::Work work, const Moved& moved);

    // attach.cpp
    void detach(u64 serial, u64 holder);
    void keep_sessions();
    void end_kept_sessions();
    [[nodiscard]] u64 attached_to(u64 serial) const REQUIRES(lock_);
    [[nodiscard]] u64 attached_to(const model::Model& model) const REQUIRES(lock_);
    [[nodiscard]] std::optional<Error> why_attached(const FreeCommand& command) const REQUIRES(lock_);
    void leave_out_used(report::DeviceBooks& books, u16 device) const REQUIRES(lock_);

    // content_stats.cpp
    struct Scan;
    void scan_next(std::shared_ptr<Scan> scan);

    // models.cpp
    void survey_next(std::shared_ptr<Survey> survey);
    void survey_ended(Survey& survey);
    void fill_progress(report::OperationTold& told, u64 loading_serial);
    [[nodiscard]] u64 loading_serial_of(const model::Operation& operation) REQUIRES(lock_);

    // recovery.cpp
    [[nodiscard]] Result<void> replay();
    void adopt_blocks();
    void retire_devices();
    [[nodiscard]] Result<void> set_cache();
    void measure_links();
    void meet_device(const std::string& device_id);
    void pin_models_for(device::Device& device);
    void make_ledger_room();

    // told.cpp
    [[nodiscard]] std::vector<LinkTold> links_of(std::string_view device_id);

    // sampling.cpp
    void begin_history();
    void rebuild_history(u64 upto_sequence, u64 begun_wall_ns);
    void sample();
    [[nodiscard]] std::optional<Looked> sample_one(const std::string& device_id, const device::Reading& reading,
                                                   std::vector<Command>& commands);
    [[nodiscard]] u64 releasing_bytes(std::string_view device_id);
    [[nodiscard]] PressureTold judge_now(u16 index, const device::Reading& reading) REQUIRES(lock_);
    // relief.cpp
    void relieve(const std::vector<Looked>& looks);
    void relieve_memory(std::span<const Looked> sharing);
    void ask_for_relief(std::span<const Looked> sharing, u64 wanted_bytes);
    // insight.cpp
    [[nodiscard]] report::Surroundings surroundings(const std::map<std::string, device::Reading>& readings) REQUIRES(lock_);
    [[nodiscard]] std::map<std::string, device::Reading> read_devices();
    /// Runs what works long on a copy of the state: on the executor, so that no lane of HTTP waits for it, and one after the other, so that
    /// it has one of the executor's threads at most.
    void aside(std::move_only_function<void()> work);
    void next_aside();
    [[nodiscard]] PastTold past_of(const std::string& device_id, report::Window window) REQUIRES(lock_);
    // model_upkeep.cpp
    struct Optimizing;
    [[nodiscard]] Result<void> plan_models(Optimizing& work);
    void reclaim_planned(Optimizing& work);
    void models_optimized(std::shared_ptr<Optimizing> work);

    Options options_;
    Ports ports_;
    std::map<std::string, ConfiguredDevice, std::less<>> devices_;  ///< Fixed after the start.
    u64 core_started_wall_ns_ = 0;

    Mutex lock_;
    core::State state_ GUARDED_BY(lock_);
    std::unique_ptr<ledger::Ledger> ledger_;
    EventFeed feed_;
    RecoveryTold recovery_ GUARDED_BY(lock_);
    RecoverCommand::History history_ = RecoverCommand::History::whole;  ///< As the replay found it.
    std::string read_only_reason_ GUARDED_BY(lock_);                    ///< Empty: changes can be recorded.
    bool stopping_ GUARDED_BY(lock_) = false;
    std::condition_variable_any answered_;  ///< Once stopping: something was recorded that somebody may have waited for.
    bool snapshot_running_ GUARDED_BY(lock_) = false;
    bool preparing_ledger_ GUARDED_BY(lock_) = false;
    u64 unsaved_bytes_ GUARDED_BY(lock_) = 0;   ///< Of events since the last snapshot.
    u64 snapshot_bytes_ GUARDED_BY(lock_) = 0;  ///< Of the last snapshot.
    std::map<u64, AllocationWaiter> allocation_waiters_ GUARDED_BY(lock_);
    std::map<u64, std::vector<Done<report::OperationTold>>> operation_waiters_ GUARDED_BY(lock_);
    std::map<u64, HeldLoad> held_loads_ GUARDED_BY(lock_);        ///< By the operation's serial.
    std::map<u64, WaitingLoad> waiting_loads_ GUARDED_BY(lock_);  ///< By the operation's serial: the oldest first.
    Holders holders_ GUARDED_BY(lock_);
    std::map<u64, WaitingRelease> release_waiters_ GUARDED_BY(lock_);  ///< By order.
    std::map<u64, Waiting> waiting_ GUARDED_BY(lock_);                 ///< By order, the oldest first.
    std::map<u64, LiveTransfer> live_transfers_ GUARDED_BY(lock_);
    std::map<u64, std::vector<Done<report::TransferTold>>> transfer_waiters_ GUARDED_BY(lock_);
    std::vector<WaitingTransfer> waiting_transfers_ GUARDED_BY(lock_);
    std::vector<OperationId> waiting_places_ GUARDED_BY(lock_);                 ///< Loads whose room is being given back.
    std::map<u64, std::shared_ptr<UpkeepRun>> upkeeps_ GUARDED_BY(lock_);       ///< By the operation's serial.
    std::map<u64, std::shared_ptr<UpkeepRun>> upkeep_moves_ GUARDED_BY(lock_);  ///< By the serial of the allocation that is being moved.
    u64 next_order_ GUARDED_BY(lock_) = 1;
    std::set<u64> lease_timers_ GUARDED_BY(lock_);       ///< Deadlines that the executor will call at.
    std::vector<Command> unrecorded_ GUARDED_BY(lock_);  ///< Finished effects that the ledger had no room for.
    std::map<u64, u64> uses_ GUARDED_BY(lock_);          ///< Allocation serial → readers and writers of its content.
    std::map<u64, u64> attached_ GUARDED_BY(lock_);      ///< Of those uses: by clients, which nobody waits for.
    std::set<u64> kept_sessions_ GUARDED_BY(lock_);      ///< Of the core before, by number: their clients may come back yet.
    std::map<u64, std::vector<std::move_only_function<void()>>> after_use_ GUARDED_BY(lock_);
    /// By allocation serial: who comes after one of these is turned away, so each ends as freed.
    std::map<u64, std::deque<WaitingFree>> freeing_ GUARDED_BY(lock_);
    std::map<BlockKey, u64> frozen_ GUARDED_BY(lock_);
    std::deque<std::move_only_function<void()>> asides_ GUARDED_BY(lock_);  ///< The first is under way.
    u64 asides_done_ GUARDED_BY(lock_) = 0;                                 ///< How often there were none left.
    std::map<u64, bool> moving_ GUARDED_BY(lock_);  ///< Allocation serial → written since its copy to a second place began.
    report::History past_ GUARDED_BY(lock_);
    std::map<std::string, Watched, std::less<>> watched_ GUARDED_BY(lock_);
    std::map<std::string, u64, std::less<>> relieved_ns_;  ///< When something last went, by memory; of the sampling chain alone.
    WorkTold work_ GUARDED_BY(lock_);                      ///< Of transfers, what ended; the rest is counted when asked for.

    Mutex small_lock_;                                     ///< Never held together with lock_ in the other order: lock_ first.
    std::map<u64, u64> progress_ GUARDED_BY(small_lock_);  ///< Operation serial → bytes landed.
    std::map<u64, transfer::Ticket> model_copies_ GUARDED_BY(small_lock_);  ///< By the serial of the operation that loads by copying.
    std::map<std::string, Inspected> inspected_ GUARDED_BY(small_lock_);
    LinkLimits link_limits_;
    u64 next_survey_job_ GUARDED_BY(small_lock_) = u64{1} << 63;  ///< Apart from operations' serials.
};
}  // namespace vramd::engine
