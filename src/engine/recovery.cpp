/// A start: replay the ledger, take the blocks back, undo what nobody was told of, go on with what was begun.
#include "base/invariant.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
constexpr u64 measure_after_ns = 1 * ns_per_second;  // It takes all processors for some 50 ms: not while the first requests wait.
}  // namespace

Result<void> Runner::replay() {
    ledger::Options options;
    options.directory = options_.state_directory;
    options.life = options_.life;
    options.segment_bytes = options_.ledger_segment_bytes;
    TRY(ledger::Opened opened, ledger::Ledger::open(options));
    const Lock lock(lock_);
    ledger_ = std::move(opened.ledger);
    if (opened.snapshot) {
        TRY(state_, core::restore(opened.snapshot->state));
        snapshot_bytes_ = opened.snapshot->state.size();
    }
    if (!opened.findings.damages.empty() || opened.findings.damage_unsettled) history_ = RecoverCommand::History::damaged;
    if (opened.findings.damage_unsettled)
        recovery_.findings.push_back("An earlier start found the ledger damaged, and ended before it had recorded what that means.");
    for (const ledger::Damage& damage : opened.findings.damages)
        recovery_.findings.push_back("The ledger's file " + damage.file + " is damaged at byte " + std::to_string(damage.offset_bytes) +
                                     ": " + damage.why);
    for (const std::string& file : opened.findings.archived)
        recovery_.findings.push_back("The ledger's file " + file + " is of another life of the memory; it is history now.");
    const u64 unkept = std::max(opened.findings.events, EventFeed::ring_events_max) - EventFeed::ring_events_max;
    TRY_DO(ledger_->replay([this, unkept](const ledger::Batch& batch) -> Result<ledger::Visit> {
        u64 sequence = batch.first_sequence;
        for (const std::span<const std::byte> bytes : batch.events) {
            TRY(const Event event, decode_event(bytes));
            if (++recovery_.replayed_events > unkept) {  // Who reads events comes back first of all for the newest ones.
                report::Attribution whose = report::attribute(state_, event);
                (void)feed_.add(sequence, batch.wall_ns, {bytes.begin(), bytes.end()}, std::move(whose));  // Nobody listens yet.
            }
            core::apply(state_, event);
            unsaved_bytes_ += bytes.size();
            ++sequence;
        }
        return ledger::Visit::more;
    }));
    feed_.begin(*ledger_);
    return {};
}

/// Gives each kept block back to its device. What the ledger does not know goes; what did not come back is lost.
void Runner::adopt_blocks() {
    std::set<BlockKey> adopted;
    for (KeptBlock& kept : ports_.kept) {
        device::Device* device = nullptr;
        std::optional<device::BlockSpec> spec;
        bool wanted = false;
        {
            const Lock lock(lock_);
            const memory::Block* block = state_.books.block(kept.key);
            // A block still being made is made anew: nobody was told of it, and its making may have been cut off.
            wanted = block != nullptr && block->row.state != BlockState::creating;
            if (wanted) spec = spec_of(kept.key, device);
        }
        if (spec) {
            const auto taken = device->adopt(*spec, std::move(kept.memory));
            if (taken) {
                adopted.insert(kept.key);
                continue;
            }
            const Lock lock(lock_);
            recovery_.findings.push_back("A block did not come back: " + describe(taken.error()));
        }
        // A read-only core lets nothing go: the next one may know better.
        if (options_.read_only == ReadOnly::no) (void)ports_.vault->drop(kept.key);  // Not there either: then there is nothing to drop.
    }
    ports_.kept.clear();
    std::vector<BlockKey> lost;
    {
        const Lock lock(lock_);
        recovery_.adopted_blocks = adopted.size();
        for (const auto& [key, block] : state_.books.blocks())
            if (block.row.state == BlockState::ready && !adopted.contains(key)) lost.push_back(key);
        if (!lost.empty()) recovery_.findings.push_back(std::to_string(lost.size()) + " blocks did not outlive the restart.");
    }
    // One by one, for a record of the ledger holds only so much. Refused only when read-only: told in the findings all the same.
    for (const BlockKey key : lost) (void)commit(BlocksLostCommand{{key}});
}

/// Devices of an earlier configuration: their blocks are lost by now, and nobody is there to make or release what was under way.
void Runner::retire_devices() {
    std::vector<Command> commands;
    std::vector<BlockKey> blocks;
    {
        const Lock lock(lock_);
        for (const auto& [key, block] : state_.books.blocks()) {
            if (device_of(block.row.device) != nullptr) continue;
            blocks.push_back(key);
            if (block.row.state == BlockState::creating)
                commands.push_back(BlockFailedCommand{key, {Code::device_lost, "device", 0, 0, "The device is not configured any more."}});
            else
                commands.push_back(BlockReleasedCommand{key});
        }
        for (const memory::DeviceRow& row : state_.books.devices())
            if (!devices_.contains(row.id)) commands.push_back(AddDeviceCommand{row.id, 0, row.granule_bytes});
    }
    for (const BlockKey key : blocks) (void)ports_.vault->drop(key);  // Not there: then there is nothing to drop.
    for (Command& command : commands) conclude(std::move(command));
}

