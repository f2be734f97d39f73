/// Looking at the devices ten times a second, and more often where memory is nearly short: crossings of thresholds become events, the
/// history gets what the ledger does not hold, and relief is called for.
/// And the past of before this start, read back from the ledger beside everything else.
#include <cmath>

#include "engine/runner.hpp"

namespace vramd::engine {
namespace {
constexpr std::size_t recent_max = 256;        // 25.6 s at ten looks a second: what a trend is taken from.
constexpr u64 near_every_ns = 20 * ns_per_ms;  // Close to where memory must be given back: the first goes within 50 ms.
constexpr u64 shape_every_ns = ns_per_second;  // How the free memory lies costs a walk over the blocks.
constexpr u64 audit_every_ns = 3600 * ns_per_second;
constexpr std::size_t snapshots_tried_max = 64;
constexpr u64 batches_between_looks = 1024;

u64 hundredths_of(double percentage) { return static_cast<u64>(std::lround(std::clamp(percentage, 0.0, 100.0) * 100)); }
}  // namespace

memory::PressureInput machine_of(const device::Reading& reading) {
    memory::PressureInput input;
    if (reading.os_available_bytes) input.obtainable_bytes = reading.pool_bytes + *reading.os_available_bytes;
    input.physical_bytes = reading.physical_bytes;
    input.system_available_bytes = reading.system_available_bytes;
    input.other_processes_bytes = reading.other_processes_bytes;
    input.group_limit_bytes = reading.group_limit_bytes;
    input.group_available_bytes = reading.group_available_bytes;
    if (reading.stall) {
        input.some_stall = hundredths_of(reading.stall->some_10s_percentage);
        input.full_stall = hundredths_of(reading.stall->full_10s_percentage);
    }
    return input;
}

PressureTold Runner::judge_now(u16 index, const device::Reading& reading) {
    const Moment now = ports_.clock();
    PressureTold told;
    told.device_id = state_.books.devices()[index].id;
    told.input = report::pressure_input(state_, index, machine_of(reading));
    told.pressure = memory::judge(told.input);
    told.recorded = state_.pressures.band(index);
    told.since_wall_ns = state_.pressures.since_wall_ns(index);
    told.measured_wall_ns = now.wall_ns;
    const Watched& watched = watched_[told.device_id];
    for (std::size_t part = 0; part < memory::pressure_parts; ++part) {
        const auto& level = told.pressure.parts[part];
        if (!level || level->whole_bytes == 0) continue;
        std::vector<memory::UsePoint> points;
        for (const auto& [at_ns, used] : watched.recent) points.push_back({at_ns, used[part]});
        points.push_back({now.monotonic_ns, level->used_bytes});
        const auto slope = memory::slope_of(points);
        if (!slope) continue;
        if (static_cast<std::size_t>(told.pressure.decisive) == part) told.bytes_per_second = slope;
        const auto seconds = memory::seconds_to_critical(level->used_bytes, level->whole_bytes, *slope);
        if (seconds) told.seconds_to_critical = std::min(told.seconds_to_critical.value_or(*seconds), *seconds);
    }
    if (told.pressure.band == PressureBand::critical) told.seconds_to_critical = 0;
    return told;
}

void Runner::begin_history() {
    const Moment now = ports_.clock();
    u64 sequence = 0;
    {
        const Lock lock(lock_);
        past_ = {};
        past_.begin(state_, now.wall_ns);
        for (u16 i = 0; i < state_.books.devices().size(); ++i)
            watched_[state_.books.devices()[i].id].band = memory::BandWatch(state_.pressures.band(i));
        sequence = ledger_->sequence();
    }
    if (options_.sample_every_ns == 0) return;
    ports_.executor->post([this, sequence, now] { rebuild_history(sequence, now.wall_ns); });
    ports_.executor->post_at(now.monotonic_ns + options_.sample_every_ns, [this] { sample(); });
}

namespace {
/// The state to begin a rebuild with: the oldest snapshot whose later events are all there. Without one it begins with nothing.
std::pair<report::Rebuilding, u64> beginning_of(const ledger::Ledger& ledger, u64 upto_sequence) {
    const u64 oldest = ledger.oldest_sequence();
    std::optional<ledger::Snapshot> chosen;
    u64 before = upto_sequence;
    for (std::size_t tried = 0; oldest > 1 && tried < snapshots_tried_max; ++tried) {
        auto found = ledger.snapshot_before(before);
        if (!found || !*found || (*found)->sequence + 1 < oldest) break;
        chosen = *std::move(*found);
        if (chosen->sequence == 0) break;
        before = chosen->sequence - 1;
    }
    if (chosen)
        if (const auto state = core::restore(chosen->state)) return {report::Rebuilding(*state), chosen->sequence + 1};
    return {report::Rebuilding(), oldest};
}
}  // namespace

void Runner::rebuild_history(u64 upto_sequence, u64 begun_wall_ns) {
    auto [rebuilding, from] = beginning_of(*ledger_, upto_sequence);
    u64 batches = 0;
    const auto read = ledger_->read(from, upto_sequence, [&](const ledger::Batch& batch) -> Result<ledger::Visit> {
        if (++batches % batches_between_looks == 0) {
            const Lock lock(lock_);
            if (stopping_) return ledger::Visit::enough;
        }
        for (std::size_t i = 0; i < batch.events.size(); ++i) {
            const u64 sequence = batch.first_sequence + i;
            if (sequence < from || sequence > upto_sequence) continue;
            // What an earlier version wrote otherwise is passed over, as all that does not fit.
            if (const auto event = decode_event(batch.events[i])) rebuilding.event(*event, batch.wall_ns);
        }
        rebuilding.settle(batch.wall_ns);
        return ledger::Visit::more;
    });
    (void)read;  // A file that cannot be read ends the past there: what was learnt counts.
    const report::History earlier = std::move(rebuilding).finish(begun_wall_ns);
    const Lock lock(lock_);
    past_.absorb(earlier);
}

std::optional<Looked> Runner::sample_one(const std::string& device_id, const device::Reading& reading, std::vector<Command>& commands) {
    const Lock lock(lock_);
    const auto index = state_.books.device_named(device_id);
    if (!index || stopping_) return std::nullopt;
    const Moment now = ports_.clock();
    const memory::Pressure pressure = memory::judge(report::pressure_input(state_, *index, machine_of(reading)));
    Watched& watched = watched_[device_id];
    if (watched.recent.empty() || now.monotonic_ns >= watched.recent.back().first + options_.sample_every_ns) {
        auto& [at_ns, used] = watched.recent.emplace_back(now.monotonic_ns, std::array<u64, memory::pressure_parts>{});
        for (std::size_t part = 0; part < memory::pressure_parts; ++part)
            if (pressure.parts[part]) used[part] = pressure.parts[part]->used_bytes;
        if (watched.recent.size() > recent_max) watched.recent.pop_front();
    }
    if (now.monotonic_ns >= watched.shape_due_ns) {
        watched.shape_due_ns = now.monotonic_ns + shape_every_ns;
        const FreeFigures figures = memory::figures_of(state_.books, *index);
        past_.sample(device_id, {figures.free_bytes, figures.largest_free_bytes, figures.holes, pressure.level}, now.wall_ns);
    }
    if (const auto crossed = watched.band.step(pressure.level, now.monotonic_ns))
        commands.emplace_back(PressureCommand{*index, *crossed, static_cast<u16>(pressure.level), pressure.cause});
    return Looked{*index, reading.common_memory, pressure, 0};
}

u64 Runner::releasing_bytes(std::string_view device_id) {
    const Lock lock(lock_);
    const auto index = state_.books.device_named(device_id);
    return index ? state_.books.sums(*index).returning() + state_.books.unwanted_bytes(*index) : 0;
}

void Runner::sample() {
    std::vector<Command> commands;
    std::vector<Looked> looks;
    bool near = false;
    for (auto& [id, configured] : devices_) {
        // Before the reading: what is released while it is made is in it still.
        const u64 going_bytes = releasing_bytes(id);
        const device::Reading reading = configured.device->read(device::Look::use);
        auto looked = sample_one(id, reading, commands);
        if (!looked) continue;
        looked->returning_bytes = going_bytes + reading.returning_bytes;
        if (looked->memory.empty()) continue;  // Its shortage kills nobody: whoever wants room there asks for it.
        near = near || core::is_near(looked->pressure, options_.relief);
        looks.push_back(*std::move(looked));
    }
    for (Command& command : commands) {
        const PressureCommand crossing = std::get<PressureCommand>(command);
        if (commit(std::move(command))) continue;
        // Not recorded (the ledger is full): it is not told, and is looked for again.
        const Lock lock(lock_);
        watched_[state_.books.devices()[crossing.device].id].band = memory::BandWatch(state_.pressures.band(crossing.device));
    }
    relieve(looks);
    look_for_emergencies();
    bool audit_due = false;
    {
        const Lock lock(lock_);
        if (stopping_) return;
        const u64 now_ns = ports_.clock().monotonic_ns;
        audit_due = work_.audit_begun_ns != 0 && now_ns >= work_.audit_begun_ns + audit_every_ns;
        if (audit_due || work_.audit_begun_ns == 0) work_.audit_begun_ns = now_ns;
    }
    // What it finds is told by /metrics, so that a fault of the books is known before somebody asks for it.
    if (audit_due) aside([this] { (void)audit(); });
    const Lock lock(lock_);
    if (stopping_) return;
    const u64 wait_ns = near ? std::min(options_.sample_every_ns, near_every_ns) : options_.sample_every_ns;
    ports_.executor->post_at(ports_.clock().monotonic_ns + wait_ns, [this] { sample(); });
}
}  // namespace vramd::engine
