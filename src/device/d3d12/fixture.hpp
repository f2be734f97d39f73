/// What the tests of this room share: a device through libvkd3d on the first Vulkan device, which is Mesa's software one where there is no
/// GPU. For tests only.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "device/channel.hpp"
#include "device/d3d12/d3d12.hpp"

namespace vramd::device::d3d12 {
inline constexpr u64 least = 64 * kib;

inline BlockSpec block(u64 key, u64 size_bytes = least, BlockKind kind = BlockKind::dedicated) { return {key, size_bytes, kind}; }

inline std::unique_ptr<Device> adapter(Options options = {}) {
    if (options.size == Options{}.size) options.size = {Size::Unit::bytes, 512 * mib};
    prepare_environment();
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
/// Bytes that differ from place to place.
inline std::vector<std::byte> pattern(u64 size_bytes, u64 salt) {
    std::vector<std::byte> bytes(size_bytes);
    for (u64 i = 0; i < size_bytes; ++i) bytes[i] = static_cast<std::byte>((i + salt) * 7 + i / 4093 + salt);
    return bytes;
}
}  // namespace vramd::device::d3d12
