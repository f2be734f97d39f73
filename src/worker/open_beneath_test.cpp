#include "worker/open_beneath.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace vramd::worker {
namespace {
/// A folder of a model with everything in it that must not be opened; gone with the object.
struct Folder {
    Folder() {
        std::string pattern = std::filesystem::temp_directory_path() / "vramd-beneath-XXXXXX";
        path = mkdtemp(pattern.data());
        const auto model = path / "model";
        std::filesystem::create_directories(model / "parts");
        std::ofstream(path / "secret") << "secret";
        std::ofstream(model / "weights.bin") << "weights";
        std::ofstream(model / "parts" / "1.bin") << "part";
        std::filesystem::create_symlink(path / "secret", model / "link");
        std::filesystem::create_symlink("weights.bin", model / "inner_link");
        std::filesystem::create_directory_symlink("parts", model / "linked_parts");
        REQUIRE(mkfifo((model / "fifo").c_str(), 0600) == 0);
        fd = Fd(open(model.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
    Fd fd;
};
}  // namespace

TEST_CASE("a further file opens by its relative name, read-only") {
    const Folder folder;
    CHECK(open_beneath(folder.fd.get(), "weights.bin").has_value());
    CHECK(open_beneath(folder.fd.get(), "parts/1.bin").has_value());
    CHECK(open_beneath(folder.fd.get(), "parts/../weights.bin").has_value());  // Still beneath.
    const auto file = open_beneath(folder.fd.get(), "weights.bin");
    CHECK(write(file->get(), "x", 1) < 0);
    CHECK((fcntl(file->get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("no name leads out of the folder, over a link, or to what is no regular file") {
    const Folder folder;
    const std::string absolute = folder.path / "secret";
    for (const std::string& name :
         {std::string("../secret"), std::string("parts/../../secret"), absolute, std::string("link"), std::string("inner_link"),
          std::string("linked_parts/1.bin"), std::string("fifo"), std::string("parts"), std::string("."), std::string(""),
          std::string("/proc/self/mem"), std::string("weights.bin\0x", 13), std::string(5000, 'a')}) {
        INFO(name);
        const auto opened = open_beneath(folder.fd.get(), name);
        REQUIRE(!opened.has_value());
        CHECK(opened.error().code == Code::path_not_allowed);
        CHECK(describe(opened.error()).find(folder.path.string()) == std::string::npos);
    }
    CHECK(open_beneath(folder.fd.get(), "absent").error().code == Code::not_found);
    CHECK(open_beneath(folder.fd.get(), "weights.bin/x").error().code == Code::not_found);
}
}  // namespace vramd::worker
