/// The functions of libcuda that the daemon takes, on the double's world. Declared here as the daemon declares them: by the published
/// interface.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "fake_cuda/double.hpp"
#include "fake_cuda/world.hpp"

using namespace vramd::cuda_double;

namespace {
constexpr int out_of_memory = 2;
constexpr int not_supported = 801;
constexpr int not_ready = 600;

/// As the driver lays it out: type, kinds of handle, location, …
struct Properties {
    int type;
    int handle_types;
    int location_type;
    int location_id;
};
struct Access {
    int location_type;
    int location_id;
    int flags;
};

/// That fresh memory of a GPU reads as zero is promised nowhere: here it holds what somebody else could have left.
bool fill_fresh(const Physical& physical) {
    void* const bytes = mmap(nullptr, physical.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, physical.descriptor, 0);
    if (bytes == MAP_FAILED) return false;
    std::memset(bytes, 0xdb, physical.size_bytes);
    munmap(bytes, physical.size_bytes);
    return true;
}

struct Entered {
    World& world = World::get();
    std::lock_guard<std::recursive_mutex> lock{world.mutex};
    int status;
    enum class Kind : unsigned char { plain, copy };
    explicit Entered(const char* function, Kind kind = Kind::plain)
        : status(kind == Kind::copy ? world.enter_copy(function) : world.enter(function)) {}
};
}  // namespace

extern "C" {
const char* vramd_cuda_double_name = "a double of the NVIDIA driver, for tests: no GPU";

int cuInit(unsigned) {
    Entered call(__func__);
    if (call.status == 0) call.world.began = true;
    return call.status;
}
int cuDriverGetVersion(int* version) {
    *version = 13000;
    return 0;
}
int cuGetErrorName(int status, const char** name) {
    switch (status) {
        case invalid_value:
            *name = "CUDA_ERROR_INVALID_VALUE";
            return 0;
        case out_of_memory:
            *name = "CUDA_ERROR_OUT_OF_MEMORY";
            return 0;
        case 700:
            *name = "CUDA_ERROR_ILLEGAL_ADDRESS";
            return 0;
        default:
            return invalid_value;
    }
}
int cuDeviceGetCount(int* count) {
    Entered call(__func__);
    *count = call.world.gpus;
    return call.status;
}
int cuDeviceGet(int* device, int index) {
    *device = index;
    return index < World::get().gpus ? 0 : 101;
}
int cuDeviceGetName(char* name, int size, int) {
    (void)std::snprintf(name, static_cast<std::size_t>(size), "a double of a GPU");
    return 0;
}
int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
    std::memset(uuid, 0xab, 16);
    uuid[15] = static_cast<unsigned char>(device);
    return 0;
}
int cuDeviceGetPCIBusId(char* name, int size, int device) {
    (void)std::snprintf(name, static_cast<std::size_t>(size), "0000:%02x:00.0", device);
    return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
    Entered call(__func__);
    *value = attribute == 20 ? 0 : 1;
    return call.status;
}
int cuDeviceCanAccessPeer(int* can, int device, int peer) {
    Entered call(__func__);
    *can = device != peer ? 1 : 0;
    return call.status;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    call.world.has_context = true;
    *context = &call.world.contexts[device];
    return 0;
}
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }

int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
    Entered call(__func__);
    const u64 used = call.world.used_bytes();
    *total = call.world.total_bytes;
    *free = call.world.told_free != all_ones ? call.world.told_free : *total - std::min<u64>(*total, used);
    return call.status;
}
int cuMemGetAllocationGranularity(std::size_t* bytes, const Properties*, int) {
    *bytes = granularity;
    return 0;
}

