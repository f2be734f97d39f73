/// Giving memory back by itself when the machine or the control group runs short (core/relief.hpp has the rules): what the pools keep,
/// then what the rules let go, each a reclaim like anybody's.
#include "engine/runner.hpp"

namespace vramd::engine {
void Runner::relieve(const std::vector<Looked>& looks) {
    if (options_.relief == core::no_relief || options_.read_only != ReadOnly::no) return;
    std::map<std::string_view, std::vector<Looked>> memories;
    for (const Looked& looked : looks) memories[looked.memory].push_back(looked);
    for (const auto& [memory, sharing] : memories) relieve_memory(sharing);
}

void Runner::relieve_memory(std::span<const Looked> sharing) {
    u64 returning_bytes = 0;
    std::vector<device::Device*> devices;
    {
        const Lock lock(lock_);
        for (const Looked& looked : sharing) devices.push_back(devices_.at(state_.books.devices()[looked.device].id).device.get());
    }
    for (const Looked& looked : sharing) returning_bytes += looked.returning_bytes;
    const u64 now_ns = ports_.clock().monotonic_ns;
    const auto last = relieved_ns_.find(sharing.front().memory);
    const u64 since_last_ns = last == relieved_ns_.end() ? number_max : now_ns - last->second;
    // Of what the parts have in common every device's judgement says the same.
    const auto steps = core::relief_for(sharing.front().pressure, options_.relief, returning_bytes, since_last_ns);
    if (steps.empty()) return;
    u64 given_bytes = 0;
    const auto missing = [&given_bytes](u64 wanted_bytes) { return wanted_bytes - std::min(wanted_bytes, given_bytes); };
    for (device::Device* device : devices) given_bytes += device->give_back(missing(steps.front().wanted_bytes));
    for (const core::ReliefStep& step : steps) {
        for (const Looked& looked : sharing) {
            if (missing(step.wanted_bytes) == 0) break;
            ReclaimCommand command;
            command.device = looked.device;
            command.wanted_bytes = missing(step.wanted_bytes);
            command.reach = step.reach;
            command.idle_min_ns = step.idle_min_ns;
            // Refused only while nothing can be recorded: then the next look asks again.
            if (const auto reclaimed = reclaim(std::move(command))) given_bytes += reclaimed->bytes;
        }
    }
    const core::ReliefStep& end = steps.back();
    if (end.reach == ReclaimReach::models && end.idle_min_ns == 0 && missing(end.wanted_bytes) > 0)
        ask_for_relief(sharing, missing(end.wanted_bytes));
    if (given_bytes > 0) relieved_ns_[sharing.front().memory] = now_ns;
}

/// All that is left is used: clients are asked to let go of what any model's turn would come to. What they give goes at a next look.
void Runner::ask_for_relief(std::span<const Looked> sharing, u64 wanted_bytes) {
    Told told;
    {
        const Lock lock(lock_);
        for (const Looked& looked : sharing) {
            ReclaimCommand reclaim;
            reclaim.device = looked.device;
            reclaim.wanted_bytes = wanted_bytes;
            reclaim.frozen = frozen_blocks();
            Command command(std::move(reclaim));
            Plea plea{0, ports_.clock().monotonic_ns + asked_within_max_ns, {}};
            if (ask_for(command, plea, told)) break;
        }
    }
    finish(told, {});
}
}  // namespace vramd::engine
