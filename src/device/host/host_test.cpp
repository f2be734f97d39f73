#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "base/clock.hpp"
#include "device/host/fixture.hpp"

namespace vramd::device::host {
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
    CHECK(device->share(2, Sharing::writable).error().code == Code::not_found);
    CHECK(device->seal_for_sharing(2).error().code == Code::not_found);
    CHECK(device->blocks() == std::vector{block(1)});
}

TEST_CASE("a device needs a size of whole pages") {
    for (const u64 size : {u64{0}, u64{4095}, UINT64_MAX}) CHECK(open({.capacity_bytes = size}).error().code == Code::invalid_field);
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

TEST_CASE("a device that ends leaves its blocks' bytes as they are for the next one") {
    auto first = pooling();
    auto keeper = first->create(block(1, 32 * mib));
    REQUIRE(keeper.has_value());
    for (u64 at = 0; at < 32 * mib; at += 4096) first->map(1)->write().value()[at] = std::byte{3};
    first.reset();
    const auto second = pooling();
    REQUIRE(second->adopt(block(1, 32 * mib), *std::move(keeper)).has_value());
    const auto mapping = second->map(1);
    for (u64 at = 0; at < 32 * mib; at += 4096) REQUIRE(mapping->read()[at] == std::byte{3});
}

TEST_CASE("reserved huge pages back a block only where they may, and nothing changes where there are none") {
    const auto device = device_with({.reserved_huge_pages = ReservedHugePages::when_free});
    const HugePages before = device->read().huge_pages;
    REQUIRE(before.size_bytes.has_value());
    const u64 page = *before.size_bytes, free_pages = before.free_count.value_or(0);
    const auto keeper = device->create(block(1, 2 * page));
    REQUIRE(keeper.has_value());
    CHECK((seals_of(*keeper) & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW));
    CHECK(all_zero(device->map(1)->read()));
    device->map(1)->write().value().back() = std::byte{1};
    const u64 taken = free_pages - device->read().huge_pages.free_count.value_or(0);
    CHECK(taken == (free_pages >= 2 ? 2 : 0));
    const auto successor = plain();
    REQUIRE(successor->adopt(block(1, 2 * page), *keeper->duplicate()).has_value());
    CHECK(successor->map(1)->read().back() == std::byte{1});
    REQUIRE(device->create(block(2, page + 4096)).has_value());
    const auto leaving = plain();
    REQUIRE(leaving->create(block(1, page)).has_value());
    CHECK(free_pages - leaving->read().huge_pages.free_count.value_or(0) == taken);
}

TEST_CASE("a creation that runs out of descriptors at any point leaves nothing behind") {
    const auto device = plain();
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    const u64 open_before = open_descriptors();
    u64 failures = 0;
    for (bool made = false; !made && failures < 16; ++failures) {
        // The limit is on the highest number, so it is counted from the first one that is free.
        const int first_free = dup(STDIN_FILENO);
        close(first_free);
        const rlimit tight{static_cast<rlim_t>(first_free) + failures, before.rlim_max};
        REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
        const auto keeper = device->create(block(1));
        made = keeper.has_value();
        REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
        if (made) break;
        CHECK(keeper.error().code == Code::system_failed);
        CHECK(device->blocks().empty());
        CHECK(device->map(1).error().code == Code::not_found);
    }
    CHECK(failures >= 2);  // The memory's descriptor and the keeper's.
    CHECK(failures < 16);
    REQUIRE(device->release(1).has_value());
    const u64 deadline = clock_ns(CLOCK_MONOTONIC) + 5 * ns_per_second;
    while (open_descriptors() > open_before && clock_ns(CLOCK_MONOTONIC) < deadline) std::this_thread::yield();
    CHECK(open_descriptors() == open_before);
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
