/// libvkd3d and the Vulkan loader, opened when a Direct3D 12 device is asked for: which adapters there are, and a device on one of them.
///
/// A daemon on a machine without them starts like any other, and says what is missing where such a device is asked for. Both stay loaded
/// while the process lives: drivers do not bear being taken out.
///
/// `VRAMD_VKD3D_LIBRARY` and `VRAMD_VULKAN_LIBRARY` name other libraries than the system's.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "device/d3d12/api.hpp"

namespace vramd::device::d3d12 {
/// A Vulkan device, as Direct3D would call it.
struct Adapter {
    u32 index = 0;
    std::string name;
    std::string driver;
    bool is_software = false;  ///< Computed by the processor: no GPU at all.
    bool tells_budget = false;
    VkPhysicalDevice handle = nullptr;
};

/// The memory of an adapter that its blocks come from.
struct AdapterMemory {
    u64 total_bytes = 0;
    std::optional<u64> free_bytes;  ///< What the driver would still give this process; absent where it does not tell.
};

/// Thread-safe. Virtual, so that tests can put a double between (`double.hpp`): what the runtime stubs can be seen in no other way.
class Runtime {
public:
    /// Sets how much libvkd3d writes to stderr: before there are threads that could read the environment.
    static void prepare_environment();
    /// Errors: `unsupported`, in words: a library is missing, or no Vulkan driver answers.
    [[nodiscard]] static Result<std::shared_ptr<Runtime>> open();
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;
    virtual ~Runtime();

    /// In the order of the Vulkan loader. Errors: `unsupported`.
    [[nodiscard]] virtual Result<std::vector<Adapter>> adapters() const;
    /// The one of that index; empty: the first. Errors: `not_found`, telling which there are; as `adapters`.
    [[nodiscard]] Result<Adapter> find(const std::string& which) const;
    /// Errors: `device_lost`, in words.
    [[nodiscard]] virtual Result<Com<ID3D12Device>> make_device(const Adapter& adapter);
    [[nodiscard]] AdapterMemory memory_of(const Adapter& adapter) const;

protected:
    Runtime() = default;
    /// Opens the libraries and begins Vulkan. Errors: as `open`.
    [[nodiscard]] Result<void> begin();

private:
    struct Functions;
    std::shared_ptr<Functions> functions_;
    vkd3d_instance* instance_ = nullptr;
};
}  // namespace vramd::device::d3d12
