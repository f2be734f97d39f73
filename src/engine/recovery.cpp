/// A start: replay the ledger, take the blocks back, undo what nobody was told of, go on with what was begun.
#include "base/invariant.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
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
    }
    for (const ledger::Damage& damage : opened.findings.damages)
        recovery_.findings.push_back("The ledger's file " + damage.file + " is damaged at byte " + std::to_string(damage.offset_bytes) + ": " + damage.why);
    for (const std::string& file : opened.findings.archived)
        recovery_.findings.push_back("The ledger's file " + file + " is of another life of the memory; it is history now.");
    return ledger_->replay([this](const ledger::Batch& batch) -> Result<ledger::Visit> {
        for (const std::span<const std::byte> bytes : batch.events) {
            TRY(const Event event, decode_event(bytes));
            core::apply(state_, event);
            ++recovery_.replayed_events;
        }
        return ledger::Visit::more;
    });
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
        if (!wanted || options_.read_only) {
            if (!options_.read_only) (void)ports_.vault->drop(kept.key);  // Not there either: then there is nothing to drop.
            if (!wanted) continue;
        }
        if (!spec) continue;
        const auto taken = device->adopt(*spec, std::move(kept.memory));
        if (taken) {
            adopted.insert(kept.key);
            continue;
        }
        (void)ports_.vault->drop(kept.key);
        const Lock lock(lock_);
        recovery_.findings.push_back("A block did not come back: " + describe(taken.error()));
    }
    ports_.kept.clear();
    BlocksLostCommand lost;
    {
        const Lock lock(lock_);
        recovery_.adopted_blocks = adopted.size();
        for (const auto& [key, block] : state_.books.blocks())
            if (block.row.state == BlockState::ready && !adopted.contains(key)) lost.blocks.push_back(key);
        if (!lost.blocks.empty()) recovery_.findings.push_back(std::to_string(lost.blocks.size()) + " blocks did not outlive the restart.");
    }
    if (!lost.blocks.empty()) (void)commit(std::move(lost));  // Refused only when read-only: told in the findings all the same.
}

Result<void> Runner::recover() {
    const u64 begun = ports_.clock().monotonic_ns;
    TRY_DO(replay());
    const u64 replayed = ports_.clock().monotonic_ns;
    adopt_blocks();
    const u64 adopted = ports_.clock().monotonic_ns;
    if (!options_.read_only) {
        for (const ConfiguredDevice& device : ports_.devices)
            TRY_DO(commit(AddDeviceCommand{device.device_id, device.capacity_bytes, device.granule_bytes}));
        TRY(const core::Decision undone, commit(RecoverCommand{}));
        std::vector<Effect> effects;
        {
            const Lock lock(lock_);
            for (const Event& event : undone.events) recovery_.undone += std::holds_alternative<AllocationDropped>(event) ? 1 : 0;
            effects = core::unfinished(state_);
        }
        for (const Effect& effect : effects) start(effect);
    }
    if (ports_.measure_limits)
        ports_.executor->post([this] {
            const auto measured = ports_.measure_limits();
            const Lock lock(small_lock_);
            if (measured) limits_ = *measured;
        });
    const Lock lock(lock_);
    schedule_leases();
    recovery_.replay_ns = replayed - begun;
    recovery_.adopt_ns = adopted - replayed;
    recovery_.total_ns = ports_.clock().monotonic_ns - begun;
    return {};
}
}  // namespace vramd::engine
