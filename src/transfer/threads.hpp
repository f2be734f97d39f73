/// How many threads move bytes. Internal to the room.
#pragma once
#include <algorithm>
#include <thread>

#include "base/types.hpp"

namespace vramd::transfer {
/// `asked`, or for 0 the processors, at most 4: memory is the limit, and more threads only take cores from others.
[[nodiscard]] inline u32 thread_count(u32 asked) { return asked != 0 ? asked : std::clamp<u32>(std::thread::hardware_concurrency(), 1, 4); }
}  // namespace vramd::transfer
