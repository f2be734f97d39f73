#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>

#include "base/choices.hpp"
#include "base/clock.hpp"
#include "device/host/fixture.hpp"
#include "device/stream.hpp"

namespace vramd::device::host {
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
    REQUIRE(device->share(1, Sharing::writable).has_value());
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
        REQUIRE(device->share(key, Sharing::writable).has_value());
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
}  // namespace vramd::device::host
