/// The few structures of Vulkan by which adapters are told apart, declared here by its published interface. Internal to the room.
#pragma once
#include <array>

#include "base/types.hpp"
#include "device/d3d12/api.hpp"

namespace vramd::device::d3d12::vulkan {
inline constexpr int success = 0;
inline constexpr int incomplete = 5;
inline constexpr u32 type_cpu = 4;
inline constexpr u32 heap_is_device_local = 1;
inline constexpr u32 structure_memory_properties_2 = 1000059006;
inline constexpr u32 structure_memory_budget = 1000237000;
inline constexpr std::size_t name_bytes = 256;
inline constexpr std::size_t heaps_max = 16;

/// VkPhysicalDeviceProperties up to what is read; the rest is as large as the whole at least.
struct Properties {
    u32 api_version;
    u32 driver_version;
    u32 vendor;
    u32 device;
    u32 type;
    std::array<char, name_bytes> name;
    alignas(8) std::array<std::byte, 1024> rest;
};
struct MemoryType {
    u32 flags;
    u32 heap;
};
struct MemoryHeap {
    u64 size_bytes;
    u32 flags;
};
struct MemoryProperties {
    u32 type_count;
    std::array<MemoryType, 32> types;
    u32 heap_count;
    std::array<MemoryHeap, heaps_max> heaps;
};
static_assert(sizeof(MemoryProperties) == 520);
struct MemoryBudget {
    u32 structure = structure_memory_budget;
    void* next = nullptr;
    std::array<u64, heaps_max> budget_bytes{};
    std::array<u64, heaps_max> used_bytes{};
};
struct MemoryProperties2 {
    u32 structure = structure_memory_properties_2;
    void* next = nullptr;
    MemoryProperties properties{};
};
struct Extension {
    std::array<char, name_bytes> name;
    u32 version;
};

using EnumerateDevices = int (*)(VkInstance, u32* count, VkPhysicalDevice*);
using GetProperties = void (*)(VkPhysicalDevice, Properties*);
using GetMemoryProperties = void (*)(VkPhysicalDevice, MemoryProperties*);
using GetMemoryProperties2 = void (*)(VkPhysicalDevice, MemoryProperties2*);
using EnumerateExtensions = int (*)(VkPhysicalDevice, const char* layer, u32* count, Extension*);
}  // namespace vramd::device::d3d12::vulkan
