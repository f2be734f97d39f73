#include "client/gpu.hpp"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <map>
#include <mutex>

namespace vramd::client {
namespace {
using Status = int;
using Address = unsigned long long;
using Handle = unsigned long long;

struct Access {
    int location_type = 1;  // A device.
    int location_id = 0;
    int flags = 0;
};
constexpr int access_read = 1;
constexpr int access_both = 3;
constexpr int handle_type_posix = 1;

Error error_of(const char* code, std::string message) {
    Error error;
    error.code = code;
    error.message = std::move(message);
    return error;
}

std::string text_of(const std::array<unsigned char, 16>& uuid) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text = "GPU-";
    for (std::size_t i = 0; i < uuid.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += digits[uuid[i] >> 4];
        text += digits[uuid[i] & 15];
    }
    return text;
}
}  // namespace

/// The driver, begun, with a context for each GPU that was asked for. Never unloaded: a driver does not bear that. Thread-safe once open.
class Cuda {
public:
    static Result<std::shared_ptr<Cuda>> open();

    Status (*device_count)(int*) = nullptr;
    Status (*device_get)(int*, int) = nullptr;
    Status (*device_uuid)(unsigned char*, int) = nullptr;
    Status (*context_retain)(void**, int) = nullptr;
    Status (*context_get)(void**) = nullptr;
    Status (*context_set)(void*) = nullptr;
    Status (*context_synchronize)() = nullptr;
    Status (*import)(Handle*, void*, int) = nullptr;
    Status (*release)(Handle) = nullptr;
    Status (*reserve)(Address*, std::size_t, std::size_t, Address, unsigned long long) = nullptr;
    Status (*address_free)(Address, std::size_t) = nullptr;
    Status (*map)(Address, std::size_t, std::size_t, Handle, unsigned long long) = nullptr;
    Status (*unmap)(Address, std::size_t) = nullptr;
    Status (*set_access)(Address, std::size_t, const Access*, std::size_t) = nullptr;
    Status (*copy_to_host)(void*, Address, std::size_t) = nullptr;
    Status (*error_name)(Status, const char**) = nullptr;
    Status (*init)(unsigned) = nullptr;

    /// Nothing, or what the driver said of it.
    [[nodiscard]] std::optional<Error> check(const char* function, Status status) const {
        if (status == 0) return std::nullopt;
        const char* name = nullptr;
        if (error_name(status, &name) != 0 || name == nullptr) name = "an error without a name";
        return error_of("system-failed",
                        std::string("The NVIDIA driver refused ") + function + ": " + name + " (" + std::to_string(status) + ").");
    }
    /// The GPU's number in this process, which CUDA_VISIBLE_DEVICES may have changed.
    [[nodiscard]] Result<int> ordinal_of(const std::string& uuid) const;
    /// The primary context of that GPU.
    [[nodiscard]] Result<void*> context_of(int ordinal);

private:
    [[nodiscard]] std::optional<Error> take(void* library);
    std::mutex lock_;
    std::map<int, void*> contexts_;
};

namespace {
/// Makes a GPU's context this thread's for as long as it lives.
class Entered {
public:
    Entered(const Cuda& cuda, void* context) : cuda_(cuda) {
        (void)cuda_.context_get(&before_);
        (void)cuda_.context_set(context);
    }
    ~Entered() { (void)cuda_.context_set(before_); }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

private:
    const Cuda& cuda_;
    void* before_ = nullptr;
};
}  // namespace

Result<std::shared_ptr<Cuda>> Cuda::open() {
    static std::mutex lock;
    static std::shared_ptr<Cuda> opened;
    const std::lock_guard guard(lock);
    if (opened) return opened;
    const char* const named = std::getenv("VRAMD_CUDA_LIBRARY");
    void* const library = dlopen(named != nullptr ? named : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char* const why = dlerror();
        return error_of("unsupported", std::string("This memory is a GPU's, and the NVIDIA driver cannot be loaded here: ") +
                                           (why != nullptr ? why : "") + ".");
    }
    auto cuda = std::make_shared<Cuda>();
    if (auto error = cuda->take(library)) return *std::move(error);
    if (auto error = cuda->check("cuInit", cuda->init(0))) return *std::move(error);
    opened = std::move(cuda);
    return opened;
}

