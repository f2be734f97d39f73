/// How much of a GPU is in use, and by whom: of the management library, which answers at once, exactly, and needs no context. Unless it
/// hangs: so a thread of its own asks, and nobody waits for it for longer than a moment.
#pragma once
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "device/cuda/context.hpp"
#include "device/device.hpp"

namespace vramd::device::cuda {
/// One look. Where there is no management library only `free` and `total` are there.
struct Use {
    u64 total_bytes = 0;
    u64 free_bytes = 0;
    std::optional<u64> used_bytes;          ///< Without what the driver keeps back for itself.
    std::vector<ManagedProcess> processes;  ///< This one among them; empty unless they were wanted, and where the driver does not say.
};

/// Thread-safe.
class UseReader {
public:
    explicit UseReader(std::shared_ptr<Context> context);
    ~UseReader();
    UseReader(const UseReader&) = delete;
    UseReader& operator=(const UseReader&) = delete;
    /// As it is now; what was last seen where the driver has not answered for a second: so a silence is waited for once, and not by each
    /// who looks. Absent where neither library answers, or never did.
    [[nodiscard]] std::optional<Use> look(bool with_processes = false, u64 silence_ns = ns_per_second);
    /// What the driver books to this process; absent where it does not say (another pid namespace).
    [[nodiscard]] std::optional<u64> own_bytes() const;
    /// What keeps clients from the GPU's memory or makes part of it unseen, a sentence each.
    [[nodiscard]] std::vector<std::string> reasons();

private:
    [[nodiscard]] std::optional<Use> ask() const;
    [[nodiscard]] std::vector<ManagedProcess> processes() const;
    void serve();
    const std::shared_ptr<Context> context_;
    ManagedDevice device_ = nullptr;  ///< Null: there is no management library, or it does not know this GPU.
    std::vector<std::string> reasons_;
    Mutex mutex_;
    std::condition_variable_any changed_;
    u64 wanted_ GUARDED_BY(mutex_) = 0;    ///< Looks that were asked for.
    u64 begun_ GUARDED_BY(mutex_) = 0;     ///< How many of them what is under way, or was last, is for.
    u64 answered_ GUARDED_BY(mutex_) = 0;  ///< `begun_`, once that is over.
    u64 begun_ns_ GUARDED_BY(mutex_) = 0;
    std::optional<Use> last_ GUARDED_BY(mutex_);
    bool processes_wanted_ GUARDED_BY(mutex_) = false;  ///< By a look that is not begun yet.
    std::vector<ManagedProcess> processes_ GUARDED_BY(mutex_);
    bool stop_ GUARDED_BY(mutex_) = false;
    std::thread asking_;
};
/// Of these all but this process, with their names, most bytes first.
[[nodiscard]] std::vector<ProcessUse> others_of(const std::vector<ManagedProcess>& processes);
}  // namespace vramd::device::cuda
