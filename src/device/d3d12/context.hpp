/// This process's device on one adapter: its copy queue, what a failed call means, and the wait for what was begun. Internal to the room.
///
/// A removed device is final: from then on every call is refused as `device_lost`. A fence of a removed device reads as if all was done, so
/// nothing is believed before the device says that it is still there. One that does not come to an end in time is given up as well. What a
/// lost device was told and was not seen to end may still be under way: nothing that it may touch is given back then, for it would be
/// somebody else's memory by that time.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.hpp"
#include "device/d3d12/runtime.hpp"

namespace vramd::device::d3d12 {
/// What the hardware says of itself.
struct Traits {
    bool is_uma = false;  ///< The GPU's memory is the system's.
    u32 tiled_tier = 0;   ///< 0: no reserved resources that can be trusted.
};

/// A command list with what is needed to run it again and again. Used by one thread at a time.
struct Lane {
    Com<ID3D12CommandAllocator> allocator;
    Com<ID3D12GraphicsCommandList> list;
    Com<ID3D12Fence> fence;
    u64 submitted = 0;  ///< The fence's value once all that was submitted is done.
    u64 finished = 0;
};

/// Thread-safe.
class Context {
public:
    /// `patience_ns`: how long copies may take until the device counts as hung. Errors: `device_lost`, in words.
    [[nodiscard]] static Result<std::shared_ptr<Context>> make(std::shared_ptr<Runtime> runtime, Adapter adapter, u64 patience_ns);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    [[nodiscard]] const Adapter& adapter() const { return adapter_; }
    [[nodiscard]] const Traits& traits() const { return traits_; }
    [[nodiscard]] ID3D12Device& device() const { return *device_.get(); }
    [[nodiscard]] AdapterMemory memory() const { return runtime_->memory_of(adapter_); }

    /// What a call answered, as a result. Errors: `insufficient_memory`, `device_lost` (from now on for all), `system_failed`.
    [[nodiscard]] Result<void> check(std::string_view call, HRESULT result);
    /// Asks the device whether it is still there. Errors: `device_lost`.
    [[nodiscard]] Result<void> check_there();
    /// Errors: `device_lost`, by what is known already.
    [[nodiscard]] Result<void> check_lost() const;
    [[nodiscard]] std::optional<std::string> lost_cause() const;
    /// Makes it lost, and answers that.
    std::unexpected<Error> lose(std::string cause);

    [[nodiscard]] Result<Lane> make_lane();
    /// Records by `record` and begins it. Errors: as `check`.
    [[nodiscard]] Result<void> submit(Lane& lane, const std::function<void(ID3D12GraphicsCommandList&)>& record);
    /// Returns when all that was submitted is done, and the device was there then. Errors: `device_lost`.
    [[nodiscard]] Result<void> finish(Lane& lane);

    /// Gives an object back, unless a lost device may still be at it.
    template <class T>
    void end(Com<T> object) {
        if (lost_ && under_way_ > 0 && object) keep_for_ever(object.detach());
    }

private:
    Context(std::shared_ptr<Runtime> runtime, Adapter adapter, u64 patience_ns)
        : runtime_(std::move(runtime)), adapter_(std::move(adapter)), patience_ns_(patience_ns) {}
    [[nodiscard]] Result<void> begin();
    static void keep_for_ever(IUnknown* object);

    const std::shared_ptr<Runtime> runtime_;
    const Adapter adapter_;
    const u64 patience_ns_;
    Traits traits_;
    Com<ID3D12Device> device_;
    Com<ID3D12CommandQueue> queue_;
    mutable Mutex mutex_;
    Mutex queue_mutex_;                  ///< So that a fence's signal follows what it stands for at once.
    std::condition_variable_any never_;  ///< To wait for a moment.
    std::optional<std::string> lost_cause_ GUARDED_BY(mutex_);
    std::atomic<bool> lost_ = false;
    std::atomic<u64> under_way_ = 0;  ///< Lanes whose end was not seen.
};
}  // namespace vramd::device::d3d12
