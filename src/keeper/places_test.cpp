#include "keeper/places.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "base/test_folder.hpp"

using namespace vramd;
using namespace vramd::keeper;

TEST_CASE("a state directory that cannot be one is refused with its path") {
    const TestFolder folder;
    { const std::ofstream file(folder.path / "file"); }
    for (const std::filesystem::path& place : {folder.path / "file", folder.path / "file" / "below"}) {
        const auto lock = lock_directory(place);
        REQUIRE(!lock.has_value());
        CHECK(lock.error().code == Code::system_failed);
        CHECK(describe(lock.error()).find(place.native()) != std::string::npos);
    }
}
