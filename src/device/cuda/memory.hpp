/// One handle of GPU memory: made and exported, or adopted by its descriptor and imported when it is first used.
///
/// Measured and relied upon: memory lives while any process holds its descriptor, whoever made it; a descriptor's size cannot be asked
/// (fstat says 0), but a mapping of any other size or offset is refused, so the mapping proves it; who imports cannot export again, so the
/// maker's descriptor is the one to keep and to pass on; a handle is mapped whole; unmapping does not wait for what runs, so nothing may
/// run by then: `Channel` sees to that.
#pragma once
#include <map>

#include "base/fd.hpp"
#include "device/cuda/context.hpp"
#include "device/device.hpp"

namespace vramd::device::cuda {
/// Thread-safe. Its memory goes back to the GPU when the last descriptor of it, everywhere, is closed and this object is gone.
class Memory {
public:
    /// New memory, zeroed by us: that fresh memory is zero was always seen, and is promised nowhere.
    /// Errors: `insufficient_memory`, `device_lost`, `system_failed`.
    [[nodiscard]] static Result<std::shared_ptr<Memory>> make(std::shared_ptr<Context> context, u64 size_bytes);
    /// Asks nothing of the driver, which need not have begun.
    [[nodiscard]] static std::shared_ptr<Memory> adopt(u64 size_bytes, Fd descriptor);
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    /// Where the GPU sees it in this process; the context is always the same. Imports and maps it if nobody has. Errors: `device_lost`,
    /// `invalid_field` (the descriptor is not this memory), `system_failed`.
    [[nodiscard]] Result<Address> address(const std::shared_ptr<Context>& context);
    /// Whether the copies of another GPU read it where it lies; asked once of each. `address` was had before.
    [[nodiscard]] bool is_reached_by(const Gpu& gpu);
    [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
    /// For a process that imports it. Errors: `system_failed`.
    [[nodiscard]] Result<Fd> descriptor() const { return descriptor_.duplicate(); }

private:
    explicit Memory(u64 size_bytes) : size_bytes_(size_bytes) {}
    [[nodiscard]] Result<void> import() REQUIRES(mutex_);
    [[nodiscard]] Result<void> map() REQUIRES(mutex_);
    [[nodiscard]] Result<void> zero() REQUIRES(mutex_);

    const u64 size_bytes_;
    Fd descriptor_;
    Mutex mutex_;
    std::shared_ptr<Context> context_ GUARDED_BY(mutex_);  ///< Null until it is used.
    std::optional<Handle> handle_ GUARDED_BY(mutex_);
    Address reserved_ GUARDED_BY(mutex_) = 0;
    Address mapped_ GUARDED_BY(mutex_) = 0;
    std::map<DeviceNumber, bool> reached_ GUARDED_BY(mutex_);  ///< By other GPUs that were asked for.
};
}  // namespace vramd::device::cuda
