#include "device/d3d12/runtime.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "device/d3d12/vulkan.hpp"

namespace vramd::device::d3d12 {
namespace {
constexpr const char* budget_extension = "VK_EXT_memory_budget";

/// vkd3d makes no instance without one. Nobody asks it for an event here: a fence's value is asked for instead.
HRESULT signal_nothing(HANDLE) { return S_OK; }

Result<void*> open_library(const char* variable, const char* name, std::string_view package) {
    const char* const named = std::getenv(variable);
    void* const library = dlopen(named != nullptr ? named : name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library != nullptr) return library;
    const char* const why = dlerror();
    return refuse(Code::unsupported, "d3d12",
                  "Direct3D 12 needs " + std::string(name) + " (in Debian's " + std::string(package) +
                      "), which cannot be opened: " + (why != nullptr ? why : "no reason is told") + ".");
}

template <class Function>
Result<void> take(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) return refuse(Code::unsupported, "d3d12", "The library of Direct3D 12 has no " + std::string(name) + ".");
    return {};
}

std::string version_words(u32 version) {
    return std::to_string((version >> 22U) & 0x7fU) + "." + std::to_string((version >> 12U) & 0x3ffU) + "." +
           std::to_string(version & 0xfffU);
}
}  // namespace

std::string words_of(HRESULT result) {
    constexpr std::pair<HRESULT, std::string_view> known[] = {{error_device_removed, "the device was removed"},
                                                              {error_device_hung, "the device hangs"},
                                                              {error_device_reset, "the device was reset"},
                                                              {error_driver_internal, "the driver failed"},
                                                              {E_OUTOFMEMORY, "out of memory"},
                                                              {E_INVALIDARG, "an argument is not allowed"},
                                                              {E_NOTIMPL, "not implemented"},
                                                              {E_FAIL, "it failed"}};
    std::array<char, 16> text{};
    (void)std::snprintf(text.data(), text.size(), "0x%08x", static_cast<unsigned>(result));
    for (const auto& [value, words] : known)
        if (value == result) return std::string(text.data()) + " (" + std::string(words) + ")";
    return text.data();
}

struct Runtime::Functions {
    PFN_vkd3d_create_instance create_instance = nullptr;
    PFN_vkd3d_instance_decref release_instance = nullptr;
    PFN_vkd3d_instance_get_vk_instance vulkan_of = nullptr;
    PFN_vkd3d_create_device create_device = nullptr;
    PFN_vkGetInstanceProcAddr function_of = nullptr;
    vulkan::EnumerateDevices devices = nullptr;
    vulkan::GetProperties properties = nullptr;
    vulkan::GetMemoryProperties memory = nullptr;
    vulkan::GetMemoryProperties2 memory_2 = nullptr;  ///< Null where the instance has none.
    vulkan::EnumerateExtensions extensions = nullptr;

    template <class Function>
    void look_up(VkInstance instance, const char* name, Function& function) const {
        function = reinterpret_cast<Function>(function_of(instance, name));
    }
    [[nodiscard]] bool has(VkPhysicalDevice device, std::string_view extension) const {
        u32 count = 0;
        if (extensions(device, nullptr, &count, nullptr) != vulkan::success) return false;
        std::vector<vulkan::Extension> all(count);
        if (extensions(device, nullptr, &count, all.data()) != vulkan::success) return false;
        return std::ranges::any_of(all, [&](const vulkan::Extension& one) { return extension == one.name.data(); });
    }
};

void Runtime::prepare_environment() {
    // Without it every stub that is called is a line; errors are still told.
    (void)setenv("VKD3D_DEBUG", "err", 0);
}

Result<std::shared_ptr<Runtime>> Runtime::open() {
    const std::shared_ptr<Runtime> runtime(new Runtime());
    TRY_DO(runtime->begin());
    return runtime;
}

