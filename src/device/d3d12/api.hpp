/// Direct3D 12 as libvkd3d's headers declare it, without Vulkan's own headers, and what its COM objects need in C++. Internal to the room.
///
/// Nothing is linked: `Runtime` opens the libraries. On x86-64 the methods are called as Windows calls them, which the headers see to.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#define NOMINMAX
#define VKD3D_NO_VULKAN_H
#define VKD3D_NO_PROTOTYPES
#define WIDL_EXPLICIT_AGGREGATE_RETURNS
// As vulkan_core.h has them; handles are pointers on every machine of 64 bits.
using VkInstance = struct VkInstance_T*;
using VkPhysicalDevice = struct VkPhysicalDevice_T*;
using VkDevice = struct VkDevice_T*;
using VkQueue = struct VkQueue_T*;
using VkImage = struct VkImage_T*;
using VkFormat = int;
using PFN_vkVoidFunction = void (*)();
using PFN_vkGetInstanceProcAddr = PFN_vkVoidFunction (*)(VkInstance, const char*);
#include <vkd3d.h>
#undef interface

namespace vramd::device::d3d12 {
inline constexpr HRESULT error_device_removed = static_cast<HRESULT>(0x887a0005);
inline constexpr HRESULT error_device_hung = static_cast<HRESULT>(0x887a0006);
inline constexpr HRESULT error_device_reset = static_cast<HRESULT>(0x887a0007);
inline constexpr HRESULT error_driver_internal = static_cast<HRESULT>(0x887a0020);

/// "0x887a0005 (the device was removed)".
[[nodiscard]] std::string words_of(HRESULT result);

/// One reference to a COM object; given back when it ends. Not thread-safe itself.
template <class T>
class Com {
public:
    Com() = default;
    Com(const Com&) = delete;
    Com& operator=(const Com&) = delete;
    Com(Com&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    Com& operator=(Com&& other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~Com() {
        if (object_ != nullptr) object_->Release();
    }
    [[nodiscard]] T* get() const { return object_; }
    T* operator->() const { return object_; }
    explicit operator bool() const { return object_ != nullptr; }
    /// Where a call that makes one puts it; empty before.
    [[nodiscard]] void** put() { return reinterpret_cast<void**>(&object_); }
    /// The reference without who gives it back.
    [[nodiscard]] T* detach() { return std::exchange(object_, nullptr); }

private:
    T* object_ = nullptr;
};

/// An interface's identifier.
template <class T>
const GUID& id_of() {
    return __vkd3d_uuidof<T>();
}
}  // namespace vramd::device::d3d12
