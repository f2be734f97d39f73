/// What the tests of this room share: devices on the double of the driver, and what another process would see of a block. For tests only.
#pragma once
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "device/channel.hpp"
#include "device/cuda/cuda.hpp"

namespace vramd::device::cuda {
inline constexpr u64 least = 2 * mib;
inline constexpr u64 gpu_bytes = 256 * mib;

/// The double as the daemon finds it: by its path. It is loaded once in a process.
class Double {
public:
    static Double& get() {
        static Double found;
        return found;
    }
    void calm() const { calm_(); }
    void forget() const { forget_(); }
    void order(const char* function, int status, u64 after = 0, u64 count = 1) const { order_(function, status, after, count); }
    void lie(u64 free_bytes) const { lie_(free_bytes); }
    [[nodiscard]] u64 calls() const { return calls_(); }
    [[nodiscard]] u64 pending() const { return pending_(); }
    [[nodiscard]] u64 objects() const { return objects_(); }

private:
    Double() {
        setenv("VRAMD_CUDA_LIBRARY", VRAMD_CUDA_DOUBLE, 1);
        setenv("VRAMD_CUDA_DOUBLE_TOTAL", std::to_string(gpu_bytes).c_str(), 1);
        setenv("VRAMD_CUDA_DOUBLE_GPUS", "2", 1);
        setenv("VRAMD_CUDA_DOUBLE_NAME", std::to_string(getpid()).c_str(), 1);
        void* const library = dlopen(VRAMD_CUDA_DOUBLE, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        REQUIRE(library != nullptr);
        const auto take = [&](auto& function, const char* name) {
            function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
            const bool found = function != nullptr;
            REQUIRE(found);
        };
        take(calm_, "vramd_cuda_double_calm");
        take(forget_, "vramd_cuda_double_forget");
        take(order_, "vramd_cuda_double_order");
        take(lie_, "vramd_cuda_double_lie");
        take(calls_, "vramd_cuda_double_calls");
        take(pending_, "vramd_cuda_double_pending");
        take(objects_, "vramd_cuda_double_objects");
    }
    // As tests/fake_cuda/double.hpp declares them.
    void (*calm_)() = nullptr;
    void (*forget_)() = nullptr;
    void (*order_)(const char* function, int status, std::uint64_t after, std::uint64_t count) = nullptr;
    void (*lie_)(std::uint64_t free_bytes) = nullptr;
    std::uint64_t (*calls_)() = nullptr;
    std::uint64_t (*pending_)() = nullptr;
    std::uint64_t (*objects_)() = nullptr;
};

/// Calm before and after, whatever the test does in between.
struct Calm {
    Calm() { Double::get().calm(); }
    ~Calm() {
        Double::get().calm();
        Double::get().forget();
    }
    Calm(const Calm&) = delete;
    Calm& operator=(const Calm&) = delete;
};

inline BlockSpec block(u64 key, u64 size_bytes = least, BlockKind kind = BlockKind::dedicated) { return {key, size_bytes, kind}; }

inline std::unique_ptr<Device> gpu(Options options = {}) {
    (void)Double::get();
    options.look_every_ns = 3600 * ns_per_second;  // The tests count calls and what is under way: nobody else shall look meanwhile.
    auto device = open(options);
    if (!device) FAIL(describe(device.error()));
    return *std::move(device);
}

inline std::shared_ptr<Channel> channel(Device& device, u64 key) {
    auto opened = channel_to(device, key);
    if (!opened) FAIL(describe(opened.error()));
    return *std::move(opened);
}
inline std::vector<std::byte> content(Device& device, u64 key) {
    const auto way = channel(device, key);
    std::vector<std::byte> bytes(way->size_bytes());
    REQUIRE(way->read(0, bytes).has_value());
    return bytes;
}
inline bool all(std::span<const std::byte> bytes, std::byte value) {
    return std::ranges::all_of(bytes, [value](std::byte byte) { return byte == value; });
}
inline u64 open_descriptors() {
    u64 count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        (void)entry;
        ++count;
    }
    return count;
}
}  // namespace vramd::device::cuda
