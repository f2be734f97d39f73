/// The memory of an NVIDIA GPU: blocks made by `cuMemCreate`, each with a descriptor that outlives this process and that clients import.
///
/// The processor cannot see it: `map` answers `unsupported`, and bytes go through `Channels`. A descriptor of GPU memory cannot be limited
/// to reading: whoever has it chooses its own access, so sharing for reading is an agreement here, not a wall (capability "sharedAgreed",
/// where host memory has "sharedRead"). A block sealed for sharing is refused to writers of this process until it ends.
///
/// Invariants: 1. The next process adopts a block without asking the driver, and imports it when its bytes are first wanted. 2. One
/// exported descriptor stays open as long as the device lives: the first costs half a millisecond each time. 3. Whatever fails once for
/// good, all that follows is `device_lost`; releases and adoptions go on, for they need no driver.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.hpp"
#include "base/predecessor.hpp"
#include "device/cuda/driver.hpp"
#include "device/device.hpp"
#include "device/spec.hpp"

namespace vramd::device::cuda {
/// What an earlier process found out about the GPU.
struct Known {
    int index = 0;
    std::string name;
    std::string driver;
    std::string uuid;
    u64 capacity_bytes = 0;
    u64 granularity_bytes = 0;
    bool operator==(const Known&) const = default;
};

struct Options {
    std::string which = {};              ///< Its index in digits, or its UUID as nvidia-smi prints it; empty: the first.
    Size size{Size::Unit::percent, 90};  ///< Of what is free once this process has its own context, and of `kept_bytes`.
    u64 kept_bytes = 0;                  ///< In blocks that an earlier process made and that will be adopted.
    /// Then the device is there at once, with that capacity, and the driver begins behind it: what needs the GPU waits for it, all else
    /// goes on. A GPU that does not open is lost then, as a stand-in is.
    std::optional<Known> known = std::nullopt;
    /// The process before this one, whose copies may still land: no block is touched before it is gone. Null: there was none.
    std::shared_ptr<const Predecessor> predecessor = nullptr;
    /// Between two looks at it, which find out that it failed while nobody used it.
    u64 look_every_ns = 5 * ns_per_second;
    /// How long a copy or a call may take until the GPU counts as hung, which loses it.
    u64 patience_ns = 30 * ns_per_second;
    /// Told once, from any thread, when the GPU fails under this process: only another process can go on. Must be short.
    std::function<void(const std::string& cause)> lost = {};
};

/// What this process and each client needs of a GPU for itself, whatever memory it uses.
inline constexpr u64 context_bytes = 518 * mib;

/// Opens a GPU; its id is "cuda" and its index. Errors: `unsupported` (no driver, in words), `not_found` (no such GPU, telling which there
/// are), `device_lost` (it gives no context, in words), `invalid_field` (more than it has, or nothing left).
[[nodiscard]] Result<std::unique_ptr<Device>> open(const Options& options);

/// What to keep for the next process.
[[nodiscard]] Known known_of(const Device& device);

/// In the place of a GPU that an earlier process had and this one cannot open: lost, with the cause, but it keeps its blocks for the next
/// one.
[[nodiscard]] std::unique_ptr<Device> stand_in(std::string id, const Error& cause);
}  // namespace vramd::device::cuda
