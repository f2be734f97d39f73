/// What the tests of this room share: blocks, devices, and what another user's process may do. For tests only.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>

#include "device/host/host.hpp"

namespace vramd::device::host {
inline constexpr BlockSpec block(u64 key, u64 size_bytes = mib, BlockKind kind = BlockKind::arena) { return {key, size_bytes, kind}; }

inline std::unique_ptr<Device> device_with(Options options) {
    options.capacity_bytes = 4 * gib;
    auto device = open(options);
    REQUIRE(device.has_value());
    return *std::move(device);
}
/// One that keeps freed blocks, and one that keeps none.
inline std::unique_ptr<Device> pooling() { return device_with({.pool_max_bytes = 512 * mib}); }
inline std::unique_ptr<Device> plain() { return device_with({}); }

inline bool all_zero(std::span<const std::byte> bytes) {
    return bytes.empty() || (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}
inline u64 open_descriptors() {
    u64 count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        (void)entry;
        ++count;
    }
    return count;
}
inline int seals_of(const Fd& descriptor) { return fcntl(descriptor.get(), F_GET_SEALS); }

/// What another user's process can do with the descriptors that it inherits: the answer of `attempt` (0–99). Absent where this test has no
/// right to become another user.
inline std::optional<int> as_another_user(const std::function<int()>& attempt) {
    if (getuid() != 0) return std::nullopt;
    const pid_t child = fork();
    if (child == 0) _exit(setgid(65534) == 0 && setuid(65534) == 0 ? attempt() : 100);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}
}  // namespace vramd::device::host