int cuMemCreate(unsigned long long* handle, std::size_t size, const Properties* properties, unsigned long long) {
    Entered call(__func__);
    World& world = call.world;
    if (call.status != 0) return call.status;
    if (size == 0 || size % granularity != 0 || properties->type != 1 || properties->handle_types != 1) return invalid_value;
    if (size > world.total_bytes || world.used_bytes() > world.total_bytes - size) return out_of_memory;
    Physical made;
    made.descriptor = memfd_create(world.name.c_str(), MFD_CLOEXEC);
    made.size_bytes = size;
    if (made.descriptor < 0 || ftruncate(made.descriptor, static_cast<off_t>(size)) != 0 || !fill_fresh(made)) return out_of_memory;
    *handle = world.next_number++;
    world.handles.emplace(*handle, made);
    return 0;
}
int cuMemRelease(unsigned long long handle) {
    Entered call(__func__);
    const auto found = call.world.handles.find(handle);
    if (call.status != 0) return call.status;
    if (found == call.world.handles.end()) return invalid_value;
    close(found->second.descriptor);
    call.world.handles.erase(found);
    return 0;
}
int cuMemExportToShareableHandle(int* descriptor, unsigned long long handle, int type, unsigned long long) {
    Entered call(__func__);
    const auto found = call.world.handles.find(handle);
    if (call.status != 0) return call.status;
    if (found == call.world.handles.end() || found->second.imported || type != 1) return invalid_value;
    *descriptor = fcntl(found->second.descriptor, F_DUPFD_CLOEXEC, 0);
    return *descriptor < 0 ? out_of_memory : 0;
}
int cuMemImportFromShareableHandle(unsigned long long* handle, void* descriptor, int type) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    const int given = static_cast<int>(reinterpret_cast<std::intptr_t>(descriptor));
    char target[256] = {};
    const std::string path = "/proc/self/fd/" + std::to_string(given);
    const bool ours =
        readlink(path.c_str(), target, sizeof target - 1) > 0 && std::string(target).find("vramd-cuda-double-") != std::string::npos;
    struct stat facts {};
    if (type != 1 || !ours || fstat(given, &facts) != 0) return invalid_value;
    *handle = call.world.next_number++;
    call.world.handles.emplace(*handle, Physical{fcntl(given, F_DUPFD_CLOEXEC, 0), static_cast<u64>(facts.st_size), true});
    return 0;
}

int cuMemAddressReserve(unsigned long long* address, std::size_t size, std::size_t, unsigned long long, unsigned long long) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    *address = call.world.next_address;
    call.world.next_address += size + granularity;  // Never one beside another: what runs over an end is seen.
    call.world.reservations.emplace(*address, size);
    return 0;
}
int cuMemAddressFree(unsigned long long address, std::size_t size) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    const auto found = call.world.reservations.find(address);
    if (found == call.world.reservations.end() || found->second != size || call.world.mappings.contains(address)) return invalid_value;
    call.world.reservations.erase(found);
    return 0;
}
int cuMemMap(unsigned long long address, std::size_t size, std::size_t offset, unsigned long long handle, unsigned long long) {
    Entered call(__func__);
    World& world = call.world;
    if (call.status != 0) return call.status;
    const auto found = world.handles.find(handle);
    const auto reserved = world.reservations.find(address);
    if (found == world.handles.end() || reserved == world.reservations.end() || world.mappings.contains(address)) return invalid_value;
    if (size != found->second.size_bytes || offset != 0 || size != reserved->second) return not_supported;
    void* const bytes = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, found->second.descriptor, 0);
    if (bytes == MAP_FAILED) return out_of_memory;
    world.mappings.emplace(address, Mapped{size, handle, static_cast<unsigned char*>(bytes)});
    return 0;
}
int cuMemUnmap(unsigned long long address, std::size_t size) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    const auto found = call.world.mappings.find(address);
    if (found == call.world.mappings.end() || found->second.size_bytes != size) return invalid_value;
    munmap(found->second.bytes, size);
    call.world.mappings.erase(found);
    return 0;
}
int cuMemSetAccess(unsigned long long address, std::size_t size, const Access* access, std::size_t count) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    const auto found = call.world.mappings.find(address);
    if (count != 1 || found == call.world.mappings.end() || found->second.size_bytes != size) return invalid_value;
    found->second.access[access->location_id] = access->flags;
    return 0;
}

