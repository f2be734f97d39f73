/// Where a load's bytes go: memory that this process sees, or a device's that it does not.
///
/// Into the latter a planned load goes through the device's stages. What a process must decode first needs memory that can be lent to it:
/// then all of it comes into a file of this process's memory, and from there to the device once the process is gone.
#pragma once
#include <memory>

#include "device/host/memory.hpp"
#include "engine/ports.hpp"
#include "worker/loader_process.hpp"

namespace vramd::engine {
/// Used by one thread at a time.
class LoadTarget {
public:
    /// Errors: as the device's `map` and `share`.
    [[nodiscard]] static Result<LoadTarget> open(Loading::Destination into);
    /// Says to `work`, whose plan is set if there is one, where to. Errors: `system_failed`.
    [[nodiscard]] Result<void> aim(worker::LoadJob& work);
    /// Once nobody writes any more: brings what is not there yet to the device, and lets go of everything. The result of the load.
    [[nodiscard]] Result<void> settle(Result<void> loaded);

private:
    Loading::Destination into_;
    device::Mapping mapping_;
    std::span<std::byte> place_;
    std::shared_ptr<device::Channel> channel_;
    device::host::Memory between_;
};
}  // namespace vramd::engine
