#include "device/sim/sim.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace vramd::device::sim {
namespace {
constexpr BlockSpec block(u64 key, u64 size_bytes = 8192, BlockKind kind = BlockKind::arena) { return {key, size_bytes, kind}; }
Backing small() { return Backing({.id = "sim0", .capacity_bytes = 64 * kib}); }
void put(Device& device, u64 key, u64 at, u8 value) { device.map(key)->write().value()[at] = std::byte{value}; }
u8 get(Device& device, u64 key, u64 at) { return static_cast<u8>(device.map(key)->read()[at]); }
}  // namespace

TEST_CASE("a new simulated block reads as zero, also where another block lay") {
    Backing backing = small();
    const auto device = backing.open();
    REQUIRE(device->create(block(1)).has_value());
    put(*device, 1, 100, 7);
    REQUIRE(device->release(1).has_value());
    REQUIRE(device->create(block(2)).has_value());
    const auto mapping = device->map(2);
    CHECK(std::ranges::all_of(mapping->read(), [](std::byte b) { return b == std::byte{0}; }));
    CHECK(device->map(1).error().code == Code::not_found);
}

TEST_CASE("bytes survive the core that wrote them, and its successor adopts them") {
    Backing backing = small();
    {
        const auto core = backing.open();
        REQUIRE(core->create(block(1)).has_value());
        put(*core, 1, 5, 99);
    }
    const auto core = backing.open();
    CHECK(core->blocks().empty());
    CHECK(backing.blocks() == std::vector{block(1)});
    CHECK(core->adopt(block(1, 4096), Fd()).error().code == Code::invalid_field);
    CHECK(core->adopt(block(2), Fd()).error().code == Code::invalid_field);
    REQUIRE(core->adopt(block(1), Fd()).has_value());
    CHECK(core->adopt(block(1), Fd()).error().code == Code::conflict);
    CHECK(get(*core, 1, 5) == 99);
    CHECK(core->read().held_bytes == 8192);
}

TEST_CASE("a mapping keeps its bytes through the release of its block") {
    Backing backing = small();
    const auto device = backing.open();
    REQUIRE(device->create(block(1)).has_value());
    put(*device, 1, 0, 3);
    const Mapping mapping = *device->map(1);
    REQUIRE(device->release(1).has_value());
    CHECK(mapping.read()[0] == std::byte{3});
    CHECK(backing.blocks().empty());
}

TEST_CASE("what does not fit is refused with what would") {
    Backing backing = small();
    const auto device = backing.open();
    REQUIRE(device->create(block(1, 32 * kib)).has_value());
    backing.set_other_processes(16 * kib);
    const auto refused = device->create(block(2, 32 * kib));
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == Code::insufficient_memory);
    CHECK(refused.error().limit == 16 * kib);
    CHECK(device->create(block(0)).error().code == Code::invalid_field);
    CHECK(device->create(block(2, 0)).error().code == Code::invalid_field);
    CHECK(device->create(block(2, 100)).error().code == Code::invalid_field);
    CHECK(device->create(block(1)).error().code == Code::conflict);
    CHECK(device->blocks() == std::vector{block(1, 32 * kib)});
}

TEST_CASE("a sealed block can be read and no longer written") {
    Backing backing = small();
    const auto device = backing.open();
    REQUIRE(device->create(block(1, 8192, BlockKind::shareable)).has_value());
    REQUIRE(device->create(block(2)).has_value());
    put(*device, 1, 9, 1);
    REQUIRE(device->seal_for_sharing(1).has_value());
    CHECK(device->seal_for_sharing(2).error().code == Code::unsupported);
    CHECK(device->map(1)->write().error().code == Code::conflict);
    CHECK(get(*device, 1, 9) == 1);
}

TEST_CASE("every ordered fault happens once, where it was ordered, and changes nothing") {
    for (u64 nth = 0; nth < 4; ++nth) {
        Backing backing = small();
        const auto device = backing.open();
        backing.fail_call(nth, Code::system_failed);
        const bool results[] = {device->create(block(1, 8192, BlockKind::shareable)).has_value(), device->create(block(2)).has_value(),
                                device->map(2).has_value(), device->create(block(3)).has_value()};
        // A creation that failed takes later calls for its key with it.
        CHECK(results[nth] == false);
        CHECK(backing.blocks().size() == (nth == 2 ? 3 : 2));
        CHECK(backing.calls() == 4);
    }
    Backing backing = small();
    const auto device = backing.open();
    backing.fail_creates(2, Code::insufficient_memory);
    CHECK(!device->create(block(1)).has_value());
    CHECK(!device->create(block(1)).has_value());
    CHECK(device->create(block(1)).has_value());
}

TEST_CASE("a lost device answers device-lost, still releases, and is told in its health") {
    Backing backing = small();
    const auto device = backing.open();
    REQUIRE(device->create(block(1)).has_value());
    REQUIRE(device->create(block(2)).has_value());
    put(*device, 1, 0, 1);
    backing.lose("it fell off the bus");
    CHECK(device->create(block(3)).error().code == Code::device_lost);
    CHECK(device->map(1).error().code == Code::device_lost);
    CHECK(device->share(1, Sharing::writable).error().code == Code::device_lost);
    CHECK(device->health_check().error().code == Code::device_lost);
    CHECK(device->read().health == Health::lost);
    CHECK(device->read().reasons.front().find("fell off the bus") != std::string::npos);
    CHECK(device->release(2).has_value());
    backing.restore();
    CHECK(device->health_check().has_value());
    CHECK(get(*device, 1, 0) == 1);
}

TEST_CASE("a lying free count changes what is told, not what is given") {
    Backing backing = small();
    const auto device = backing.open();
    backing.lie_about_available(1024 * kib);
    CHECK(device->read().os_available_bytes == 1024 * kib);
    CHECK(device->create(block(1, 128 * kib)).error().code == Code::insufficient_memory);
    backing.lie_about_available(std::nullopt);
    CHECK(device->read().os_available_bytes == 64 * kib);
}

TEST_CASE("failing memory flips the bit that it was told to flip") {
    Backing backing = small();
    const auto device = backing.open();
    REQUIRE(device->create(block(1)).has_value());
    REQUIRE(backing.flip_bit(1, 10, 3).has_value());
    CHECK(get(*device, 1, 10) == 8);
    CHECK(backing.flip_bit(1, 8192, 0).error().code == Code::out_of_range);
    CHECK(backing.flip_bit(9, 0, 0).error().code == Code::not_found);
}

TEST_CASE("memory that no core knows goes back when the keeper lets go of it") {
    Backing backing = small();
    { REQUIRE(backing.open()->create(block(1)).has_value()); }
    REQUIRE(backing.drop(1).has_value());
    CHECK(backing.blocks().empty());
    CHECK(backing.drop(1).error().code == Code::not_found);
}
}  // namespace vramd::device::sim