int cuStreamCreate(Stream** stream, unsigned) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    *stream = new Stream;
    (*stream)->gpu = current_gpu();
    call.world.streams.insert(*stream);
    return 0;
}
int cuStreamDestroy_v2(Stream* stream) {
    Entered call(__func__);
    if (call.world.streams.erase(stream) == 0) return invalid_value;
    delete stream;
    return 0;
}
int cuEventCreate(Event** event, unsigned) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    *event = new Event;
    call.world.events.insert(*event);
    return 0;
}
int cuEventDestroy_v2(Event* event) {
    Entered call(__func__);
    if (call.world.events.erase(event) == 0) return invalid_value;
    delete event;
    return 0;
}
int cuEventRecord(Event* event, Stream* stream) {
    Entered call(__func__, Entered::Kind::copy);
    if (call.status != 0) return call.status;
    *event = {stream, stream->begun, false};
    return 0;
}
int cuEventQuery(Event* event) {
    Entered call(__func__, Entered::Kind::copy);
    if (call.status != 0) return call.status;
    if (event->stream == nullptr || event->stream->done >= event->after) return 0;
    if (!event->asked) {
        event->asked = true;
        return not_ready;
    }
    call.world.run(*event->stream, event->after);
    return call.world.sticky;
}

int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, std::size_t size, Stream* stream) {
    Entered call(__func__, Entered::Kind::copy);
    World& world = call.world;
    if (call.status != 0) return call.status;
    const int gpu = stream->gpu;
    if (world.at(to, size, gpu, reads_and_writes) == nullptr || !world.is_registered(from, size)) return invalid_value;
    return world.begin(stream, [&world, to, from, size, gpu] {
        unsigned char* const bytes = world.at(to, size, gpu, reads_and_writes);
        if (bytes == nullptr || !world.is_registered(from, size)) return 700;
        std::memcpy(bytes, from, size);
        return 0;
    });
}
int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, std::size_t size, Stream* stream) {
    Entered call(__func__, Entered::Kind::copy);
    World& world = call.world;
    if (call.status != 0) return call.status;
    const int gpu = stream->gpu;
    if (world.at(from, size, gpu, reads) == nullptr || !world.is_registered(to, size)) return invalid_value;
    return world.begin(stream, [&world, to, from, size, gpu] {
        const unsigned char* const bytes = world.at(from, size, gpu, reads);
        if (bytes == nullptr || !world.is_registered(to, size)) return 700;
        std::memcpy(to, bytes, size);
        return 0;
    });
}
int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, std::size_t size, Stream* stream) {
    Entered call(__func__, Entered::Kind::copy);
    World& world = call.world;
    if (call.status != 0) return call.status;
    const int gpu = stream->gpu;
    // Ranges that overlap are undefined there: here they are refused.
    if (to < from + size && from < to + size) return invalid_value;
    if (world.at(to, size, gpu, reads_and_writes) == nullptr || world.at(from, size, gpu, reads) == nullptr) return invalid_value;
    return world.begin(stream, [&world, to, from, size, gpu] {
        unsigned char* const target = world.at(to, size, gpu, reads_and_writes);
        const unsigned char* const source = world.at(from, size, gpu, reads);
        if (target == nullptr || source == nullptr) return 700;
        std::memcpy(target, source, size);
        return 0;
    });
}
int cuMemsetD8Async(unsigned long long to, unsigned char value, std::size_t size, Stream* stream) {
    Entered call(__func__, Entered::Kind::copy);
    World& world = call.world;
    if (call.status != 0) return call.status;
    const int gpu = stream->gpu;
    if (world.at(to, size, gpu, reads_and_writes) == nullptr) return invalid_value;
    return world.begin(stream, [&world, to, value, size, gpu] {
        unsigned char* const bytes = world.at(to, size, gpu, reads_and_writes);
        if (bytes == nullptr) return 700;
        std::memset(bytes, value, size);
        return 0;
    });
}
int cuMemHostRegister_v2(void* memory, std::size_t size, unsigned) {
    Entered call(__func__);
    if (call.status != 0) return call.status;
    return call.world.registered.emplace(static_cast<const unsigned char*>(memory), size).second ? 0 : 712;
}
int cuMemHostUnregister(void* memory) {
    Entered call(__func__);
    return call.world.registered.erase(static_cast<const unsigned char*>(memory)) == 1 ? 0 : 713;
}
}
