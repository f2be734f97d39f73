#include "device/host/host.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/choices.hpp"
#include "base/clock.hpp"
#include "device/stream.hpp"

namespace vramd::device::host {
namespace {
constexpr BlockSpec block(u64 key, u64 size_bytes = mib, BlockKind kind = BlockKind::arena) { return {key, size_bytes, kind}; }

std::unique_ptr<Device> device_with(Options options) {
    options.capacity_bytes = 4 * gib;
    auto device = open(options);
    REQUIRE(device.has_value());
    return *std::move(device);
}
std::unique_ptr<Device> pooling() { return device_with({.pool_max_bytes = 512 * mib}); }
std::unique_ptr<Device> plain() { return device_with({}); }

bool all_zero(std::span<const std::byte> bytes) {
    return bytes.empty() || (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}
u64 open_descriptors() {
    u64 count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        (void)entry;
        ++count;
    }
    return count;
}
int seals_of(const Fd& descriptor) { return fcntl(descriptor.get(), F_GET_SEALS); }

/// What another user's process can do with a descriptor that it inherited: the bits of `attempt` that succeeded. Absent where this test has
/// no right to become another user.
std::optional<int> as_another_user(const std::function<int()>& attempt) {
    if (getuid() != 0) return std::nullopt;
    const pid_t child = fork();
    if (child == 0) _exit(setgid(65534) == 0 && setuid(65534) == 0 ? attempt() : 100);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}
}  // namespace

TEST_CASE("a new block reads as zero and can be written to its last byte") {
    const auto device = plain();
    const auto keeper = device->create(block(1, 3 * mib));
    REQUIRE(keeper.has_value());
    const auto mapping = device->map(1);
    REQUIRE(mapping.has_value());
    CHECK(mapping->size_bytes() == 3 * mib);
    CHECK(all_zero(mapping->read()));
    mapping->write().value().back() = std::byte{9};
    char last = 0;
    CHECK(pread(keeper->get(), &last, 1, 3 * mib - 1) == 1);
    CHECK(last == 9);
    CHECK(device->blocks() == std::vector{block(1, 3 * mib)});
    CHECK(device->read().held_bytes == 3 * mib);
}

TEST_CASE("a new block is backed by memory before it is given out") {
    const auto device = plain();
    const auto keeper = device->create(block(1, 8 * mib));
    REQUIRE(keeper.has_value());
    struct stat status {};
    REQUIRE(fstat(keeper->get(), &status) == 0);
    CHECK(static_cast<u64>(status.st_blocks) * 512 == 8 * mib);
}

TEST_CASE("a block that cannot be is refused, naming the field, and leaves no trace") {
    const auto device = plain();
    REQUIRE(device->create(block(1)).has_value());
    CHECK(device->create(block(1)).error().code == Code::conflict);
    CHECK(device->create(block(0)).error().code == Code::invalid_field);
    CHECK(device->create(block(2, 0)).error().code == Code::invalid_field);
    CHECK(device->create(block(2, 4095)).error().field == "sizeBytes");
    CHECK(device->create(block(2, UINT64_MAX)).error().code == Code::invalid_field);
    const auto huge = device->create(block(2, u64{1} << 50));
    REQUIRE(!huge.has_value());
    CHECK(huge.error().code == Code::insufficient_memory);
    CHECK(huge.error().limit > 0);
    CHECK(huge.error().limit < u64{1} << 50);
    CHECK(device->create(block(3, round_down(number_max, 4096))).error().code == Code::insufficient_memory);
    CHECK(device->map(2).error().code == Code::not_found);
    CHECK(device->release(2).error().code == Code::not_found);
    CHECK(device->share(2).error().code == Code::not_found);
    CHECK(device->seal_for_sharing(2).error().code == Code::not_found);
    CHECK(device->blocks() == std::vector{block(1)});
}

TEST_CASE("a device needs a size of whole pages") {
    for (const u64 size : {u64{0}, u64{4095}, UINT64_MAX}) CHECK(open({.capacity_bytes = size}).error().code == Code::invalid_field);
}

TEST_CASE("nobody can resize a block, another user least of all") {
    const auto device = plain();
    const auto keeper = device->create(block(1));
    REQUIRE(keeper.has_value());
    CHECK((seals_of(*keeper) & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW));
    CHECK((seals_of(*keeper) & F_SEAL_FUTURE_WRITE) == 0);
    CHECK(ftruncate(keeper->get(), 4096) != 0);
    CHECK(ftruncate(keeper->get(), 2 * mib) != 0);
    const auto given = device->share(1);
    REQUIRE(given.has_value());
    const auto done = as_another_user([&] {
        const std::string again = "/proc/self/fd/" + std::to_string(given->get());
        return (ftruncate(given->get(), 4096) == 0 ? 1 : 0) | (ftruncate(given->get(), 2 * mib) == 0 ? 2 : 0) |
               (::open(again.c_str(), O_RDWR) >= 0 ? 4 : 0) | (fallocate(given->get(), 0, mib, mib) == 0 ? 8 : 0);
    });
    if (done) CHECK(*done == 0);
}

TEST_CASE("a block sealed for sharing can be written by nobody, through no descriptor and no new mapping") {
    const auto device = plain();
    const auto keeper = device->create(block(1, mib, BlockKind::shareable));
    REQUIRE(keeper.has_value());
    const Mapping before = *device->map(1);
    before.write().value()[7] = std::byte{77};
    REQUIRE(device->seal_for_sharing(1).has_value());
    REQUIRE(device->seal_for_sharing(1).has_value());
    constexpr int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    CHECK((seals_of(*keeper) & all) == all);
    CHECK(device->map(1)->write().error().code == Code::conflict);
    CHECK(device->map(1)->read()[7] == std::byte{77});
    const auto given = device->share(1);
    REQUIRE(given.has_value());
    CHECK((fcntl(given->get(), F_GETFL) & O_ACCMODE) == O_RDONLY);
    const auto attempts = [&] {
        const std::string again = "/proc/self/fd/" + std::to_string(given->get());
        const Fd reopened(::open(again.c_str(), O_RDWR));
        const int descriptor = reopened ? reopened.get() : given->get();
        int done = 0;
        if (mmap(nullptr, mib, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) != MAP_FAILED) done |= 1;
        if (pwrite(descriptor, "x", 1, 0) == 1) done |= 2;
        if (fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0) done |= 4;
        void* const readable = mmap(nullptr, mib, PROT_READ, MAP_SHARED, given->get(), 0);
        if (readable == MAP_FAILED) return done | 8;
        if (static_cast<const char*>(readable)[7] != 77) done |= 16;
        if (mprotect(readable, mib, PROT_READ | PROT_WRITE) == 0) done |= 32;
        munmap(readable, mib);
        return done;
    };
    CHECK(attempts() == 0);
    if (const auto done = as_another_user(attempts)) CHECK(*done == 0);
}

TEST_CASE("only a block made to be shareable is sealed") {
    const auto device = plain();
    for (const BlockKind kind : {BlockKind::arena, BlockKind::dedicated}) {
        const u64 key = static_cast<u64>(kind) + 1;
        REQUIRE(device->create(block(key, mib, kind)).has_value());
        CHECK(device->seal_for_sharing(key).error().code == Code::unsupported);
        CHECK(device->map(key)->write().has_value());
    }
}

TEST_CASE("a restarted core adopts its blocks with their bytes, and nothing that is not one") {
    const auto first = plain();
    auto keeper = first->create(block(1));
    REQUIRE(keeper.has_value());
    first->map(1)->write().value()[100] = std::byte{5};
    auto sealed = first->create(block(2, mib, BlockKind::shareable));
    REQUIRE(first->seal_for_sharing(2).has_value());
    const auto second = plain();
    CHECK(second->adopt(block(1, 2 * mib), *keeper->duplicate()).error().code == Code::invalid_field);
    CHECK(second->adopt(block(1), Fd()).error().code == Code::system_failed);
    CHECK(second->adopt(block(1), Fd(::open("/dev/null", O_RDWR))).error().code == Code::invalid_field);
    Fd unsealed(memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    REQUIRE(ftruncate(unsealed.get(), mib) == 0);
    CHECK(second->adopt(block(1), std::move(unsealed)).error().code == Code::invalid_field);
    CHECK(second->blocks().empty());
    REQUIRE(second->adopt(block(1), *keeper->duplicate()).has_value());
    CHECK(second->adopt(block(1), *std::move(keeper)).error().code == Code::conflict);
    CHECK(second->map(1)->read()[100] == std::byte{5});
    CHECK(second->map(1)->write().has_value());
    REQUIRE(second->adopt(block(2, mib, BlockKind::shareable), *std::move(sealed)).has_value());
    CHECK(second->map(2)->write().error().code == Code::conflict);
    CHECK(second->blocks().size() == 2);
}

TEST_CASE("a freed block is zero before its next owner reads it") {
    const auto device = pooling();
    Choices choices = Choices::from_seed(1);
    u64 key = 0, pooled = 0;
    for (u64 cycle = 0; cycle < 100; ++cycle) {
        const u64 size = (8 + choices.below(3) * 8) * mib;
        const auto keeper = device->create(block(++key, size));
        REQUIRE(keeper.has_value());
        const auto mapping = device->map(key);
        REQUIRE(all_zero(mapping->read()));
        stream_fill(mapping->write().value(), std::byte{0xAB});
        REQUIRE(device->release(key).has_value());
        pooled = std::max(pooled, device->read().pool_bytes);
    }
    CHECK(pooled > 0);
}

TEST_CASE("many threads taking and freeing blocks never see each other's bytes") {
    const auto device = pooling();
    std::atomic<u64> key{0}, dirty{0};
    {
        std::vector<std::jthread> owners;
        for (int owner = 0; owner < 4; ++owner)
            owners.emplace_back([&] {
                for (int i = 0; i < 60; ++i) {
                    const u64 mine = ++key;
                    if (!device->create(block(mine, i % 2 == 0 ? mib : 2 * mib)).has_value()) {
                        ++dirty;
                        continue;
                    }
                    const auto mapping = device->map(mine);
                    if (!all_zero(mapping->read())) ++dirty;
                    stream_fill(mapping->write().value(), std::byte{0xCD});
                    if (!device->release(mine)) ++dirty;
                }
            });
    }
    CHECK(dirty == 0);
    CHECK(device->blocks().empty());
}

TEST_CASE("a mapping keeps the bytes of a released block, and only then is the memory used again") {
    const auto device = pooling();
    REQUIRE(device->create(block(1)).has_value());
    {
        const Mapping mapping = *device->map(1);
        mapping.write().value()[0] = std::byte{1};
        REQUIRE(device->release(1).has_value());
        CHECK(device->read().pool_bytes == 0);
        REQUIRE(device->create(block(2)).has_value());
        CHECK(mapping.read()[0] == std::byte{1});
        CHECK(device->map(2)->read()[0] == std::byte{0});
    }
    CHECK(device->read().pool_bytes == mib);
}

TEST_CASE("memory that another process may reach is never used again") {
    const auto device = pooling();
    REQUIRE(device->create(block(1)).has_value());
    REQUIRE(device->share(1).has_value());
    REQUIRE(device->create(block(2, mib, BlockKind::shareable)).has_value());
    REQUIRE(device->seal_for_sharing(2).has_value());
    const auto other = plain();
    auto adopted = other->create(block(3));
    REQUIRE(device->adopt(block(3), *std::move(adopted)).has_value());
    for (const u64 key : {1, 2, 3}) REQUIRE(device->release(key).has_value());
    CHECK(device->read().pool_bytes == 0);
    REQUIRE(device->create(block(4)).has_value());
    REQUIRE(device->release(4).has_value());
    CHECK(device->read().pool_bytes == mib);
}

TEST_CASE("the pool stays within its bound and gives way when memory runs low") {
    const auto device = device_with({.pool_max_bytes = 4 * mib});
    for (u64 key = 1; key <= 8; ++key) REQUIRE(device->create(block(key)).has_value());
    for (u64 key = 1; key <= 8; ++key) REQUIRE(device->release(key).has_value());
    CHECK(device->read().pool_bytes == 4 * mib);
    REQUIRE(device->create(block(9, 8 * mib)).has_value());
    REQUIRE(device->release(9).has_value());
    CHECK(device->read().pool_bytes == 4 * mib);
}

TEST_CASE("below the memory that is to stay available creation is refused in figures, after the pool has given way") {
    char name[] = "/tmp/vramd-host-test-XXXXXX";
    const std::string root = mkdtemp(name);
    std::filesystem::create_directories(root + "/proc");
    const auto tell = [&](u64 available_kib) {
        std::ofstream(root + "/proc/meminfo") << "MemTotal: 1000000 kB\nMemAvailable: " << available_kib << " kB\n";
    };
    tell(100 * kib);
    const auto device = device_with({.pool_max_bytes = 8 * mib, .keep_available_bytes = 64 * mib, .root = root});
    REQUIRE(device->create(block(1, 2 * mib)).has_value());
    REQUIRE(device->release(1).has_value());
    CHECK(device->read().pool_bytes == 2 * mib);
    const auto refused = device->create(block(2, 64 * mib));
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == Code::insufficient_memory);
    CHECK(refused.error().limit == 36 * mib);
    CHECK(device->read().pool_bytes == 0);
    CHECK(device->create(block(2, 32 * mib)).has_value());
    tell(10 * kib);
    CHECK(device->read().health == Health::degraded);
    CHECK(device->read().os_available_bytes == 10 * mib);
    CHECK(device->create(block(3)).error().limit == 0);
    std::filesystem::remove_all(root);
}

TEST_CASE("fresh memory kept ready is zero, has the size asked for, and is sealed") {
    const auto device = device_with({.spare_bytes = 32 * mib});
    u64 key = 0;
    for (const u64 size : {32 * mib, 16 * mib, 48 * mib, mib}) {
        while (device->read().pool_bytes < 32 * mib) std::this_thread::yield();
        const auto keeper = device->create(block(++key, size));
        REQUIRE(keeper.has_value());
        struct stat status {};
        REQUIRE(fstat(keeper->get(), &status) == 0);
        CHECK(static_cast<u64>(status.st_size) == size);
        CHECK(static_cast<u64>(status.st_blocks) * 512 == size);
        CHECK((seals_of(*keeper) & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW));
        CHECK(all_zero(device->map(key)->read()));
        CHECK(device->map(key)->size_bytes() == size);
    }
}

TEST_CASE("descriptors and mappings are flat over many lives of blocks") {
    const auto device = device_with({.pool_max_bytes = 16 * mib});
    const auto live = [&](u64 key) {
        REQUIRE(device->create(block(key, 64 * kib, BlockKind::shareable)).has_value());
        REQUIRE(device->share(key).has_value());
        if (key % 3 == 0) REQUIRE(device->seal_for_sharing(key).has_value());
        REQUIRE(device->map(key).has_value());
        REQUIRE(device->release(key).has_value());
    };
    const u64 before = open_descriptors();
    for (u64 key = 1; key <= 500; ++key) live(key);
    // The background closes what was released; it is bounded by a deadline here, not by a pause.
    const u64 deadline = clock_ns(CLOCK_MONOTONIC) + 5 * ns_per_second;
    while (open_descriptors() > before && clock_ns(CLOCK_MONOTONIC) < deadline) std::this_thread::yield();
    CHECK(open_descriptors() <= before);
}

TEST_CASE("pinned memory is locked, or refused with the remedy") {
    const auto device = plain();
    const auto pinned = device->create(block(1, mib, BlockKind::pinned));
    if (!pinned) {
        CHECK(pinned.error().code == Code::limit_exceeded);
        CHECK(describe(pinned.error()).find("LimitMEMLOCK") != std::string::npos);
        CHECK(device->blocks().empty());
        return;
    }
    const auto locked_kib = [] {
        std::ifstream status("/proc/self/status");
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("VmLck:")) return std::stoull(line.substr(6));
        return 0ULL;
    };
    CHECK(locked_kib() >= 1024);
    REQUIRE(device->release(1).has_value());
    CHECK(locked_kib() == 0);
}

