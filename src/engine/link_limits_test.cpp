#include "engine/link_limits.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "base/test_folder.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
constexpr LinkLimits::End a{"a", true}, b{"b", true}, gpu{"cuda0", false}, far_end{"cuda1", false};
constexpr transfer::Limits system_limits{9'000'000'000, 12'000'000'000};
constexpr device::CopyRates gpu_rates{55, 54, 2000, 4000};
}  // namespace

TEST_CASE("each way between two devices has its own limit, and what was not measured has none") {
    LinkLimits limits;
    CHECK(limits.copy(a, b).bytes_per_second == 0);
    CHECK(limits.copy(a, gpu).bytes_per_second == 0);
    limits.set_system(system_limits, 7);
    limits.set_device("cuda0", gpu_rates, 8);
    CHECK(limits.copy(a, b).bytes_per_second == 9'000'000'000);
    CHECK(limits.copy(a, a).measured_wall_ns == 7);
    CHECK(limits.copy(a, gpu).bytes_per_second == 55);
    CHECK(limits.copy(gpu, b).bytes_per_second == 54);
    CHECK(limits.copy(gpu, gpu).bytes_per_second == 2000);
    CHECK(limits.copy(gpu, gpu).measured_wall_ns == 8);
    CHECK(limits.fill(gpu).bytes_per_second == 4000);
    CHECK(limits.fill(b).bytes_per_second == 12'000'000'000);
    CHECK(limits.copy(gpu, far_end).bytes_per_second == 0);
    CHECK(limits.copy(a, far_end).bytes_per_second == 0);
    CHECK(limits.fill(far_end).bytes_per_second == 0);
}

TEST_CASE("what the links can do comes back with its date, and a file that was cut or is another's counts as none") {
    const TestFolder folder;
    const std::filesystem::path file = folder.path / "link-limits";
    {
        LinkLimits limits;
        limits.keep_in(file);
        limits.set_system(system_limits, 1'700'000'000'000'000'000);
        limits.set_device("cuda0", gpu_rates, 8);
    }
    const auto kept = [&] {
        LinkLimits limits;
        limits.keep_in(file);
        return std::pair(limits.copy(a, b), limits.fill(gpu));
    };
    CHECK(kept().first.bytes_per_second == 9'000'000'000);
    CHECK(kept().first.measured_wall_ns == 1'700'000'000'000'000'000);
    CHECK(kept().second.bytes_per_second == 4000);
    for (const std::string_view text :
         {"", "vramd-link-limits-1 5 6 7\n", "vramd-link-limits-2\nsystem 5 6\n", "vramd-link-limits-2\nsystem 5 x 7\n",
          "vramd-link-limits-2\nsystem 5 6 7\ndevice cuda0 1 2 3 4\n", "vramd-link-limits-2\nother 5 6 7\n"}) {
        std::ofstream(file, std::ios::trunc) << text;
        CHECK_MESSAGE(kept().first.bytes_per_second == 0, text);
    }
    LinkLimits nowhere;
    nowhere.keep_in(folder.path / "no" / "such" / "folder");
    nowhere.set_system(system_limits, 3);  // No harm.
    CHECK(nowhere.copy(a, b).bytes_per_second == 9'000'000'000);
}