/// Tells the figures that the last core kept until it has its own.
void Runner::measure_links() {
    link_limits_.keep_in(std::filesystem::path(options_.state_directory) / "link-limits");
    ports_.executor->post_at(ports_.clock().monotonic_ns + measure_after_ns, [this] {
        if (const auto measured = ports_.measure_limits()) link_limits_.set_system(*measured, ports_.clock().wall_ns);
    });
    for (const auto& [id, configured] : devices_)
        if (!device::is_seen(*configured.device)) ports_.executor->post([this, id] { meet_device(id); });
}

/// One that is not ready yet is asked again; of one that has not measured what was kept of an earlier start is told.
void Runner::meet_device(const std::string& device_id) {
    device::Device& device = *devices_.find(device_id)->second.device;
    const auto rates = device::rates_of(device);
    if (rates) link_limits_.set_device(device_id, *rates, ports_.clock().wall_ns);
    if (!rates && rates.error().code == Code::busy)
        ports_.executor->post_at(ports_.clock().monotonic_ns + measure_after_ns, [this, device_id] { meet_device(device_id); });
    else
        pin_models_for(device);
}

/// The models in system memory may be brought there: they are pinned, as they were for the core before.
void Runner::pin_models_for(device::Device& device) {
    std::vector<std::pair<u64, BlockKey>> held;
    {
        const Lock lock(lock_);
        for (const auto& [serial, copy] : state_.catalogue.copies()) {
            if (copy.state != ModelState::resident) continue;
            held.emplace_back(serial, state_.books.allocation_by_serial(serial)->row.block);
            hold(serial);
        }
    }
    for (const auto& [serial, block] : held) {
        for (const auto& [id, configured] : devices_)
            if (const auto mapping = configured.device->map(block)) device::pin_for(device, block, *mapping);
        let_go(serial);
    }
}

/// A core that died with a full ledger left no room for what a start records: the next file is made now, if need be by what a snapshot
/// frees.
void Runner::make_ledger_room() {
    u64 sequence = 0;
    std::vector<std::byte> bytes;
    {
        const Lock lock(lock_);
        sequence = ledger_->sequence();
        if (options_.read_only != ReadOnly::no || sequence == 0 || ledger_->room_bytes() > options_.ledger_segment_bytes / 2) return;
        if (ledger_->prepare()) return;
        bytes = core::save(state_);
    }
    if (const auto written = ledger_->snapshot(sequence, bytes); !written) {
        const Lock lock(lock_);
        recovery_.findings.push_back("The snapshot that was due could not be written: " + describe(written.error()));
    }
}

/// The RAM cache is where the configuration has it; none is one that may hold nothing.
Result<void> Runner::set_cache() {
    SetCacheCommand command{options_.cache_device_id, options_.cache_max_bytes, options_.eviction, options_.watermarks};
    {
        const Lock lock(lock_);
        const auto& cache = state_.catalogue.cache();
        if (command.device_id.empty() && !cache) return {};
        if (command.device_id.empty()) command = {state_.books.devices()[cache->device].id, 0, options_.eviction, options_.watermarks};
    }
    TRY_DO(commit(std::move(command)));
    return {};
}

Result<void> Runner::recover() {
    const u64 begun = ports_.clock().monotonic_ns;
    TRY_DO(replay());
    make_ledger_room();
    const u64 replayed = ports_.clock().monotonic_ns;
    adopt_blocks();
    keep_sessions();  // From here on their memory may not go.
    const u64 adopted = ports_.clock().monotonic_ns;
    if (options_.read_only == ReadOnly::no) {
        for (const ConfiguredDevice& device : ports_.devices)
            TRY_DO(commit(AddDeviceCommand{device.device_id, device.capacity_bytes, device.granule_bytes}));
        retire_devices();
        TRY_DO(set_cache());
        TRY(const core::Decision undone, commit(RecoverCommand{history_}));
        if (history_ == RecoverCommand::History::damaged) TRY_DO(ledger_->settle_damage());
        std::vector<Effect> effects;
        {
            const Lock lock(lock_);
            for (const Event& event : undone.events) recovery_.undone += std::holds_alternative<AllocationDropped>(event) ? 1 : 0;
            effects = core::unfinished(state_);
            for (const auto& [serial, transfer] : state_.transfers.transfers())
                if (transfer.is_open() && transfer.plan.deadline_monotonic_ns != 0) schedule_transfer_end(transfer.plan);
        }
        for (const Effect& effect : effects) start(effect);
        free_zombies();
    }
    begin_history();
    if (ports_.measure_limits) measure_links();
    // A core that changes nothing keeps them for the next one.
    const u64 grace_until_ns = ports_.clock().monotonic_ns + session_grace_seconds * ns_per_second;
    if (options_.read_only == ReadOnly::no) ports_.executor->post_at(grace_until_ns, [this] { end_kept_sessions(); });
    const Lock lock(lock_);
    schedule_leases();
    recovery_.replay_ns = replayed - begun;
    recovery_.adopt_ns = adopted - replayed;
    recovery_.total_ns = ports_.clock().monotonic_ns - begun;
    return {};
}
}  // namespace vramd::engine
