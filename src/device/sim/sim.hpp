/// A device for the simulation and for tests: real bytes in plain memory, no thread, no clock, and faults on order.
///
/// What outlives a core lives in a `Backing` that the test owns; the device that a core opens on it can be thrown away at any moment,
/// as a killed core's is, and a new one opened and given its blocks by `adopt`. All decisions come from the faults set by the test, so a
/// run is repeatable.
///
/// It has no descriptors: `create` and `share` answer an empty `Fd`, and `adopt` ignores the one it gets.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/mutex.hpp"
#include "device/device.hpp"

namespace vramd::device::sim {
/// Whether the processor sees the memory, or reaches it by copies as a GPU's: then `map` is refused and the device is a `Channels`.
enum class Reach : u8 { mapped, copied };

/// The simulated hardware. Thread-safe; outlives every device opened on it.
class Backing {
public:
    struct Options {
        std::string id = "sim0";
        u64 capacity_bytes = 0;
        u64 granularity_bytes = 4096;
        std::string common_memory = {};  ///< Reading::common_memory.
        Reach reach = Reach::mapped;
    };
    explicit Backing(Options options);

    /// A core's view of the hardware: no block is registered until it is created or adopted. Any number may be opened in turn.
    [[nodiscard]] std::unique_ptr<Device> open();

    /// The next `count` creations fail with this code.
    void fail_creates(u64 count, Code code);
    /// The `nth` (from 0) byte-level call from now on (`create`, `map`, `seal_for_sharing`, a channel's) fails; for fail-the-nth loops.
    void fail_call(u64 nth, Code code);
    /// From now on the device is lost, until `restore`. Bytes are kept.
    void lose(std::string cause);
    void restore();
    /// From now on who has no patience gets no channel, as of a driver that is not ready yet.
    void be_beginning();
    /// `read` answers this as the available bytes whatever is true; empty: the truth again.
    void lie_about_available(std::optional<u64> bytes);
    /// Other processes take this much from under us.
    void set_other_processes(u64 bytes);
    /// Flips one bit of a block, as failing memory does. Errors: `not_found`, `out_of_range`.
    [[nodiscard]] Result<void> flip_bit(u64 key, u64 offset_bytes, u32 bit);

    /// Blocks whose memory exists, with or without a core that knows them; sorted by key. For leak checks.
    [[nodiscard]] std::vector<BlockSpec> blocks() const;
    /// The memory of a block that no core knows goes back, as when the keeper lets go. Errors: `not_found`.
    [[nodiscard]] Result<void> drop(u64 key);
    /// Calls of `create`, `map`, `seal_for_sharing` and of channels so far: the bound of a fail-the-nth loop.
    [[nodiscard]] u64 calls() const;

private:
    friend class SimDevice;
    friend class SimChannel;
    struct State;
    std::shared_ptr<State> state_;
};
}  // namespace vramd::device::sim
