/// This process's context on one GPU: who may call, what a failed call means, and the wait for what a call began.
///
/// A GPU's fault is final for its process (measured: nothing that the driver offers brings a context back, while making memory still
/// "succeeds"): from the first such answer on every call is refused as `device_lost`, and the process must end so that the next one begins
/// anew. Memory that others hold a descriptor of outlives that.
///
/// Waiting asks the driver again and again (`cuEventQuery`) and never blocks in it: a blocked call keeps other threads' calls out, and one
/// that never returns could not be given up.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.hpp"
#include "device/cuda/driver.hpp"

namespace vramd::device::cuda {
/// A stream with events of its own: what is begun in it is done in that order. Used by one thread at a time.
struct Lane {
    static constexpr std::size_t marks = 4;
    StreamPointer stream = nullptr;
    std::array<EventPointer, marks> events{};
};

/// Thread-safe.
class Context {
public:
    /// `lost` is told once, with the cause, from any thread: by the first call that finds it out. `patience_ns`: how long a copy or a call
    /// may take until the GPU counts as hung. Errors: `device_lost`, in words.
    [[nodiscard]] static Result<std::shared_ptr<Context>> make(std::shared_ptr<const Libraries> libraries, Gpu gpu,
                                                               std::function<void(const std::string&)> lost, u64 patience_ns);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    [[nodiscard]] const Libraries& libraries() const { return *libraries_; }
    [[nodiscard]] const Driver& driver() const { return libraries_->driver; }
    [[nodiscard]] const Gpu& gpu() const { return gpu_; }

    /// Before a thread's calls. Errors: `device_lost`.
    [[nodiscard]] Result<void> enter();
    /// What the driver answered, as a result. Errors: `insufficient_memory`, `device_lost` (from now on for all), `system_failed`.
    [[nodiscard]] Result<void> check(std::string_view call, Status status);
    [[nodiscard]] std::optional<std::string> lost_cause() const;
    /// Makes it lost, and answers that.
    std::unexpected<Error> lose(std::string cause);
    /// The same, because its driver does not answer.
    std::unexpected<Error> lose_in_silence();

    /// A lane of one's own until it goes. Errors: `device_lost`, `system_failed`.
    struct GiveBack {
        Context* context = nullptr;
        void operator()(Lane* lane) const { context->keep(lane); }
    };
    using LanePointer = std::unique_ptr<Lane, GiveBack>;  ///< Not beyond the context's life.
    [[nodiscard]] Result<LanePointer> lane();
    /// The stream in which the large copies of one direction go one behind the other, whoever's they are: a copy engine that changes
    /// from stream to stream after each 16 MiB loses some 5 %. Errors: `device_lost`, `system_failed`.
    enum class Way : u8 { to_device, to_system };
    [[nodiscard]] Result<StreamPointer> bulk(Way way);
    /// Marks what was begun in the lane until now.
    [[nodiscard]] Result<void> mark(const Lane& lane, std::size_t event) { return mark(lane, event, lane.stream); }
    /// The same of another stream, with the lane's mark.
    [[nodiscard]] Result<void> mark(const Lane& lane, std::size_t event, StreamPointer stream);
    /// Returns when all before that mark is done. Errors: `device_lost`; then it may still be under way, for ever.
    [[nodiscard]] Result<void> wait(const Lane& lane, std::size_t event);
    /// As `mark` and `wait`.
    [[nodiscard]] Result<void> finish(const Lane& lane) { return finish(lane, lane.stream); }
    [[nodiscard]] Result<void> finish(const Lane& lane, StreamPointer stream);

private:
    Context(std::shared_ptr<const Libraries> libraries, Gpu gpu, std::function<void(const std::string&)> lost, u64 patience_ns)
        : libraries_(std::move(libraries)), gpu_(std::move(gpu)), patience_ns_(patience_ns), tell_lost_(std::move(lost)) {}
    [[nodiscard]] std::unexpected<Error> lost_error() const;
    void keep(Lane* lane);

    const std::shared_ptr<const Libraries> libraries_;
    const Gpu gpu_;
    const u64 patience_ns_;
    ContextPointer context_ = nullptr;
    mutable Mutex mutex_;
    std::condition_variable_any never_;  ///< To wait for a moment.
    std::function<void(const std::string&)> tell_lost_ GUARDED_BY(mutex_);
    std::optional<std::string> lost_cause_ GUARDED_BY(mutex_);
    std::atomic<bool> lost_ = false;
    std::vector<std::unique_ptr<Lane>> lanes_ GUARDED_BY(mutex_);  ///< That nobody uses.
    std::array<StreamPointer, 2> bulk_ GUARDED_BY(mutex_){};       ///< By way; made when they are first wanted.
};
}  // namespace vramd::device::cuda
