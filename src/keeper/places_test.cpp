#include "keeper/places.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

using namespace vramd;
using namespace vramd::keeper;

TEST_CASE("a state directory that cannot be one is refused with its path") {
    char pattern[] = "/tmp/vramd-places-XXXXXX";
    REQUIRE(mkdtemp(pattern) != nullptr);
    const std::filesystem::path folder = pattern;
    { const std::ofstream file(folder / "file"); }
    for (const std::filesystem::path& place : {folder / "file", folder / "file" / "below"}) {
        const auto lock = lock_directory(place);
        REQUIRE(!lock.has_value());
        CHECK(lock.error().code == Code::system_failed);
        CHECK(describe(lock.error()).find(place.native()) != std::string::npos);
    }
    std::filesystem::remove_all(folder);
}
