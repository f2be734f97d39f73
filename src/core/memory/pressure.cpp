#include "core/memory/pressure.hpp"

#include <algorithm>

#include "base/invariant.hpp"
#include "terms/archive.hpp"

namespace vramd::memory {
namespace {
__extension__ using i128 = __int128;

struct Knee {
    u64 share;
    u64 level;
};
constexpr std::array<Knee, 5> full_knees = {
    {{0, 0}, {10'00, moderate_from}, {30'00, high_from}, {60'00, critical_from}, {100'00, level_max}}};
constexpr std::array<Knee, 4> some_knees = {{{0, 0}, {25'00, moderate_from}, {60'00, high_from}, {100'00, critical_from}}};

/// The polyline's value; beyond the last knee its level.
u64 level_along(std::span<const Knee> knees, u64 share) {
    for (std::size_t i = 1; i < knees.size(); ++i) {
        const Knee& from = knees[i - 1];
        const Knee& to = knees[i];
        if (share < to.share) return from.level + (share - from.share) * (to.level - from.level) / (to.share - from.share);
    }
    return knees.back().level;
}

u64 minus(u64 from, u64 bytes) { return from - std::min(from, bytes); }

/// Rounded down, so that a level is reached only when it is.
u64 level_of(u64 used_bytes, u64 whole_bytes) {
    if (whole_bytes == 0) return used_bytes == 0 ? 0 : level_max;
    return static_cast<u64>(u128{std::min(used_bytes, whole_bytes)} * level_max / whole_bytes);
}
PartLevel part_of(u64 used_bytes, u64 whole_bytes, PressureCause cause) {
    return {level_of(used_bytes, whole_bytes), std::min(used_bytes, whole_bytes), whole_bytes, cause};
}
PressureCause larger(u64 ours_bytes, u64 theirs_bytes) {
    return ours_bytes >= theirs_bytes ? PressureCause::this_service : PressureCause::other_processes;
}
}  // namespace

Pressure judge(const PressureInput& input) {
    Pressure told;
    const auto at = [&told](PressurePart part) -> std::optional<PartLevel>& { return told.parts[static_cast<std::size_t>(part)]; };
    if (input.obtainable_bytes) told.taken_bytes = minus(input.uncommitted_bytes, *input.obtainable_bytes);
    const u64 gone = input.used_bytes + std::min(told.taken_bytes, minus(input.usable_bytes, input.used_bytes));
    at(PressurePart::room) = part_of(gone, input.usable_bytes, larger(input.used_bytes, told.taken_bytes));
    std::optional<u64> ours;
    if (input.physical_bytes && input.system_available_bytes) {
        const u64 in_use = minus(*input.physical_bytes, *input.system_available_bytes);
        const u64 others = std::min(in_use, input.other_processes_bytes.value_or(0));
        ours = in_use - others;
        at(PressurePart::machine) = part_of(in_use, *input.physical_bytes, larger(*ours, others));
    }
    if (input.group_limit_bytes && input.group_available_bytes) {
        const u64 in_use = minus(*input.group_limit_bytes, *input.group_available_bytes);
        const u64 ours_here = std::min(in_use, ours.value_or(input.used_bytes));
        at(PressurePart::group) = part_of(in_use, *input.group_limit_bytes, larger(ours_here, in_use - ours_here));
    }
    if (input.some_stall && input.full_stall) {
        const u64 level = std::max(level_along(full_knees, *input.full_stall), level_along(some_knees, *input.some_stall));
        at(PressurePart::stall) = PartLevel{level, 0, 0, PressureCause::system};
    }
    told.level = at(PressurePart::room)->level;
    told.cause = at(PressurePart::room)->cause;
    for (std::size_t i = 1; i < pressure_parts; ++i) {
        const auto& part = told.parts[i];
        if (!part || part->level <= told.level) continue;
        told.level = part->level;
        told.cause = part->cause;
        told.decisive = static_cast<PressurePart>(i);
    }
    told.band = band_of(told.level);
    return told;
}

std::optional<i64> slope_of(std::span<const UsePoint> points) {
    if (points.size() < 3 || points.back().at_ns < points.front().at_ns + 1'000'000'000) return std::nullopt;
    // Both axes from the first point and time in ms, so that no sum can leave 128 bits: 2^16 points, a day and 2^63 bytes give 2^122.
    const UsePoint& origin = points.front();
    const auto count = static_cast<i128>(points.size());
    i128 sum_t = 0, sum_y = 0, sum_tt = 0, sum_ty = 0;
    for (const UsePoint& point : points) {
        const auto t = static_cast<i128>((point.at_ns - origin.at_ns) / 1'000'000);
        const i128 y = static_cast<i128>(point.bytes) - static_cast<i128>(origin.bytes);
        sum_t += t, sum_y += y, sum_tt += t * t, sum_ty += t * y;
    }
    const i128 spread = count * sum_tt - sum_t * sum_t;
    if (spread == 0) return std::nullopt;
    const i128 per_ms_scaled = count * sum_ty - sum_t * sum_y;
    // Bytes per ms to bytes per second: the quotient first, so that the factor cannot carry it out of range.
    const i128 per_second = per_ms_scaled / spread * 1000 + per_ms_scaled % spread * 1000 / spread;
    constexpr i128 largest = static_cast<i128>(number_max);
    return static_cast<i64>(std::clamp(per_second, -largest, largest));
}

std::optional<u64> seconds_to_critical(u64 used_bytes, u64 whole_bytes, i64 bytes_per_second) {
    const auto target = static_cast<u64>((u128{whole_bytes} * critical_from + level_max - 1) / level_max);
    if (used_bytes >= target) return 0;
    if (bytes_per_second <= 0) return std::nullopt;
    const u64 rate = static_cast<u64>(bytes_per_second);
    const u64 left = target - used_bytes;
    const u64 seconds = left / rate + (left % rate == 0 ? 0 : 1);
    if (seconds > horizon_seconds) return std::nullopt;
    return seconds;
}

std::optional<PressureBand> BandWatch::step(u64 level, u64 now_ns) {
    const PressureBand risen = band_of(level);
    const PressureBand fallen = band_of(level + band_hysteresis);
    const bool rises = risen > told_;
    if (!rises && fallen >= told_) {
        beyond_since_ns_.reset();
        return std::nullopt;
    }
    if (!beyond_since_ns_ || rising_ != rises) {
        beyond_since_ns_ = now_ns;
        rising_ = rises;
    }
    if (now_ns < *beyond_since_ns_ + band_settles_ns) return std::nullopt;
    beyond_since_ns_.reset();
    told_ = rises ? risen : fallen;
    return told_;
}

void Pressures::apply(const PressureChanged& event) {
    INVARIANT(event.from == band(event.device) && event.from != event.to);
    if (event.to == PressureBand::low)
        rows_.erase(event.device);
    else
        rows_[event.device] = {event.to, event.wall_ns};
}

PressureBand Pressures::band(u16 device) const {
    const auto found = rows_.find(device);
    return found == rows_.end() ? PressureBand::low : found->second.band;
}

u64 Pressures::since_wall_ns(u16 device) const {
    const auto found = rows_.find(device);
    return found == rows_.end() ? 0 : found->second.since_wall_ns;
}

void Pressures::audit(std::size_t devices, std::vector<std::string>& findings) const {
    for (const auto& [device, row] : rows_) {
        if (device >= devices) findings.push_back("a pressure is recorded of device " + std::to_string(device) + ", which is not there.");
        if (row.band == PressureBand::low) findings.push_back("a low pressure is kept of device " + std::to_string(device) + ".");
    }
}

void Pressures::save(std::vector<std::byte>& out) const {
    ArchiveWriter writer(out);
    writer(rows_);
}

Result<Pressures> Pressures::restore(std::span<const std::byte> bytes) {
    Pressures restored;
    ArchiveReader reader(bytes);
    reader(restored.rows_);
    TRY_DO(reader.finish());
    return restored;
}
}  // namespace vramd::memory
