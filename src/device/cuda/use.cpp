#include "device/cuda/use.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <utility>

namespace vramd::device::cuda {
namespace {
constexpr std::size_t processes_max = 256;

/// Absent: the driver does not say (all ones).
std::optional<u64> told_bytes(const ManagedProcess& process) {
    if (process.used >= u64{1} << 62) return std::nullopt;
    return process.used;
}
std::string name_of(unsigned pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    std::getline(file, name);
    for (char& letter : name)
        if (letter < ' ' || letter > '~') letter = '?';  // It is the process's own choice.
    return name;
}
}  // namespace

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
        const bool with_processes = std::exchange(processes_wanted_, false);
        lock.unlock();
        const std::optional<Use> use = ask();
        std::vector<ManagedProcess> users;
        if (with_processes) users = processes();
        lock.lock();
        last_ = use;
        if (with_processes) processes_ = std::move(users);
        answered_ = begun_;
        changed_.notify_all();
    }
}

std::optional<Use> UseReader::look(bool with_processes, u64 silence_ns) {
    std::unique_lock lock(mutex_);
    const u64 mine = ++wanted_;
    processes_wanted_ |= with_processes;
    changed_.notify_all();
    const u64 now_ns = monotonic_ns();
    const u64 until_ns = (begun_ == answered_ ? now_ns : begun_ns_) + silence_ns;
    if (until_ns > now_ns) (void)changed_.wait_for(lock, std::chrono::nanoseconds(until_ns - now_ns), [&] { return answered_ >= mine; });
    std::optional<Use> use = last_;
    if (use && with_processes) use->processes = processes_;
    return use;
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
            return Use{memory.total, memory.free, memory.used, {}};
    }
    std::size_t free = 0;
    std::size_t total = 0;
    if (!context_->enter() || context_->driver().memory_info(&free, &total) != status_success) return std::nullopt;
    return Use{total, free, std::nullopt, {}};
}

std::vector<ManagedProcess> UseReader::processes() const {
    std::vector<ManagedProcess> processes(processes_max);
    auto count = static_cast<unsigned>(processes.size());
    if (device_ == nullptr || context_->libraries().management.processes(device_, &count, processes.data()) != management_success)
        return {};
    processes.resize(std::min<std::size_t>(count, processes.size()));
    return processes;
}

std::optional<u64> UseReader::own_bytes() const {
    for (const ManagedProcess& process : processes())
        if (process.pid == static_cast<unsigned>(getpid())) return told_bytes(process);
    return std::nullopt;
}

std::vector<ProcessUse> others_of(const std::vector<ManagedProcess>& processes) {
    std::vector<ProcessUse> others;
    for (const ManagedProcess& process : processes)
        if (process.pid != static_cast<unsigned>(getpid())) others.push_back({process.pid, name_of(process.pid), told_bytes(process)});
    std::ranges::stable_sort(others, std::ranges::greater{}, &ProcessUse::used_bytes);
    return others;
}
}  // namespace vramd::device::cuda
