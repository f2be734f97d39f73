#include "device/cuda/driver.hpp"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/mutex.hpp"

namespace vramd::device::cuda {
namespace {
std::unexpected<Error> unusable(std::string why) { return refuse(Code::unsupported, "cuda", std::move(why)); }

/// Takes functions out of one library, and remembers the first that is not there.
class Library {
public:
    Library(void* opened, bool real) : opened_(opened), real_(real) {}
    template <class Function>
    void take(Function& function, const char* name) {
        function = reinterpret_cast<Function>(opened_ == nullptr ? nullptr : dlsym(opened_, name));
        if (function == nullptr && missing_.empty()) missing_ = name;
    }
    [[nodiscard]] const std::string& missing() const { return missing_; }
    [[nodiscard]] bool is_open() const { return opened_ != nullptr; }
    [[nodiscard]] bool is_real() const { return real_; }
    [[nodiscard]] const char* text(const char* name) const {
        const void* const symbol = opened_ == nullptr ? nullptr : dlsym(opened_, name);
        return symbol == nullptr ? nullptr : *static_cast<const char* const*>(symbol);
    }

private:
    void* opened_;
    bool real_;
    std::string missing_;
};

/// RTLD_NODELETE: its threads run on until the process ends.
Library open_library(const char* name) {
    const char* const instead = std::getenv("VRAMD_CUDA_LIBRARY");
    const bool real = instead == nullptr || *instead == '\0';
    return {dlopen(real ? name : instead, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE), real};
}

void take_devices(Library& from, Driver& driver) {
    from.take(driver.init, "cuInit");
    from.take(driver.driver_version, "cuDriverGetVersion");
    from.take(driver.error_name, "cuGetErrorName");
    from.take(driver.device_count, "cuDeviceGetCount");
    from.take(driver.device_get, "cuDeviceGet");
    from.take(driver.device_name, "cuDeviceGetName");
    from.take(driver.device_uuid, "cuDeviceGetUuid_v2");
    from.take(driver.device_pci, "cuDeviceGetPCIBusId");
    from.take(driver.device_attribute, "cuDeviceGetAttribute");
    from.take(driver.can_reach, "cuDeviceCanAccessPeer");
    from.take(driver.context_retain, "cuDevicePrimaryCtxRetain");
    from.take(driver.context_release, "cuDevicePrimaryCtxRelease_v2");
    from.take(driver.context_set, "cuCtxSetCurrent");
    from.take(driver.memory_info, "cuMemGetInfo_v2");
}
void take_memory(Library& from, Driver& driver) {
    from.take(driver.granularity, "cuMemGetAllocationGranularity");
    from.take(driver.create, "cuMemCreate");
    from.take(driver.release, "cuMemRelease");
    from.take(driver.export_handle, "cuMemExportToShareableHandle");
    from.take(driver.import_handle, "cuMemImportFromShareableHandle");
    from.take(driver.reserve, "cuMemAddressReserve");
    from.take(driver.address_free, "cuMemAddressFree");
    from.take(driver.map, "cuMemMap");
    from.take(driver.unmap, "cuMemUnmap");
    from.take(driver.set_access, "cuMemSetAccess");
}
void take_copies(Library& from, Driver& driver) {
    from.take(driver.stream_create, "cuStreamCreate");
    from.take(driver.stream_destroy, "cuStreamDestroy_v2");
    from.take(driver.event_create, "cuEventCreate");
    from.take(driver.event_destroy, "cuEventDestroy_v2");
    from.take(driver.event_record, "cuEventRecord");
    from.take(driver.event_query, "cuEventQuery");
    from.take(driver.copy_to_device, "cuMemcpyHtoDAsync_v2");
    from.take(driver.copy_to_host, "cuMemcpyDtoHAsync_v2");
    from.take(driver.copy_on_device, "cuMemcpyDtoDAsync_v2");
    from.take(driver.fill, "cuMemsetD8Async");
    from.take(driver.host_register, "cuMemHostRegister_v2");
    from.take(driver.host_unregister, "cuMemHostUnregister");
}

/// All of it or nothing: without it the driver is asked, which knows what is free but not that others' processes are shut out.
Management take_management() {
    Library from = open_library("libnvidia-ml.so.1");
    Management management;
    from.take(management.init, "nvmlInit_v2");
    from.take(management.driver_version, "nvmlSystemGetDriverVersion");
    from.take(management.device_by_pci, "nvmlDeviceGetHandleByPciBusId_v2");
    from.take(management.memory, "nvmlDeviceGetMemoryInfo_v2");
    from.take(management.processes, "nvmlDeviceGetComputeRunningProcesses_v3");
    from.take(management.mig_mode, "nvmlDeviceGetMigMode");
    if (!from.missing().empty() || management.init() != management_success) return {};
    return management;
}

std::string version_text(const Driver& driver, const Management& management) {
    int number = 0;
    std::string text = "NVIDIA";
    std::array<char, 96> release{};
    if (management.init != nullptr && management.driver_version(release.data(), release.size()) == management_success)
        text += " " + std::string(release.data());
    if (driver.driver_version(&number) == status_success)
        text += ", CUDA " + std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
    return text;
}

std::string uuid_text(const Uuid& uuid) {
    std::string text = "GPU-";
    for (std::size_t i = 0; i < uuid.size(); ++i) {
        std::array<char, 3> digits{};
        (void)std::snprintf(digits.data(), digits.size(), "%02x", uuid[i]);
        text += digits.data();
        if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
    }
    return text;
}
}  // namespace

std::string Libraries::name_of(Status status) const {
    const char* name = nullptr;
    if (driver.error_name(status, &name) == status_success && name != nullptr) return name;
    return "CUDA error " + std::to_string(status);
}

/// Fewer channels make the driver's start and a context smaller, and streams still overlap. The order is nvidia-smi's.
void Libraries::prepare_environment() {
    (void)setenv("CUDA_DEVICE_MAX_CONNECTIONS", "1", 0);
    (void)setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 0);
}

