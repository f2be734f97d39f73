/// What the machine's links can do, for `efficiencyPercentage` and the devices' `links`. Kept in a file beside the ledger: measuring takes
/// all processors for a moment, so a restart tells the last figures, with their date, until it has measured anew.
///
/// Between devices that the processor sees every link is the machine's own memory; to, from and within another one it is that device's own
/// copy engine. Between two of those nothing was measured.
#pragma once
#include <filesystem>
#include <map>

#include "base/mutex.hpp"
#include "device/channel.hpp"
#include "transfer/engine.hpp"

namespace vramd::engine {
/// Thread-safe.
class LinkLimits {
public:
    /// 0: not known.
    struct Rate {
        u64 bytes_per_second = 0;
        u64 measured_wall_ns = 0;
    };
    /// Where bytes come from or go to.
    struct End {
        std::string_view device_id;
        bool is_seen = true;  ///< By the processor.
    };
    [[nodiscard]] static End end_of(const device::Device& device) { return {device.facts().id, device::is_seen(device)}; }

    /// Takes over what the file holds, where it is of this form, and writes there from now on. A file that cannot be written is no loss:
    /// the next start measures.
    void keep_in(std::filesystem::path file);
    /// What was measured just now.
    void set_system(const transfer::Limits& limits, u64 wall_ns);
    void set_device(std::string device_id, const device::CopyRates& rates, u64 wall_ns);

    [[nodiscard]] Rate copy(End from, End to) const;
    [[nodiscard]] Rate fill(End end) const;

private:
    struct System {
        transfer::Limits limits;
        u64 wall_ns = 0;
    };
    struct Measured {
        device::CopyRates rates;
        u64 wall_ns = 0;
    };
    [[nodiscard]] const Measured* measured(std::string_view device_id) const REQUIRES(mutex_);
    void read() REQUIRES(mutex_);
    void write() const REQUIRES(mutex_);

    mutable Mutex mutex_;
    std::filesystem::path file_ GUARDED_BY(mutex_);  ///< Empty: none.
    System system_ GUARDED_BY(mutex_);
    std::map<std::string, Measured, std::less<>> devices_ GUARDED_BY(mutex_);
};
}  // namespace vramd::engine
