/// Which headers are kept, and when a file's state can be relied on.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/clock.hpp"
#include "engine/known_headers.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
struct Folder {
    Folder() {
        std::string name = std::filesystem::temp_directory_path() / "vramd-headers-XXXXXX";
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] Fd file(const std::string& name, const std::string& text = "text") const {
        std::ofstream(path / name) << text;
        return Fd(open((path / name).c_str(), O_RDONLY | O_CLOEXEC));
    }
    std::filesystem::path path;
};
KnownHeader header(const std::string& path, std::size_t tensors = 1) {
    KnownHeader made{path, {{"", {}}}, {}, nullptr};
    made.model.tensors.resize(tensors);
    return made;
}
}  // namespace

TEST_CASE("a file that was changed within the last second says nothing yet, and any change of any file is seen later") {
    const Folder folder;
    worker::ModelFiles files;
    files.main = folder.file("main");
    files.others.push_back({"shard", folder.file("shard")});
    const u64 now = read_clocks().wall_ns;
    CHECK(settled_state(files, now).empty());
    const FilesState later = settled_state(files, now + 3 * ns_per_second);
    REQUIRE(later.size() == 2);
    CHECK(later[1].first == "shard");
    CHECK(settled_state(files, now + 4 * ns_per_second) == later);
    REQUIRE(chmod((folder.path / "shard").c_str(), 0600) == 0);  // Changes nothing but its time of change.
    CHECK(settled_state(files, now + 4 * ns_per_second) != later);
}

TEST_CASE("a header is found by its path, the newest of a path; one too large or unsettled is not kept") {
    KnownHeaders known;
    known.keep(header("a", 1));
    known.keep(header("a", 2));
    REQUIRE(known.find("a"));
    CHECK(known.find("a")->model.tensors.size() == 2);
    CHECK(!known.find("b"));
    known.keep(header("large", 5000));
    CHECK(!known.find("large"));
    known.keep({"unsettled", {}, {}, nullptr});
    CHECK(!known.find("unsettled"));
}

TEST_CASE("of many headers those stay that were asked for last") {
    KnownHeaders known;
    for (int i = 0; i < 64; ++i) known.keep(header(std::to_string(i)));
    REQUIRE(known.find("0"));
    known.keep(header("new"));
    CHECK(known.find("0"));
    CHECK(!known.find("1"));
    CHECK(known.find("2"));
    CHECK(known.find("new"));
}
