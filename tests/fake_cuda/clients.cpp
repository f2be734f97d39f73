/// The functions of libcuda that clients call beside those of the daemon. A client's own memory need not be registered.
#include <cstring>

#include "fake_cuda/world.hpp"

using namespace vramd::cuda_double;

namespace {

/// Everything that was begun is done: what a synchronous call of the real one waits for.
int finish(World& world) {
    for (Stream* const stream : world.streams) world.run(*stream, stream->begun);
    return world.sticky;
}
}  // namespace

extern "C" {
int cuCtxGetCurrent(void** context) {
    *context = current_context;
    return 0;
}
int cuCtxSetCurrent(void* context) {
    current_context = context;
    return 0;
}
int cuCtxSynchronize() {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    if (const int status = world.enter_copy(__func__); status != 0) return status;
    return finish(world);
}
int cuStreamSynchronize(Stream* stream) {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    if (const int status = world.enter_copy(__func__); status != 0) return status;
    world.run(*stream, stream->begun);
    return world.sticky;
}
int cuMemcpyDtoH_v2(void* to, unsigned long long from, std::size_t size) {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    if (const int status = world.enter_copy(__func__); status != 0) return status;
    const unsigned char* const bytes = world.at(from, size, current_gpu(), reads);
    if (bytes == nullptr) return invalid_value;
    if (const int status = finish(world); status != 0) return status;
    std::memcpy(to, bytes, size);
    return 0;
}
int cuMemcpyHtoD_v2(unsigned long long to, const void* from, std::size_t size) {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    if (const int status = world.enter_copy(__func__); status != 0) return status;
    unsigned char* const bytes = world.at(to, size, current_gpu(), reads_and_writes);
    if (bytes == nullptr) return invalid_value;
    if (const int status = finish(world); status != 0) return status;
    std::memcpy(bytes, from, size);
    return 0;
}
}
