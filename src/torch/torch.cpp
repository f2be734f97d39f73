#include "torch/torch.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "client/gpu.hpp"
#include "torch/pool.hpp"

namespace vramd::torch {
namespace {
using client::Error;
using client::Result;

/// One GPU's memory: the daemon's allocations as segments of a pool.
class Gpu {
public:
    Gpu(client::Client daemon, std::string device_id)
        : daemon_(std::move(daemon)),
          device_id_(std::move(device_id)),
          pool_([this](std::uint64_t size_bytes) { return take(size_bytes); },
                [this](std::uint64_t address) { segments_.erase(address); }) {}
    Gpu(const Gpu&) = delete;
    Gpu& operator=(const Gpu&) = delete;
    Pool& pool() { return pool_; }

private:
    Result<std::uint64_t> take(std::uint64_t size_bytes) {
        client::AllocateOptions options;
        options.device = device_id_;
        options.purpose = "pytorch of process " + std::to_string(getpid());
        auto made = daemon_.allocate(size_bytes, options);
        // The core died since the last call: the next one connects to the next core.
        if (!made && made.error().code == "disconnected") made = daemon_.allocate(size_bytes, options);
        if (!made) return made.error();
        const std::uint64_t address = made->device_address();
        segments_.emplace(address, *made);
        return address;
    }

    client::Client daemon_;
    std::string device_id_;
    std::map<std::uint64_t, client::Allocation> segments_;  ///< By address. One that goes waits for the GPU and is then freed.
    Pool pool_;
};

/// All GPUs of the process, connected to when first asked for. It lives as long as the process: PyTorch frees tensors until the very end.
struct World {
    std::mutex lock;
    std::map<int, std::unique_ptr<Gpu>> gpus;

    static World& get() {
        static World* const world = new World;
        return *world;
    }
    Result<Gpu*> gpu(int device) {
        auto& found = gpus[device];
        if (found) return found.get();
        auto daemon = client::Client::connect({}, "pytorch");
        if (!daemon) return daemon.error();
        for (const client::Device& one : daemon->devices()) {
            if (one.kind != "cuda") continue;
            const auto ordinal = client::gpu_ordinal(one.uuid);
            if (!ordinal || *ordinal != device) continue;
            found = std::make_unique<Gpu>(*daemon, one.id);
            return found.get();
        }
        Error error;
        error.code = "not-found";
        error.message = "The vramd daemon has no device that is this process's GPU " + std::to_string(device) + ".";
        return error;
    }
};

std::string words_of(const Error& error, std::uint64_t size_bytes) {
    std::string words = "vramd gives no " + std::to_string(size_bytes) + " bytes for PyTorch: " + error.message;
    for (const std::string& suggestion : error.suggestions) words += " " + suggestion;
    if (error.suggestions.empty() && !error.remedy.empty()) words += " " + error.remedy;
    return words;
}

Result<void*> allocate(ssize_t size_bytes, int device, void* stream) {
    if (size_bytes <= 0) return static_cast<void*>(nullptr);
    World& world = World::get();
    const std::lock_guard guard(world.lock);
    const auto gpu = world.gpu(device);
    if (!gpu) return gpu.error();
    const auto address = (*gpu)->pool().allocate(static_cast<std::uint64_t>(size_bytes), reinterpret_cast<Stream>(stream));
    if (!address) return address.error();
    return reinterpret_cast<void*>(*address);
}

std::uint64_t of_pool(int device, std::uint64_t (Pool::*figure)() const) {
    World& world = World::get();
    const std::lock_guard guard(world.lock);
    const auto found = world.gpus.find(device);
    return found == world.gpus.end() || !found->second ? 0 : (found->second->pool().*figure)();
}
}  // namespace
}  // namespace vramd::torch

using namespace vramd::torch;

void* vramd_torch_malloc(ssize_t size_bytes, int device, void* stream) {
    const auto made = allocate(size_bytes, device, stream);
    if (!made) throw std::runtime_error(words_of(made.error(), static_cast<std::uint64_t>(size_bytes)));
    return *made;
}

void* vramd_torch_try_malloc(ssize_t size_bytes, int device, void* stream, char* why, std::size_t why_bytes) {
    const auto made = allocate(size_bytes, device, stream);
    if (made) return *made;
    if (why_bytes > 0) (void)std::snprintf(why, why_bytes, "%s", words_of(made.error(), static_cast<std::uint64_t>(size_bytes)).c_str());
    return nullptr;
}

void vramd_torch_free(void* address, ssize_t, int device, void*) {
    if (address == nullptr) return;
    World& world = World::get();
    const std::lock_guard guard(world.lock);
    const auto found = world.gpus.find(device);
    if (found == world.gpus.end() || !found->second || !found->second->pool().free(reinterpret_cast<std::uint64_t>(address)))
        (void)std::fprintf(stderr, "libvramd_torch: %p was not given out on GPU %d\n", address, device);
}

std::uint64_t vramd_torch_trim() {
    World& world = World::get();
    const std::lock_guard guard(world.lock);
    std::uint64_t bytes = 0;
    for (const auto& [device, gpu] : world.gpus)
        if (gpu) bytes += gpu->pool().trim();
    return bytes;
}

std::uint64_t vramd_torch_used_bytes(int device) { return of_pool(device, &Pool::used_bytes); }
std::uint64_t vramd_torch_held_bytes(int device) { return of_pool(device, &Pool::held_bytes); }
