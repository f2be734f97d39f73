#include "engine/link_limits.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "base/test_folder.hpp"

using namespace vramd;
using namespace vramd::engine;

TEST_CASE("what the links can do comes back with its date, and a file that was cut or is another's counts as none") {
    const TestFolder folder;
    const std::filesystem::path file = folder.path / "link-limits";
    CHECK(!kept_link_limits(file));
    keep_link_limits(file, {{9'000'000'000, 12'000'000'000}, 1'700'000'000'000'000'000});
    const auto kept = kept_link_limits(file);
    REQUIRE(kept);
    CHECK(kept->limits.copy_bytes_per_second == 9'000'000'000);
    CHECK(kept->limits.zero_bytes_per_second == 12'000'000'000);
    CHECK(kept->measured_wall_ns == 1'700'000'000'000'000'000);
    for (const std::string_view text : {"", "vramd-link-limits-1", "vramd-link-limits-1 5 6", "vramd-link-limits-1 0 6 7", "other 5 6 7"}) {
        std::ofstream(file, std::ios::trunc) << text;
        CHECK_MESSAGE(!kept_link_limits(file), text);
    }
    keep_link_limits(folder.path / "no" / "such" / "folder", {{1, 2}, 3});  // No harm.
}