Result<void> Runtime::begin() {
    functions_ = std::make_shared<Functions>();
    Functions& functions = *functions_;
    TRY(void* const vkd3d, open_library("VRAMD_VKD3D_LIBRARY", "libvkd3d.so.1", "libvkd3d1"));
    TRY(void* const loader, open_library("VRAMD_VULKAN_LIBRARY", "libvulkan.so.1", "libvulkan1"));
    TRY_DO(take(vkd3d, "vkd3d_create_instance", functions.create_instance));
    TRY_DO(take(vkd3d, "vkd3d_instance_decref", functions.release_instance));
    TRY_DO(take(vkd3d, "vkd3d_instance_get_vk_instance", functions.vulkan_of));
    TRY_DO(take(vkd3d, "vkd3d_create_device", functions.create_device));
    TRY_DO(take(loader, "vkGetInstanceProcAddr", functions.function_of));
    vkd3d_instance_create_info info{};
    info.type = VKD3D_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pfn_signal_event = &signal_nothing;
    info.wchar_size = sizeof(WCHAR);
    info.pfn_vkGetInstanceProcAddr = functions.function_of;
    if (const HRESULT made = functions.create_instance(&info, &instance_); FAILED(made)) {
        instance_ = nullptr;
        return refuse(
            Code::unsupported, "d3d12",
            "No Vulkan driver answers (Debian has some in mesa-vulkan-drivers): vkd3d_create_instance said " + words_of(made) + ".");
    }
    const VkInstance instance = functions.vulkan_of(instance_);
    functions.look_up(instance, "vkEnumeratePhysicalDevices", functions.devices);
    functions.look_up(instance, "vkGetPhysicalDeviceProperties", functions.properties);
    functions.look_up(instance, "vkGetPhysicalDeviceMemoryProperties", functions.memory);
    functions.look_up(instance, "vkGetPhysicalDeviceMemoryProperties2KHR", functions.memory_2);
    functions.look_up(instance, "vkEnumerateDeviceExtensionProperties", functions.extensions);
    if (functions.devices == nullptr || functions.properties == nullptr || functions.memory == nullptr || functions.extensions == nullptr)
        return refuse(Code::unsupported, "d3d12", "The Vulkan loader lacks functions that every version has.");
    return {};
}

Runtime::~Runtime() {
    if (instance_ != nullptr) functions_->release_instance(instance_);
}

Result<std::vector<Adapter>> Runtime::adapters() const {
    const Functions& functions = *functions_;
    const VkInstance instance = functions.vulkan_of(instance_);
    u32 count = 0;
    (void)functions.devices(instance, &count, nullptr);
    std::vector<VkPhysicalDevice> handles(count);
    const int listed = count == 0 ? vulkan::success : functions.devices(instance, &count, handles.data());
    if (count == 0 || (listed != vulkan::success && listed != vulkan::incomplete))
        return refuse(Code::unsupported, "d3d12", "No Vulkan driver has a device (Debian has drivers in mesa-vulkan-drivers).");
    std::vector<Adapter> found;
    for (u32 i = 0; i < count; ++i) {
        vulkan::Properties properties{};
        functions.properties(handles[i], &properties);
        properties.name.back() = 0;
        found.push_back({i, properties.name.data(), "vkd3d, Vulkan " + version_words(properties.api_version),
                         properties.type == vulkan::type_cpu, functions.memory_2 != nullptr && functions.has(handles[i], budget_extension),
                         handles[i]});
    }
    return found;
}

Result<Adapter> Runtime::find(const std::string& which) const {
    TRY(const std::vector<Adapter> all, adapters());
    const std::string wanted = which.empty() ? "0" : which;
    std::string there;
    for (const Adapter& adapter : all) {
        if (std::to_string(adapter.index) == wanted) return adapter;
        there += (there.empty() ? "" : ", ") + std::to_string(adapter.index) + " (" + adapter.name + ")";
    }
    return refuse(Code::not_found, "d3d12", "There is no adapter " + wanted + "; there are: " + there + ".");
}

Result<Com<ID3D12Device>> Runtime::make_device(const Adapter& adapter) {
    vkd3d_device_create_info info{};
    info.type = VKD3D_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    info.minimum_feature_level = D3D_FEATURE_LEVEL_11_0;
    info.instance = instance_;
    info.vk_physical_device = adapter.handle;
    Com<ID3D12Device> device;
    if (const HRESULT made = functions_->create_device(&info, id_of<ID3D12Device>(), device.put()); FAILED(made))
        return refuse(Code::device_lost, "d3d12",
                      adapter.name + " gives no Direct3D 12 device of feature level 11.0: " + words_of(made) + ".");
    return device;
}

AdapterMemory Runtime::memory_of(const Adapter& adapter) const {
    vulkan::MemoryBudget budget;
    vulkan::MemoryProperties2 told;
    if (adapter.tells_budget) {
        told.next = &budget;
        functions_->memory_2(adapter.handle, &told);
    } else {
        functions_->memory(adapter.handle, &told.properties);
    }
    AdapterMemory memory;
    const auto& properties = told.properties;
    for (u32 i = 0; i < std::min<u32>(properties.heap_count, vulkan::heaps_max); ++i) {
        const vulkan::MemoryHeap& heap = properties.heaps[i];
        // The largest of its own: others are windows into it, or the system's memory.
        if ((heap.flags & vulkan::heap_is_device_local) == 0 || heap.size_bytes <= memory.total_bytes) continue;
        memory.total_bytes = heap.size_bytes;
        if (adapter.tells_budget) memory.free_bytes = budget.budget_bytes[i] - std::min(budget.budget_bytes[i], budget.used_bytes[i]);
    }
    return memory;
}
}  // namespace vramd::device::d3d12
