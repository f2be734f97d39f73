/// The functions of libnvidia-ml that the daemon takes, on the double's world.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "fake_cuda/world.hpp"

using namespace vramd::cuda_double;

namespace {
struct Memory {
    unsigned version;
    unsigned long long total, reserved, free, used;
};
struct Process {
    unsigned pid;
    unsigned long long used;
    unsigned instance, compute_instance;
};
}  // namespace

extern "C" {
int nvmlInit_v2() {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    return world.enter(__func__);
}
int nvmlSystemGetDriverVersion(char* text, unsigned size) {
    (void)std::snprintf(text, size, "0.0");
    return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char*, void** device) {
    *device = &World::get();
    return 0;
}
int nvmlDeviceGetMemoryInfo_v2(void*, Memory* memory) {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    if (const int status = world.enter(__func__); status != 0) return status;
    if (memory->version != (sizeof(Memory) | (2U << 24U))) return 25;
    memory->total = world.total_bytes;
    memory->reserved = 0;
    memory->used = world.used_bytes();
    memory->free = world.told_free != all_ones ? world.told_free : memory->total - std::min<u64>(memory->total, memory->used);
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void*, unsigned* count, Process* processes) {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    if (const int status = world.enter(__func__); status != 0) return status;
    const char* const other = std::getenv("VRAMD_CUDA_DOUBLE_PROCESS");  // PID:BYTES
    if (*count < (other != nullptr ? 2 : 1)) return 7;
    *count = other != nullptr ? 2 : 1;
    if (other != nullptr) {
        char* end = nullptr;
        const auto pid = static_cast<unsigned>(std::strtoul(other, &end, 10));
        processes[1] = {pid, std::strtoull(end + 1, nullptr, 10), 0, 0};
    }
    processes[0] = {static_cast<unsigned>(getpid()), world.has_context ? context_bytes : 0, 0, 0};
    for (const auto& [number, physical] : world.handles)
        if (!physical.imported) processes[0].used += physical.size_bytes;
    return 0;
}
int nvmlDeviceGetMigMode(void*, unsigned* now, unsigned* pending) {
    *now = *pending = 0;
    return 0;
}
}