Result<std::shared_ptr<const Libraries>> Libraries::load() {
    Library from = open_library("libcuda.so.1");
    if (!from.is_open()) {
        const char* const reason = dlerror();
        return unusable(std::string("There is no NVIDIA driver that could be used here: ") +
                        (reason == nullptr ? "libcuda.so.1 cannot be loaded" : reason) + ".");
    }
    auto libraries = std::make_shared<Libraries>();
    Driver& driver = libraries->driver;
    take_devices(from, driver);
    take_memory(from, driver);
    take_copies(from, driver);
    if (!from.missing().empty()) return unusable("The NVIDIA driver is too old: it has no " + from.missing() + ".");
    const Status begun = driver.init(0);
    if (begun == status_no_device) return unusable("The NVIDIA driver finds no GPU.");
    if (begun != status_success) return unusable("The NVIDIA driver does not begin: " + libraries->name_of(begun) + ".");
    libraries->management = take_management();
    const char* const double_name = from.is_real() ? nullptr : from.text("vramd_cuda_double_name");
    libraries->version = double_name != nullptr ? double_name : version_text(driver, libraries->management);
    return libraries;
}

Result<std::shared_ptr<const Libraries>> Libraries::open() {
    static Mutex mutex;
    static std::shared_ptr<const Libraries> opened;  // Only what could be used is kept: a driver may be put in later.
    const Lock lock(mutex);
    if (opened == nullptr) {
        TRY(opened, load());
    }
    return opened;
}

Result<std::vector<Gpu>> list_gpus(const Libraries& libraries) {
    const Driver& driver = libraries.driver;
    const auto failed = [&](std::string_view what, Status status) {
        return refuse(Code::device_lost, "cuda",
                      "The NVIDIA driver cannot tell its GPUs (" + std::string(what) + "): " + libraries.name_of(status) + ".");
    };
    int count = 0;
    if (const Status status = driver.device_count(&count); status != status_success) return failed("count", status);
    std::vector<Gpu> gpus;
    for (int index = 0; index < count; ++index) {
        Gpu gpu;
        gpu.index = index;
        std::array<char, 256> text{};
        Uuid uuid{};
        if (const Status status = driver.device_get(&gpu.number, index); status != status_success) return failed("device", status);
        if (driver.device_name(text.data(), text.size(), gpu.number) == status_success) gpu.name = text.data();
        if (driver.device_uuid(&uuid, gpu.number) == status_success) gpu.uuid = uuid_text(uuid);
        if (driver.device_pci(text.data(), text.size(), gpu.number) == status_success) gpu.pci = text.data();
        gpus.push_back(std::move(gpu));
    }
    return gpus;
}

Result<Gpu> find_gpu(const Libraries& libraries, const std::string& which) {
    TRY(const std::vector<Gpu> gpus, list_gpus(libraries));
    std::string known;
    for (const Gpu& gpu : gpus) {
        if (which.empty() || which == std::to_string(gpu.index) || which == gpu.uuid) return gpu;
        known += (known.empty() ? "" : ", ") + std::to_string(gpu.index) + " (" + gpu.name + ", " + gpu.uuid + ")";
    }
    return refuse(Code::not_found, "device",
                  "There is no GPU \"" + which + "\"" + (known.empty() ? "; the driver tells of none." : "; there are: " + known + "."));
}
}  // namespace vramd::device::cuda
