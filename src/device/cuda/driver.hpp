/// The NVIDIA driver and its management library as two tables of functions, filled when the daemon starts.
///
/// Nothing of CUDA is linked and none of its headers is read: a daemon without a GPU starts like any other, and one build serves all
/// drivers. The declarations are our own, by the driver API's published interface (CUDA 12 and 13); a versioned name is the one that a
/// header would have made of the plain one. A function that a driver does not have makes it unusable, in words, unless it is marked so.
///
/// `VRAMD_CUDA_LIBRARY` names another library to take both tables from: that is for tests.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace vramd::device::cuda {
// ------------------------------------------------------------------------------------------------------ as the driver's interface has it
using Status = int;  ///< CUresult
using DeviceNumber = int;
using Address = unsigned long long;  ///< CUdeviceptr: means nothing to the processor.
using Handle = unsigned long long;   ///< CUmemGenericAllocationHandle
using ContextPointer = struct ContextOfDriver*;
using StreamPointer = struct StreamOfDriver*;
using EventPointer = struct EventOfDriver*;

inline constexpr Status status_success = 0;
inline constexpr Status status_out_of_memory = 2;
inline constexpr Status status_no_device = 100;
inline constexpr Status status_not_ready = 600;

inline constexpr int attribute_compute_mode = 20;
inline constexpr int attribute_virtual_memory = 102;
inline constexpr int attribute_posix_descriptors = 103;
enum class ComputeMode : int { shared = 0, prohibited = 2, exclusive_process = 3 };

struct Location {
    int type = 1;  ///< A device.
    int id = 0;
};
struct AllocationProperties {
    int type = 1;          ///< Pinned.
    int handle_types = 1;  ///< POSIX descriptors.
    Location location{};
    void* windows = nullptr;
    std::array<unsigned char, 8> flags{};
};
static_assert(sizeof(AllocationProperties) == 32);
struct AccessDescription {
    Location location{};
    int flags = 3;  ///< Reading and writing.
};
static_assert(sizeof(AccessDescription) == 12);
inline constexpr int access_reads = 1;
inline constexpr int handle_type_posix = 1;
inline constexpr unsigned stream_non_blocking = 1;
inline constexpr unsigned event_without_time = 2;

using Uuid = std::array<unsigned char, 16>;

/// libcuda. Each is to be called as its documentation says; `Context` is who does.
struct Driver {
    Status (*init)(unsigned) = nullptr;
    Status (*driver_version)(int*) = nullptr;
    Status (*error_name)(Status, const char**) = nullptr;
    Status (*device_count)(int*) = nullptr;
    Status (*device_get)(DeviceNumber*, int) = nullptr;
    Status (*device_name)(char*, int, DeviceNumber) = nullptr;
    Status (*device_uuid)(Uuid*, DeviceNumber) = nullptr;
    Status (*device_pci)(char*, int, DeviceNumber) = nullptr;
    Status (*device_attribute)(int*, int, DeviceNumber) = nullptr;
    Status (*can_reach)(int*, DeviceNumber, DeviceNumber) = nullptr;
    Status (*context_retain)(ContextPointer*, DeviceNumber) = nullptr;
    Status (*context_release)(DeviceNumber) = nullptr;
    Status (*context_set)(ContextPointer) = nullptr;
    Status (*memory_info)(std::size_t* free, std::size_t* total) = nullptr;
    Status (*granularity)(std::size_t*, const AllocationProperties*, int) = nullptr;
    Status (*create)(Handle*, std::size_t, const AllocationProperties*, unsigned long long) = nullptr;
    Status (*release)(Handle) = nullptr;
    Status (*export_handle)(void* descriptor, Handle, int type, unsigned long long) = nullptr;
    Status (*import_handle)(Handle*, void* descriptor, int type) = nullptr;
    Status (*reserve)(Address*, std::size_t, std::size_t alignment, Address, unsigned long long) = nullptr;
    Status (*address_free)(Address, std::size_t) = nullptr;
    Status (*map)(Address, std::size_t, std::size_t offset, Handle, unsigned long long) = nullptr;
    Status (*unmap)(Address, std::size_t) = nullptr;
    Status (*set_access)(Address, std::size_t, const AccessDescription*, std::size_t) = nullptr;
    Status (*stream_create)(StreamPointer*, unsigned) = nullptr;
    Status (*stream_destroy)(StreamPointer) = nullptr;
    Status (*event_create)(EventPointer*, unsigned) = nullptr;
    Status (*event_destroy)(EventPointer) = nullptr;
    Status (*event_record)(EventPointer, StreamPointer) = nullptr;
    Status (*event_query)(EventPointer) = nullptr;
    Status (*copy_to_device)(Address, const void*, std::size_t, StreamPointer) = nullptr;
    Status (*copy_to_host)(void*, Address, std::size_t, StreamPointer) = nullptr;
    Status (*copy_on_device)(Address to, Address from, std::size_t, StreamPointer) = nullptr;
    Status (*fill)(Address, unsigned char, std::size_t, StreamPointer) = nullptr;
    Status (*host_register)(void*, std::size_t, unsigned) = nullptr;
    Status (*host_unregister)(void*) = nullptr;
};

