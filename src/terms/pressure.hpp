/// The words of memory pressure: how tight a device is, who makes it so, and the event of a threshold crossed.
#pragma once
#include "terms/enums.hpp"

namespace vramd {
/// From the level, 0–100: below 75, from 75, from 90, from 95.
enum class PressureBand : u8 { low, moderate, high, critical };
/// `this_service`: what we hold. `other_processes`: what others hold of the same memory. `system`: tasks of the machine wait for memory.
enum class PressureCause : u8 { this_service, other_processes, system };
template <>
struct EnumNames<PressureBand> {
    static constexpr std::array<std::string_view, 4> names = {"low", "moderate", "high", "critical"};
};
template <>
struct EnumNames<PressureCause> {
    static constexpr std::array<std::string_view, 3> names = {"thisService", "otherProcesses", "system"};
};

/// A device's pressure has stood in another band for long enough to be told.
struct PressureChanged {
    u16 device = 0;
    PressureBand from = PressureBand::low;
    PressureBand to = PressureBand::low;
    u16 level_hundredths = 0;
    PressureCause cause = PressureCause::this_service;
    u64 wall_ns = 0;
    template <class Self, class V>
    static void fields(Self& s, V&& visit) {
        visit(s.device, s.from, s.to, s.level_hundredths, s.cause, s.wall_ns);
    }
};

/// The engine's sampling found the device in this band, with the hysteresis passed.
struct PressureCommand {
    u16 device = 0;
    PressureBand band = PressureBand::low;
    u16 level_hundredths = 0;
    PressureCause cause = PressureCause::this_service;
};
}  // namespace vramd
