#include <atomic>
#include <thread>

#include "device/cuda/fixture.hpp"

namespace vramd::device::cuda {
namespace {
constexpr int illegal_address = 700;
constexpr int out_of_memory = 2;
}  // namespace

TEST_CASE("a GPU that is full refuses a block with what it has left, and goes on") {
    const Calm calm;
    const auto device = gpu();
    const auto refused = device->create(block(1, gpu_bytes));
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == Code::insufficient_memory);
    CHECK(refused.error().value == gpu_bytes);
    CHECK(refused.error().limit == *device->read().os_available_bytes);
    CHECK(device->blocks().empty());
    CHECK(device->create(block(1)).has_value());
}

TEST_CASE("a free count that lies cannot make the GPU hand out what it has not") {
    const Calm calm;
    const auto device = gpu();
    Double::get().lie(UINT64_MAX / 2);
    CHECK(device->create(block(1, 2 * gpu_bytes)).error().code == Code::insufficient_memory);
    Double::get().lie(0);
    CHECK(device->read().os_available_bytes == 0);
    CHECK(device->create(block(1)).has_value());  // The driver's word counts, not the count's.
}

TEST_CASE("whichever call of making a block fails, nothing of it is left") {
    const Calm calm;
    const auto device = gpu();
    REQUIRE(device->create(block(1)).has_value());
    REQUIRE(device->release(1).has_value());
    const u64 objects = Double::get().objects();
    const u64 descriptors = open_descriptors();
    u64 failures = 0;
    for (bool made = false; !made && failures < 64; ++failures) {
        CAPTURE(failures);
        Double::get().order(nullptr, out_of_memory, failures);
        auto keeper = device->create(block(1));
        made = keeper.has_value();
        Double::get().calm();
        if (made) break;
        CHECK(device->blocks().empty());
        CHECK(Double::get().objects() == objects);
        CHECK(open_descriptors() == descriptors);
        CHECK(device->read().health == Health::good);
    }
    CHECK(failures >= 6);
    CHECK(failures < 64);
}

TEST_CASE("whichever call of a copy fails, the copy is refused and nothing of it is under way") {
    const Calm calm;
    const auto device = gpu();
    REQUIRE(device->create(block(1, 20 * mib)).has_value());
    const auto way = channel(*device, 1);
    std::vector<std::byte> bytes(18 * mib, std::byte{1});
    REQUIRE(way->write(0, bytes).has_value());
    const auto one_by_one = [&](const std::function<Result<void>()>& call) {
        u64 failures = 0;
        for (bool done = false; !done && failures < 256; ++failures) {
            Double::get().order(nullptr, out_of_memory, failures);
            done = call().has_value();
            Double::get().calm();
            REQUIRE(Double::get().pending() == 0);
        }
        CHECK(failures > 1);
        CHECK(failures < 256);
    };
    one_by_one([&] { return way->write(0, bytes); });
    one_by_one([&] { return way->read(0, bytes); });
    one_by_one([&] { return way->fill(0, 100, std::byte{2}); });
    CHECK(device->read().health == Health::good);
}

TEST_CASE("a GPU's own failure is final: all that follows is refused, told once, and its blocks can still be let go") {
    const Calm calm;
    std::atomic<int> told = 0;
    std::string cause;
    const auto device = gpu({.lost = [&](const std::string& why) {
        told += 1;
        cause = why;
    }});
    auto keeper = device->create(block(1));
    REQUIRE(keeper.has_value());
    REQUIRE(channel(*device, 1)->fill(0, least, std::byte{8}).has_value());
    const auto way = channel(*device, 1);
    Double::get().order("cuMemcpyHtoDAsync_v2", illegal_address);
    std::vector<std::byte> one(1);
    CHECK(way->write(0, one).error().code == Code::device_lost);
    CHECK(told == 1);
    CHECK(cause.find("CUDA_ERROR_ILLEGAL_ADDRESS") != std::string::npos);
    CHECK(way->read(0, one).error().code == Code::device_lost);
    CHECK(device->create(block(2)).error().code == Code::device_lost);
    CHECK(device->health_check().error().code == Code::device_lost);
    CHECK(channel_to(*device, 1).error().code == Code::device_lost);
    CHECK(device->share(1, Sharing::read_only).error().code == Code::device_lost);
    const Reading reading = device->read();
    CHECK(reading.health == Health::lost);
    CHECK(reading.reasons.back().find("CUDA_ERROR_ILLEGAL_ADDRESS") != std::string::npos);
    CHECK(device->adopt(block(3), *keeper->duplicate()).has_value());
    CHECK(device->release(3).has_value());
    CHECK(told == 1);
    Double::get().calm();  // As in another process.
    const auto next = gpu();
    REQUIRE(next->adopt(block(1), *std::move(keeper)).has_value());
    CHECK(all(content(*next, 1), std::byte{8}));
}

