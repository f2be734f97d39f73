/// The memory of a Direct3D 12 adapter: blocks are heaps, their bytes are reached by buffers placed on them.
///
/// On Linux the runtime is libvkd3d over a Vulkan driver. It shares nothing between processes, so a block has no descriptor: it ends with
/// the process that made it, and the next one finds its record and no memory. The processor does not see it: `map` answers `unsupported`,
/// and bytes go through `Channels`. What the runtime stubs is not offered (docs/d3d12.md).
///
/// Invariants: 1. A removed or hung device is final for this process, and no other device is touched by that. 2. Nothing is called done
/// before the device has said, after it, that it is still there. 3. Nothing that a lost device may still write to is given back.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.hpp"
#include "base/predecessor.hpp"
#include "device/device.hpp"
#include "device/spec.hpp"

namespace vramd::device::d3d12 {
class Runtime;

struct Options {
    std::string which = {};              ///< The adapter's index in digits; empty: the first.
    Size size{Size::Unit::percent, 50};  ///< Of what is free.
    /// What the system could still give, for adapters whose memory is the system's: no block is made beyond that. Absent: unknown.
    std::function<std::optional<u64>()> system_available = {};
    u64 keep_available_bytes = 256 * mib;  ///< Below this much of the system's memory such an adapter makes no block.
    /// The process before this one, whose blocks go back when it is gone: waited for before what is free is looked at. Null: there was
    /// none.
    std::shared_ptr<const Predecessor> predecessor = nullptr;
    u64 patience_ns = 30 * ns_per_second;        ///< How long copies may take until the device counts as hung, which loses it.
    std::shared_ptr<Runtime> runtime = nullptr;  ///< Null: the system's. Another is for tests.
};

/// Sets what the libraries look for in the environment: before there are threads that could read it.
void prepare_environment();

/// Opens an adapter; its id is "d3d12-" and its index. Errors: `unsupported` (no libraries or no Vulkan driver, in words), `not_found` (no
/// such adapter, telling which there are), `device_lost` (it gives no device, in words), `invalid_field` (more than it has, or nothing
/// left).
[[nodiscard]] Result<std::unique_ptr<Device>> open(const Options& options);
}  // namespace vramd::device::d3d12