std::optional<Error> Cuda::take(void* library) {
    std::optional<Error> missing;
    const auto find = [&](auto& function, const char* name) {
        void* const found = dlsym(library, name);
        if (found == nullptr) missing = error_of("unsupported", std::string("The NVIDIA driver has no ") + name + ": it is too old.");
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(found);
    };
    find(init, "cuInit");
    find(error_name, "cuGetErrorName");
    find(device_count, "cuDeviceGetCount");
    find(device_get, "cuDeviceGet");
    find(device_uuid, "cuDeviceGetUuid_v2");
    find(context_retain, "cuDevicePrimaryCtxRetain");
    find(context_get, "cuCtxGetCurrent");
    find(context_set, "cuCtxSetCurrent");
    find(context_synchronize, "cuCtxSynchronize");
    find(import, "cuMemImportFromShareableHandle");
    find(release, "cuMemRelease");
    find(reserve, "cuMemAddressReserve");
    find(address_free, "cuMemAddressFree");
    find(map, "cuMemMap");
    find(unmap, "cuMemUnmap");
    find(set_access, "cuMemSetAccess");
    find(copy_to_host, "cuMemcpyDtoH_v2");
    return missing;
}

Result<int> Cuda::ordinal_of(const std::string& uuid) const {
    int count = 0;
    if (auto error = check("cuDeviceGetCount", device_count(&count))) return *std::move(error);
    for (int ordinal = 0; ordinal < count; ++ordinal) {
        int device = 0;
        std::array<unsigned char, 16> told{};
        if (device_get(&device, ordinal) == 0 && device_uuid(told.data(), device) == 0 && text_of(told) == uuid) return ordinal;
    }
    return error_of("unsupported",
                    "The memory is on " + uuid + ", which this process does not see; is it left out of CUDA_VISIBLE_DEVICES?");
}

Result<void*> Cuda::context_of(int ordinal) {
    const std::lock_guard guard(lock_);
    void*& context = contexts_[ordinal];
    if (context != nullptr) return context;
    int device = 0;
    if (auto error = check("cuDeviceGet", device_get(&device, ordinal))) return *std::move(error);
    if (auto error = check("cuDevicePrimaryCtxRetain", context_retain(&context, device))) return *std::move(error);
    return context;
}

Result<int> gpu_ordinal(const std::string& uuid) {
    const auto cuda = Cuda::open();
    if (!cuda) return cuda.error();
    return (*cuda)->ordinal_of(uuid);
}

Result<std::unique_ptr<GpuMapping>> GpuMapping::make(int descriptor, std::uint64_t block_bytes, bool writable, const std::string& uuid) {
    auto cuda = Cuda::open();
    if (!cuda) return cuda.error();
    const auto ordinal = (*cuda)->ordinal_of(uuid);
    if (!ordinal) return ordinal.error();
    std::unique_ptr<GpuMapping> made(new GpuMapping(*cuda, *ordinal, block_bytes));
    if (auto error = made->map(descriptor, writable)) return *std::move(error);
    return made;
}

std::optional<Error> GpuMapping::map(int descriptor, bool writable) {
    const auto context = cuda_->context_of(ordinal_);
    if (!context) return context.error();
    const Entered entered(*cuda_, *context);
    Handle handle = 0;
    // The driver takes the number itself in the place of a pointer.
    void* const number = reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor));
    if (auto error = cuda_->check("cuMemImportFromShareableHandle", cuda_->import(&handle, number, handle_type_posix))) return error;
    auto error = cuda_->check("cuMemAddressReserve", cuda_->reserve(&address_, size_bytes_, 0, 0, 0));
    if (!error) error = cuda_->check("cuMemMap", cuda_->map(address_, size_bytes_, 0, handle, 0));
    mapped_ = !error && address_ != 0;
    const Access access{1, ordinal_, writable ? access_both : access_read};
    if (!error) error = cuda_->check("cuMemSetAccess", cuda_->set_access(address_, size_bytes_, &access, 1));
    (void)cuda_->release(handle);  // The mapping keeps the memory.
    return error;
}

std::optional<Error> GpuMapping::read(std::uint64_t address, void* to, std::uint64_t size_bytes) const {
    const auto context = cuda_->context_of(ordinal_);
    if (!context) return context.error();
    const Entered entered(*cuda_, *context);
    return cuda_->check("cuMemcpyDtoH", cuda_->copy_to_host(to, address, size_bytes));
}

GpuMapping::~GpuMapping() {
    const auto context = cuda_->context_of(ordinal_);
    if (!context || address_ == 0) return;
    const Entered entered(*cuda_, *context);
    (void)cuda_->context_synchronize();
    if (mapped_) (void)cuda_->unmap(address_, size_bytes_);
    (void)cuda_->address_free(address_, size_bytes_);
}
}  // namespace vramd::client
