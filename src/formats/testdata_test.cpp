// Every model that Debian ships for testing ONNX (libonnx-testdata), read as a whole or refused with a reason.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "formats/hand_built.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

TEST_CASE("all 1,072 models of libonnx-testdata are read, or refused with a reason") {
    const char* given = std::getenv("VRAMD_ONNX_TESTDATA");
    const std::filesystem::path folder = given != nullptr ? given : "/usr/share/libonnx-testdata";
    u64 files = 0;
    u64 loaded_files = 0;
    u64 tensors = 0;
    REQUIRE(std::filesystem::is_directory(folder));
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.path().extension() != ".onnx") continue;
        ++files;
        std::ifstream file(entry.path(), std::ios::binary);
        const auto loaded = load(entry.path().filename().string(), {std::istreambuf_iterator<char>(file), {}});
        INFO(entry.path().string() << ": " << (loaded ? "" : loaded.error().field + ": " + describe(loaded.error())));
        if (loaded) {
            ++loaded_files;
            tensors += loaded->plan.tensors.size();
            continue;
        }
        CHECK((loaded.error().code == Code::invalid_model || loaded.error().code == Code::unsupported));
        CHECK(!describe(loaded.error()).empty());
        MESSAGE(entry.path().string() << ": " << loaded.error().field << ": " << describe(loaded.error()));
    }
    MESSAGE(files << " files, " << loaded_files << " loaded, " << tensors << " tensors");
    CHECK(files >= 1072);
}
