/// What looks at devices leave and find. Defined in sampling.cpp.
#pragma once
#include <deque>
#include <string>

#include "core/memory/pressure.hpp"
#include "device/device.hpp"

namespace vramd::engine {
/// The machine's part of what a pressure is judged from.
[[nodiscard]] memory::PressureInput machine_of(const device::Reading& reading);

/// What the last look at a device left for the next.
struct Watched {
    memory::BandWatch band;
    std::deque<std::pair<u64, std::array<u64, memory::pressure_parts>>> recent;  ///< When, used bytes by part; oldest first.
    u64 shape_due_ns = 0;                                                        ///< When to look next at how the free memory lies.
};

/// What a look at a device found, for relief.
struct Looked {
    u16 device = 0;
    std::string memory;  ///< device::Reading::common_memory.
    memory::Pressure pressure;
    u64 returning_bytes = 0;
};
}  // namespace vramd::engine