TEST_CASE("another user's process without the right to lock is told so in words") {
    const auto done = as_another_user([] {
        const rlimit none{0, 0};
        setrlimit(RLIMIT_MEMLOCK, &none);
        const auto device = open({.capacity_bytes = gib});
        if (!device) return 1;
        const auto pinned = (*device)->create(block(1, mib, BlockKind::pinned));
        if (pinned || pinned.error().code != Code::limit_exceeded) return 2;
        return describe(pinned.error()).find("RLIMIT_MEMLOCK is 0 bytes") == std::string::npos ? 3 : 0;
    });
    if (done) CHECK(*done == 0);
}

TEST_CASE("the device's reading comes from the system, and other processes' use is what is not ours") {
    const auto device = plain();
    const Reading before = device->read();
    CHECK(before.capacity_bytes == 4 * gib);
    CHECK(before.memory_type == "systemMemory");
    CHECK(before.held_bytes == 0);
    REQUIRE(before.physical_bytes.has_value());
    REQUIRE(before.os_available_bytes.has_value());
    REQUIRE(before.other_processes_bytes.has_value());
    CHECK(*before.os_available_bytes <= *before.physical_bytes);
    CHECK(device->facts().driver.starts_with("Linux "));
    CHECK(std::ranges::is_sorted(device->facts().capabilities));
    CHECK(available_bytes().has_value());
}

TEST_CASE("the health check copies real bytes and compares them") {
    const auto device = plain();
    for (int i = 0; i < 3; ++i) CHECK(device->health_check().has_value());
    CHECK(device->read().health != Health::lost);
}
}  // namespace vramd::device::host
