#include "device/cuda/watch.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <semaphore>

#include "base/clock.hpp"
#include "device/cuda/fixture.hpp"

namespace vramd::device::cuda {
TEST_CASE("a look that does not come to its end is noticed, once, and what waits for its end still has it") {
    std::binary_semaphore answers(0);
    std::promise<void> told;
    std::atomic<int> looks = 0, silences = 0;
    {
        const Watch watch([&] { looks += 1, answers.acquire(); }, Watch::Times{.patience_ns = 20 * ns_per_ms},
                          [&] { silences += 1, told.set_value(); });
        told.get_future().wait();
        CHECK(looks == 1);
        answers.release();
    }
    CHECK(silences == 1);
}

TEST_CASE("looks that come to their end are no silence") {
    std::promise<void> looked;
    std::atomic<int> silences = 0;
    {
        const Watch watch([&] { looked.set_value(); }, Watch::Times{.patience_ns = 60 * ns_per_second}, [&] { silences += 1; });
        looked.get_future().wait();
    }
    CHECK(silences == 0);
}

TEST_CASE("a GPU that never finishes a copy is lost after its patience, and who waits is told so") {
    const Calm calm;
    std::promise<std::string> cause;
    const auto device = gpu({.patience_ns = 200 * ns_per_ms, .lost = [&](const std::string& why) { cause.set_value(why); }});
    REQUIRE(device->create(block(1)).has_value());
    const auto way = channel(*device, 1);
    Double::get().order("cuEventQuery", 600, 0, UINT64_MAX);
    std::vector<std::byte> bytes(mib);
    CHECK(way->write(0, bytes).error().code == Code::device_lost);
    const std::string why = cause.get_future().get();  // By whom it is found out first: the copy, or the look that does not end either.
    CAPTURE(why);
    const bool right = why.find("did not finish a copy") != std::string::npos || why.find("has not answered") != std::string::npos;
    CHECK(right);
    CHECK(device->read().health == Health::lost);
}
}  // namespace vramd::device::cuda