using ManagedDevice = struct DeviceOfManagement*;
struct ManagedMemory {
    unsigned version = static_cast<unsigned>(sizeof(ManagedMemory)) | (2U << 24U);
    unsigned long long total = 0;
    unsigned long long reserved = 0;
    unsigned long long free = 0;
    unsigned long long used = 0;
};
struct ManagedProcess {
    unsigned pid = 0;
    unsigned long long used = 0;
    unsigned instance = 0;
    unsigned compute_instance = 0;
};
static_assert(sizeof(ManagedMemory) == 40 && sizeof(ManagedProcess) == 24);
inline constexpr int management_success = 0;

/// libnvidia-ml; where it is absent `init` is null, and free memory is asked of the driver.
struct Management {
    int (*init)() = nullptr;
    int (*driver_version)(char*, unsigned) = nullptr;
    int (*device_by_pci)(const char*, ManagedDevice*) = nullptr;
    int (*memory)(ManagedDevice, ManagedMemory*) = nullptr;
    int (*processes)(ManagedDevice, unsigned*, ManagedProcess*) = nullptr;
    int (*mig_mode)(ManagedDevice, unsigned* now, unsigned* pending) = nullptr;
};

// ------------------------------------------------------------------------------------------------------------------------------- ours
/// Both libraries, loaded and begun, once in a process. They stay loaded: a driver does not bear being taken out.
class Libraries {
public:
    /// Sets in the environment what the driver looks for when it begins: before there are threads that could read it.
    static void prepare_environment();
    /// Loads them and begins the driver (some 100 ms the first time). Later calls answer the same.
    /// Errors: `unsupported`, in words: there is no driver, it is too old, or it finds no GPU.
    [[nodiscard]] static Result<std::shared_ptr<const Libraries>> open();

    Driver driver;
    Management management;
    std::string version;  ///< "NVIDIA 580.159.04, CUDA 13.0", or what a library for tests calls itself.
    /// "CUDA_ERROR_OUT_OF_MEMORY", or the number where the driver has no name for it.
    [[nodiscard]] std::string name_of(Status status) const;

private:
    [[nodiscard]] static Result<std::shared_ptr<const Libraries>> load();
};

/// A GPU as the driver counts them (by PCI address, as nvidia-smi does).
struct Gpu {
    int index = 0;
    DeviceNumber number = 0;
    std::string name;
    std::string uuid;  ///< "GPU-5a0b…", as nvidia-smi prints it.
    std::string pci;
};
/// All of them, by index. Errors: `device_lost`, in words.
[[nodiscard]] Result<std::vector<Gpu>> list_gpus(const Libraries& libraries);
/// By index or UUID; empty: the first. Errors: `not_found`, telling which there are; as `list_gpus`.
[[nodiscard]] Result<Gpu> find_gpu(const Libraries& libraries, const std::string& which);
}  // namespace vramd::device::cuda
