#include "fake_cuda/world.hpp"

#include <dirent.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "fake_cuda/double.hpp"

namespace vramd::cuda_double {
namespace {
u64 number_in(const char* variable, u64 otherwise) {
    const char* const text = std::getenv(variable);
    u64 number = otherwise;
    if (text != nullptr) (void)std::from_chars(text, text + std::strlen(text), number);
    return number;
}
std::string text_in(const char* variable) {
    const char* const text = std::getenv(variable);
    return text == nullptr ? "" : text;
}

/// Sizes of the double's memfds among a process's descriptors, by inode.
void add_memory_of(const std::string& process, const std::string& wanted, std::map<u64, u64>& sizes) {
    const std::string folder = "/proc/" + process + "/fd/";
    DIR* const listing = opendir(folder.c_str());
    if (listing == nullptr) return;
    while (const dirent* const entry = readdir(listing)) {
        char target[256] = {};
        const std::string path = folder + entry->d_name;
        if (readlink(path.c_str(), target, sizeof target - 1) <= 0 || std::string(target).find(wanted) == std::string::npos) continue;
        struct stat facts {};
        if (stat(path.c_str(), &facts) == 0) sizes[facts.st_ino] = static_cast<u64>(facts.st_size);
    }
    closedir(listing);
}
}  // namespace

World& World::get() {
    static World* const world = [] {
        auto* const made = new World;  // As a driver's: it lasts as long as the process.
        made->total_bytes = number_in("VRAMD_CUDA_DOUBLE_TOTAL", made->total_bytes);
        made->gpus = static_cast<int>(number_in("VRAMD_CUDA_DOUBLE_GPUS", 1));
        made->name = "vramd-cuda-double-" + text_in("VRAMD_CUDA_DOUBLE_NAME") + ".";
        made->orders_path = text_in("VRAMD_CUDA_DOUBLE_ORDERS");
        return made;
    }();
    return *world;
}

int World::file_order(const char* function) {
    if (orders_path.empty()) return 0;
    std::ifstream file(orders_path);
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string wanted;
        std::string answer;
        u64 count = all_ones;
        if (!(words >> wanted >> answer) || wanted != function) continue;
        words >> count;
        if (count != 0 && counted[line] >= count) continue;
        counted[line] += 1;
        if (answer == "hang") {
            while (access(orders_path.c_str(), F_OK) == 0) (void)poll(nullptr, 0, 5);
            continue;
        }
        int number = 0;
        (void)std::from_chars(answer.data(), answer.data() + answer.size(), number);
        return number;
    }
    return 0;
}

int World::enter(const char* function) {
    calls += 1;
    for (auto order = orders.begin(); order != orders.end(); ++order) {
        if (!order->function.empty() && order->function != function) continue;
        if (order->after > 0) {
            order->after -= 1;
            continue;
        }
        const int status = order->status;
        if (--order->count == 0) orders.erase(order);
        if (status >= 700 && status < 800) sticky = status;
        return status;
    }
    const int status = file_order(function);
    if (status >= 700 && status < 800) sticky = status;
    return status;
}

int World::enter_copy(const char* function) {
    if (const int status = enter(function); status != 0) return status;
    return sticky;
}

unsigned char* World::at(u64 address, u64 size_bytes, int gpu, int access) {
    auto found = mappings.upper_bound(address);
    if (found == mappings.begin()) return nullptr;
    --found;
    const u64 offset = address - found->first;
    const Mapped& mapped = found->second;
    const auto allowed = mapped.access.find(gpu);
    if (allowed == mapped.access.end() || (allowed->second & access) != access) return nullptr;
    if (offset > mapped.size_bytes || size_bytes > mapped.size_bytes - offset) return nullptr;
    return mapped.bytes + offset;
}

thread_local void* current_context = nullptr;
int current_gpu() {
    if (current_context == nullptr) return -1;
    return static_cast<int>(static_cast<char*>(current_context) - World::get().contexts);
}

bool World::is_registered(const void* memory, u64 size_bytes) const {
    const auto* const begin = static_cast<const unsigned char*>(memory);
    auto found = registered.upper_bound(begin);
    if (found == registered.begin()) return false;
    --found;
    const auto offset = static_cast<u64>(begin - found->first);
    return offset <= found->second && size_bytes <= found->second - offset;
}

u64 World::used_bytes() const {
    std::map<u64, u64> sizes;
    if (DIR* const listing = opendir("/proc")) {
        while (const dirent* const entry = readdir(listing))
            if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') add_memory_of(entry->d_name, name, sizes);
        closedir(listing);
    }
    u64 used = has_context ? context_bytes : 0;
    for (const auto& [inode, size] : sizes) used += size;
    return used;
}

int World::begin(Stream* stream, std::function<int()> work) {
    if (!streams.contains(stream)) return 400;
    stream->queue.push_back({std::move(work)});
    stream->begun += 1;
    return 0;
}

void World::run(Stream& stream, u64 upto) {
    while (stream.done < upto && !stream.queue.empty()) {
        const Stream::Work work = std::move(stream.queue.front());
        stream.queue.pop_front();
        stream.done += 1;
        if (sticky != 0) continue;
        if (const int status = work.run(); status != 0) sticky = status;
    }
}
}  // namespace vramd::cuda_double

using vramd::cuda_double::World;

extern "C" {
void vramd_cuda_double_order(const char* function, int status, std::uint64_t after, std::uint64_t count) {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    world.orders.push_back({function == nullptr ? "" : function, status, after, count});
}
void vramd_cuda_double_calm() {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    world.orders.clear();
    world.sticky = 0;
    world.told_free = vramd::cuda_double::all_ones;
}
void vramd_cuda_double_forget() {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    for (const auto& [address, mapped] : world.mappings) munmap(mapped.bytes, mapped.size_bytes);
    for (const auto& [number, physical] : world.handles) close(physical.descriptor);
    for (auto* const stream : world.streams) delete stream;
    for (auto* const event : world.events) delete event;
    world.mappings.clear();
    world.handles.clear();
    world.reservations.clear();
    world.registered.clear();
    world.streams.clear();
    world.events.clear();
}
void vramd_cuda_double_lie(std::uint64_t free_bytes) {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    world.told_free = free_bytes;
}
std::uint64_t vramd_cuda_double_calls() {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    return world.calls;
}
std::uint64_t vramd_cuda_double_pending() {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    std::uint64_t pending = 0;
    for (const auto* const stream : world.streams) pending += stream->queue.size();
    return pending;
}
std::uint64_t vramd_cuda_double_objects() {
    World& world = World::get();
    const std::lock_guard lock(world.mutex);
    return world.handles.size() + world.reservations.size() + world.mappings.size() + world.registered.size() + world.streams.size() +
           world.events.size();
}
}
