#include "device/d3d12/double.hpp"
#include "device/d3d12/fixture.hpp"

/// What is kept of a lost device is reachable, but for twelve small pieces that Mesa's Vulkan driver keeps for it where no search looks.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libvulkan_lvp.so\n"; }

namespace vramd::device::d3d12 {
namespace {
std::unique_ptr<Device> doubled(u64 patience_ns = 30 * ns_per_second) {
    auto device = adapter({.patience_ns = patience_ns, .runtime = DoubleRuntime::begin_double()});
    CHECK(device->facts().driver.find("double") != std::string::npos);
    return device;
}

/// Every kind of work once, each as soon as the one before succeeded; how many did.
struct Work {
    std::optional<Error> ended_by;
    u64 done = 0;

    template <class Step>
    void then(const Step& step) {
        if (ended_by) return;
        const auto result = step();
        if (result)
            ++done;
        else
            ended_by = result.error();
    }
};
constexpr u64 steps = 9;

Work work_on(Device& device) {
    Work work;
    std::vector<std::byte> bytes(100, std::byte{7});
    std::shared_ptr<Channel> first, second;
    std::unique_ptr<Stage> stage;
    const auto opened = [&](u64 key, std::shared_ptr<Channel>& way) -> Result<void> {
        TRY_DO(device.create(block(key)));
        TRY(way, channel_to(device, key));
        return {};
    };
    work.then([&] { return opened(1, first); });
    work.then([&] { return opened(2, second); });
    work.then([&] { return first->write(5, bytes); });
    work.then([&] { return second->fill(0, least, std::byte{1}); });
    work.then([&] { return second->copy_from(0, *first, 5, 100); });
    work.then([&] { return first->copy_from(1000, *first, 5, 100); });
    work.then([&]() -> Result<void> {
        TRY(stage, first->stage());
        TRY_DO(stage->send(0, 10, 0));
        return stage->wait();
    });
    work.then([&] { return second->read(0, bytes); });
    work.then([&] { return device.health_check(); });
    return work;
}
}  // namespace

TEST_CASE("removed at any call, a device has done nothing that it did not do, is lost from then on, and no other is touched by it") {
    const auto other = adapter();
    REQUIRE(other->create(block(1)).has_value());
    u64 calls = 0;
    {
        const auto device = doubled();
        DoubleRuntime::orders() = {};
        REQUIRE(work_on(*device).done == steps);
        calls = DoubleRuntime::orders().calls;
    }
    REQUIRE(calls > 20);
    u64 done_before = 0;
    for (u64 call = 0; call < calls; ++call) {
        CAPTURE(call);
        const auto device = doubled();
        DoubleRuntime::orders() = {.remove_at = call};
        const Work work = work_on(*device);
        REQUIRE(work.done < steps);
        REQUIRE(work.ended_by.has_value());
        CHECK(work.ended_by->code == Code::device_lost);
        CHECK(describe(*work.ended_by).find("0x887a0005") != std::string::npos);
        CHECK(work.done >= done_before);
        done_before = work.done;
        CHECK(device->read().health == Health::lost);
        CHECK(device->create(block(9)).error().code == Code::device_lost);
        CHECK(device->health_check().error().code == Code::device_lost);
        for (const BlockSpec& spec : device->blocks()) {
            CHECK(channel_to(*device, spec.key).error().code == Code::device_lost);
            CHECK(device->release(spec.key).has_value());  // A lost device still releases.
        }
        CHECK(device->blocks().empty());
        CHECK(channel(*other, 1)->fill(0, least, std::byte{2}).has_value());
    }
    CHECK(done_before == steps - 1);
    CHECK(other->read().health == Health::good);
}

TEST_CASE("a removal that no call met is told by the next look at the device") {
    const auto device = doubled();
    REQUIRE(device->create(block(1)).has_value());
    DoubleRuntime::orders().removed = true;
    const Reading reading = device->read();
    CHECK(reading.health == Health::lost);
    REQUIRE(reading.reasons.size() == 1);
    CHECK(reading.reasons[0].find("removed") != std::string::npos);
    CHECK(channel_to(*device, 1).error().code == Code::device_lost);
}

TEST_CASE("a device with no memory left refuses the block and goes on") {
    const auto device = doubled();
    for (u64 call = 0; call < 2; ++call) {  // The heap's, and the buffer's on it.
        CAPTURE(call);
        DoubleRuntime::orders() = {.fail_at = call, .failure = E_OUTOFMEMORY};
        CHECK(device->create(block(1)).error().code == Code::insufficient_memory);
        CHECK(device->blocks().empty());
    }
    DoubleRuntime::orders() = {.fail_at = 0, .failure = E_INVALIDARG};
    CHECK(device->create(block(1)).error().code == Code::system_failed);
    DoubleRuntime::orders() = {};
    CHECK(device->create(block(1)).has_value());
    CHECK(device->read().health == Health::good);
    CHECK(device->read().held_bytes == least);
}

TEST_CASE("a device that does not come to an end is lost, and what it may still write to is given back to nobody") {
    auto device = doubled(5 * ns_per_second);  // What it does before may take as long as that on a machine at work.
    REQUIRE(device->create(block(1)).has_value());
    const auto way = channel(*device, 1);
    DoubleRuntime::orders().fences_stand_still = true;
    const auto done = way->fill(0, least, std::byte{1});
    REQUIRE(!done.has_value());
    CHECK(done.error().code == Code::device_lost);
    CHECK(describe(done.error()).find("5000 ms") != std::string::npos);
    CHECK(device->read().health == Health::lost);
    CHECK(device->release(1).has_value());
    DoubleRuntime::orders() = {};
    CHECK(way->fill(0, least, std::byte{1}).error().code == Code::device_lost);  // For good.
    device.reset();
}
}  // namespace vramd::device::d3d12
