#include "device/cuda/use.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <span>

namespace vramd::device::cuda {
namespace {
constexpr std::size_t processes_max = 256;
}

UseReader::UseReader(std::shared_ptr<Context> context) : context_(std::move(context)) {
    const Management& management = context_->libraries().management;
    const Gpu& gpu = context_->gpu();
    if (management.init == nullptr || management.device_by_pci(gpu.pci.c_str(), &device_) != management_success) {
        device_ = nullptr;
        reasons_.emplace_back("NVIDIA's management library (libnvidia-ml) cannot be used: what other processes hold is not known.");
    }
    unsigned mig = 0;
    unsigned pending = 0;
    if (device_ != nullptr && management.mig_mode(device_, &mig, &pending) == management_success && mig == 1)
        reasons_.emplace_back("The GPU is split (MIG is on): this device is one instance of it, and what is free is told of the whole.");
    int mode = 0;
    (void)context_->driver().device_attribute(&mode, attribute_compute_mode, gpu.number);
    if (static_cast<ComputeMode>(mode) == ComputeMode::exclusive_process)
        reasons_.emplace_back("The GPU is in compute mode Exclusive_Process: no client can use its memory (nvidia-smi -c 0 changes that).");
    asking_ = std::thread([this] { serve(); });
}

UseReader::~UseReader() {
    {
        const Lock lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    asking_.join();
}

void UseReader::serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stop_ || wanted_ != answered_; });
        if (stop_) return;
        begun_ = wanted_;
        begun_ns_ = monotonic_ns();
        lock.unlock();
        const std::optional<Use> use = ask();
        lock.lock();
        last_ = use;
        answered_ = begun_;
        changed_.notify_all();
    }
}

std::optional<Use> UseReader::look(u64 silence_ns) {
    std::unique_lock lock(mutex_);
    const u64 mine = ++wanted_;
    changed_.notify_all();
    const u64 now_ns = monotonic_ns();
    const u64 until_ns = (begun_ == answered_ ? now_ns : begun_ns_) + silence_ns;
    if (until_ns > now_ns) (void)changed_.wait_for(lock, std::chrono::nanoseconds(until_ns - now_ns), [&] { return answered_ >= mine; });
    return last_;
}

std::vector<std::string> UseReader::reasons() {
    std::vector<std::string> reasons = reasons_;
    const Lock lock(mutex_);
    const u64 silent_ns = begun_ == answered_ ? 0 : monotonic_ns() - begun_ns_;
    if (silent_ns >= ns_per_second)
        reasons.push_back("The driver has not answered for " + std::to_string(silent_ns / ns_per_second) +
                          " s: what is told is of before.");
    return reasons;
}

std::optional<Use> UseReader::ask() const {
    if (device_ != nullptr) {
        ManagedMemory memory;
        if (context_->libraries().management.memory(device_, &memory) == management_success)
            return Use{memory.total, memory.free, memory.used};
    }
    std::size_t free = 0;
    std::size_t total = 0;
    if (!context_->enter() || context_->driver().memory_info(&free, &total) != status_success) return std::nullopt;
    return Use{total, free, std::nullopt};
}

std::optional<u64> UseReader::own_bytes() const {
    if (device_ == nullptr) return std::nullopt;
    std::array<ManagedProcess, processes_max> processes{};
    unsigned count = processes.size();
    if (context_->libraries().management.processes(device_, &count, processes.data()) != management_success) return std::nullopt;
    const auto pid = static_cast<unsigned>(getpid());
    for (const ManagedProcess& process : std::span(processes).first(std::min<std::size_t>(count, processes.size())))
        if (process.pid == pid && process.used < (u64{1} << 62)) return process.used;  // All ones: it does not say.
    return std::nullopt;
}
}  // namespace vramd::device::cuda