TEST_CASE("a GPU that fails while nobody uses it is found out by the look that is taken at it") {
    const Calm calm;
    std::atomic<bool> told = false;
    const auto device = gpu({.lost = [&](const std::string&) { told = true; }});
    Double::get().order("cuEventQuery", 719);
    CHECK(device->health_check().error().code == Code::device_lost);
    CHECK(told);
}

TEST_CASE("a GPU that an earlier process knew is there at once, and who needs it waits for the driver") {
    const Calm calm;
    auto first = gpu();
    const Known known = known_of(*first);
    auto keeper = first->create(block(1));
    REQUIRE(channel(*first, 1)->fill(0, least, std::byte{4}).has_value());
    const Facts facts = first->facts();
    first.reset();
    const auto next = gpu({.known = known});
    CHECK(next->facts().capacity_bytes == facts.capacity_bytes);
    CHECK(next->facts().name == facts.name);
    REQUIRE(next->adopt(block(1), *keeper->duplicate()).has_value());
    CHECK(next->share(1, Sharing::read_only).has_value());
    CHECK(next->read().health != Health::lost);
    CHECK(all(content(*next, 1), std::byte{4}));
    CHECK(next->read().physical_bytes == gpu_bytes);
    // One that does not open after all is lost, and keeps what it has.
    std::atomic<int> told = 0;
    Double::get().order("cuDevicePrimaryCtxRetain", 999);
    const auto last = gpu({.known = known, .lost = [&](const std::string&) { told += 1; }});
    REQUIRE(last->adopt(block(1), *keeper->duplicate()).has_value());
    CHECK(last->create(block(2)).error().code == Code::device_lost);
    CHECK(last->read().health == Health::lost);
    CHECK(last->blocks().size() == 1);
    CHECK(told == 0);  // Another process could do no better.
}

TEST_CASE("where a GPU cannot be opened any more, its stand-in keeps the blocks for the next process") {
    const Calm calm;
    auto keeper = gpu()->create(block(1));
    REQUIRE(keeper.has_value());
    Double::get().order("cuDevicePrimaryCtxRetain", 999);
    const auto refused = open({});
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == Code::device_lost);
    const auto device = stand_in("cuda0", refused.error());
    REQUIRE(device->adopt(block(1), *keeper->duplicate()).has_value());
    CHECK(device->blocks().size() == 1);
    CHECK(device->read().health == Health::lost);
    CHECK(device->read().held_bytes == least);
    CHECK(channel_to(*device, 1).error().code == Code::device_lost);
    CHECK(device->create(block(2)).error().code == Code::device_lost);
    CHECK(device->release(1).has_value());
}

TEST_CASE("many threads copy at once, more than there are slots, and each finds its own bytes") {
    const Calm calm;
    const auto device = gpu();
    constexpr u64 count = 24;
    for (u64 key = 1; key <= count; ++key) REQUIRE(device->create(block(key)).has_value());
    std::atomic<u64> right = 0;
    {
        std::vector<std::jthread> threads;
        for (u64 key = 1; key <= count; ++key)
            threads.emplace_back([&, key] {
                const auto way = channel_to(*device, key);
                std::vector<std::byte> bytes(least);
                bool good = way.has_value();
                for (u64 round = 0; round < 8 && good; ++round) {
                    std::ranges::fill(bytes, static_cast<std::byte>(key * 8 + round));
                    good = (*way)->write(0, bytes).has_value();
                    std::ranges::fill(bytes, std::byte{0});
                    good = good && (*way)->read(0, bytes).has_value() && all(bytes, static_cast<std::byte>(key * 8 + round));
                }
                if (good) right += 1;
            });
    }
    CHECK(right == count);
}
}  // namespace vramd::device::cuda
