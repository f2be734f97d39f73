/// Memory of this process that the GPU's copy engines read by themselves, so that a copy of it costs no copy by the processor.
///
/// Pinning runs at some 20 GB/s and keeps all other threads' driver calls waiting: it is done behind everybody's back, in pieces of 16 MiB
/// (0.9 ms each), by one thread. Until a piece is pinned, and where it cannot be, copies of it go through the ring.
///
/// Invariants: 1. A piece is given back to the driver before its memory can be unmapped: a pin keeps the mapping. 2. Nobody's copy runs in
/// a piece that is given back: a copy keeps the pin.
#pragma once
#include <atomic>
#include <deque>
#include <map>
#include <thread>

#include "device/cuda/context.hpp"
#include "device/device.hpp"

namespace vramd::device::cuda {
/// One mapping, pinned from its beginning as far as it has come. Its end unpins it, whoever lets go last.
class Pin {
public:
    static constexpr u64 piece_bytes = 16 * mib;
    Pin(std::shared_ptr<Context> context, Mapping memory) : context_(std::move(context)), memory_(std::move(memory)) {}
    ~Pin();
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    /// Pins the next piece; false once there is none, or it cannot be. One thread at a time.
    [[nodiscard]] bool advance();
    [[nodiscard]] std::span<const std::byte> pinned() const { return memory_.read().first(pinned_bytes_.load(std::memory_order_acquire)); }
    /// From there to the end of the piece that it lies in.
    [[nodiscard]] u64 piece_room(const std::byte* at) const { return piece_bytes - static_cast<u64>(at - begin()) % piece_bytes; }
    [[nodiscard]] const std::byte* begin() const { return memory_.read().data(); }

private:
    const std::shared_ptr<Context> context_;
    const Mapping memory_;
    std::atomic<u64> pinned_bytes_ = 0;
};

/// Thread-safe. Owns one thread.
class Pins {
public:
    /// Below this the ring does as well.
    static constexpr u64 least_bytes = 32 * mib;

    explicit Pins(std::shared_ptr<Context> context);
    ~Pins();
    Pins(const Pins&) = delete;
    Pins& operator=(const Pins&) = delete;
    /// Begins to pin; what is under that name already stays as it is. Small memory is left alone.
    void add(u64 name, Mapping memory);
    /// Lets go of it, in the background; nothing if there is none.
    void remove(u64 name);
    /// The pin in which all of these bytes lie and are pinned; kept by the caller while they are copied.
    [[nodiscard]] std::shared_ptr<const Pin> find(std::span<const std::byte> bytes);
    /// Of all that it holds, so far.
    [[nodiscard]] u64 pinned_bytes();
    /// Waits until there is nothing to pin and to let go of; for tests.
    void settle();

private:
    void work();
    void remove_locked(std::map<u64, std::shared_ptr<Pin>>::iterator found) REQUIRES(mutex_);

    const std::shared_ptr<Context> context_;
    Mutex mutex_;
    std::condition_variable_any changed_;
    std::map<u64, std::shared_ptr<Pin>> pins_ GUARDED_BY(mutex_);
    std::map<const std::byte*, std::shared_ptr<Pin>> by_address_ GUARDED_BY(mutex_);
    std::deque<std::shared_ptr<Pin>> ahead_ GUARDED_BY(mutex_);
    std::deque<std::shared_ptr<Pin>> going_ GUARDED_BY(mutex_);
    bool busy_ GUARDED_BY(mutex_) = false;
    bool stop_ GUARDED_BY(mutex_) = false;
    std::jthread thread_;
};
}  // namespace vramd::device::cuda
