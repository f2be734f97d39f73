#include "core/relief.hpp"

#include <algorithm>

#include "core/model/eviction.hpp"

namespace vramd::core {
namespace {
constexpr u64 near_within = 10'00;
constexpr u64 stall_every_ns = 1'000'000'000;

/// What may go from each threshold on.
struct Rule {
    ReclaimReach reach;
    u64 idle_min_ns;
};
constexpr std::array<Rule, 3> rules = {{
    {ReclaimReach::cache, 0},
    {ReclaimReach::models, model::conservative_idle_ns},
    {ReclaimReach::models, 0},
}};

/// The parts that can call for relief.
std::array<std::optional<memory::PartLevel>, 2> parts_of(const memory::Pressure& pressure) {
    return {pressure.parts[static_cast<std::size_t>(memory::PressurePart::machine)],
            pressure.parts[static_cast<std::size_t>(memory::PressurePart::group)]};
}

/// How much lies above two points below the threshold, where the part has passed that.
u64 over(const std::optional<memory::PartLevel>& part, u64 mark) {
    if (!part || part->level < mark || mark >= memory::level_max) return 0;
    const u64 target = mark - std::min(mark, memory::band_hysteresis);
    const auto staying = static_cast<u64>(u128{part->whole_bytes} * target / memory::level_max);
    return part->used_bytes > staying ? part->used_bytes - staying : 0;
}
}  // namespace

std::vector<ReliefStep> relief_for(const memory::Pressure& pressure, const ReliefMarks& marks, u64 returning_bytes, u64 since_last_ns) {
    const auto thresholds = marks.steps();
    std::vector<ReliefStep> steps;
    const auto parts = parts_of(pressure);
    const auto& stall = pressure.parts[static_cast<std::size_t>(memory::PressurePart::stall)];
    bool is_short = false;
    for (std::size_t i = 0; i < rules.size(); ++i) {
        u64 wanted = 0;
        for (const auto& part : parts) wanted = std::max(wanted, over(part, thresholds[i]));
        is_short = is_short || wanted > 0;
        wanted -= std::min(wanted, returning_bytes);
        const bool stalled = stall && stall->level >= thresholds[i] && thresholds[i] < memory::level_max;
        if (is_short && stalled && returning_bytes == 0 && since_last_ns >= stall_every_ns) wanted = std::max<u64>(wanted, 1);
        if (wanted > 0) steps.push_back({rules[i].reach, rules[i].idle_min_ns, wanted});
    }
    return steps;
}

bool is_near(const memory::Pressure& pressure, const ReliefMarks& marks) {
    const u64 first = std::ranges::min(marks.steps());
    if (first >= memory::level_max) return false;
    const auto parts = parts_of(pressure);
    return std::ranges::any_of(parts, [first](const auto& part) { return part && part->level + near_within >= first; });
}
}  // namespace vramd::core
