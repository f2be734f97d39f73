#include "device/cuda/context.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/clock.hpp"

namespace vramd::device::cuda {
namespace {
constexpr u64 spin_ns = 100'000;  ///< A copy of some MiB takes no longer.
/// Who cannot learn whether a copy has ended can never let go of its memory: worth a second question.
constexpr int finish_tries = 3;
constexpr u64 yield_ns = 2'000'000;
constexpr std::chrono::microseconds look_every{200};

/// The answers after which this process gets nothing more out of the GPU. Source: the driver API's description of CUresult.
constexpr std::array final_answers = {4, 46, 201, 214, 220, 226, 700, 702, 708, 709, 710, 713, 714, 715, 716, 717, 718, 719, 999};

std::string seconds_text(u64 ns) { return std::to_string(ns / ns_per_second) + " s"; }
}  // namespace

Result<std::shared_ptr<Context>> Context::make(std::shared_ptr<const Libraries> libraries, Gpu gpu,
                                               std::function<void(const std::string&)> lost, u64 patience_ns) {
    std::shared_ptr<Context> context(new Context(std::move(libraries), std::move(gpu), std::move(lost), patience_ns));
    const Driver& driver = context->driver();
    const auto refused = [&](std::string why) {
        return refuse(Code::device_lost, "cuda" + std::to_string(context->gpu_.index), std::move(why));
    };
    for (const int attribute : {attribute_virtual_memory, attribute_posix_descriptors}) {
        int has = 0;
        if (driver.device_attribute(&has, attribute, context->gpu_.number) != status_success || has == 0)
            return refused("The GPU " + context->gpu_.name + " cannot share memory between processes by descriptors.");
    }
    int mode = 0;
    (void)driver.device_attribute(&mode, attribute_compute_mode, context->gpu_.number);  // Absent: as the default.
    if (static_cast<ComputeMode>(mode) == ComputeMode::prohibited)
        return refused("The GPU " + context->gpu_.name +
                       " is in compute mode Prohibited; an administrator can change that: nvidia-smi -c 0.");
    const Status status = driver.context_retain(&context->context_, context->gpu_.number);
    if (status != status_success) {
        context->context_ = nullptr;
        return refused("The GPU " + context->gpu_.name + " gives no context: " + context->libraries_->name_of(status) + ".");
    }
    TRY_DO(context->enter());
    return context;
}

Context::~Context() {
    if (context_ == nullptr || lost_) return;  // What is lost answers nothing and may not return.
    for (const auto& lane : lanes_) {
        for (const EventPointer event : lane->events)
            if (event != nullptr) (void)driver().event_destroy(event);
        if (lane->stream != nullptr) (void)driver().stream_destroy(lane->stream);
    }
    for (const StreamPointer stream : bulk_)
        if (stream != nullptr) (void)driver().stream_destroy(stream);
    (void)driver().context_release(gpu_.number);
}

std::unexpected<Error> Context::lost_error() const {
    return refuse(Code::device_lost, "cuda" + std::to_string(gpu_.index), lost_cause().value_or("The GPU is lost."));
}

std::optional<std::string> Context::lost_cause() const {
    const Lock lock(mutex_);
    return lost_cause_;
}

std::unexpected<Error> Context::lose(std::string cause) {
    std::function<void(const std::string&)> tell;
    {
        const Lock lock(mutex_);
        if (!lost_cause_) {
            lost_cause_ = cause;
            tell = std::exchange(tell_lost_, nullptr);
        }
        lost_ = true;
    }
    if (tell) tell(cause);
    return lost_error();
}

std::unexpected<Error> Context::lose_in_silence() {
    return lose("The driver of the GPU " + gpu_.name + " has not answered for " + seconds_text(patience_ns_) + ".");
}

Result<void> Context::enter() {
    if (lost_) return lost_error();
    return check("cuCtxSetCurrent", driver().context_set(context_));
}

Result<void> Context::check(std::string_view call, Status status) {
    if (status == status_success) return {};
    const std::string name = libraries_->name_of(status);
    if (std::ranges::find(final_answers, status) != final_answers.end())
        return lose("The GPU " + gpu_.name + " failed (" + std::string(call) + ": " + name + ").");
    if (status == status_out_of_memory)
        return refuse(Code::insufficient_memory, "sizeBytes",
                      "The GPU " + gpu_.name + " has not that much memory left; what others hold of it counts.");
    return refuse(Code::system_failed, "cuda", "The NVIDIA driver refused " + std::string(call) + ": " + name + ".");
}

Result<Context::LanePointer> Context::lane() {
    TRY_DO(enter());
    {
        const Lock lock(mutex_);
        if (!lanes_.empty()) {
            LanePointer kept(lanes_.back().release(), {this});
            lanes_.pop_back();
            return kept;
        }
    }
    LanePointer made(new Lane, {this});
    auto begun = check("cuStreamCreate", driver().stream_create(&made->stream, stream_non_blocking));
    for (EventPointer& event : made->events)
        if (begun) begun = check("cuEventCreate", driver().event_create(&event, event_without_time));
    if (begun) return made;
    for (const EventPointer event : made->events)
        if (event != nullptr) (void)driver().event_destroy(event);
    if (made->stream != nullptr) (void)driver().stream_destroy(made->stream);
    delete made.release();
    return std::unexpected(std::move(begun).error());
}

void Context::keep(Lane* lane) {
    std::unique_ptr<Lane> owned(lane);
    const Lock lock(mutex_);
    lanes_.push_back(std::move(owned));
}

Result<StreamPointer> Context::bulk(Way way) {
    TRY_DO(enter());
    Status status = status_success;
    {
        const Lock lock(mutex_);
        StreamPointer& stream = bulk_[static_cast<std::size_t>(way)];
        if (stream == nullptr) status = driver().stream_create(&stream, stream_non_blocking);
        if (status == status_success) return stream;
        stream = nullptr;
    }
    TRY_DO(check("cuStreamCreate", status));
    return nullptr;
}

Result<void> Context::mark(const Lane& lane, std::size_t event, StreamPointer stream) {
    return check("cuEventRecord", driver().event_record(lane.events[event], stream));
}

Result<void> Context::wait(const Lane& lane, std::size_t event) {
    const u64 begun_ns = monotonic_ns();
    for (;;) {
        const Status status = driver().event_query(lane.events[event]);
        if (status != status_not_ready) return check("cuEventQuery", status);
        const u64 waited_ns = monotonic_ns() - begun_ns;
        if (waited_ns > patience_ns_)
            return lose("The GPU " + gpu_.name + " did not finish a copy within " + seconds_text(patience_ns_) + ".");
        if (lost_) return lost_error();
        if (waited_ns < spin_ns) continue;
        if (waited_ns < yield_ns) {
            std::this_thread::yield();
            continue;
        }
        std::unique_lock lock(mutex_);
        (void)never_.wait_for(lock, look_every);
    }
}

Result<void> Context::finish(const Lane& lane, StreamPointer stream) {
    Result<void> ended;
    for (int tries = 0; tries < finish_tries; ++tries) {
        ended = mark(lane, 0, stream);
        if (ended) ended = wait(lane, 0);
        if (ended || lost_) return ended;
    }
    return lose("The GPU " + gpu_.name + " does not tell whether a copy has ended. " + describe(ended.error()));
}
}  // namespace vramd::device::cuda
