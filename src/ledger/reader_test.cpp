#include "ledger/reader.hpp"

#include <sys/stat.h>

#include <fstream>
#include <map>

#include "ledger/ledger_bed.hpp"

using namespace vramd;
using namespace vramd::ledger;

namespace {
std::vector<std::vector<std::byte>> events_of(const std::string& text, u64 count = 1) {
    return std::vector<std::vector<std::byte>>(count, bytes_of(text));
}
std::vector<Told> all_of(const std::filesystem::path& directory, FilesRead* read = nullptr) {
    std::vector<Told> list;
    const auto result = read_files(directory, into(list));
    REQUIRE(result.has_value());
    if (read != nullptr) *read = *result;
    return list;
}
std::string content(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}
/// Every file with its bytes.
std::map<std::string, std::string> everything(const std::filesystem::path& root) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
        files[entry.path()] = entry.is_regular_file() ? content(entry.path()) : "";
    return files;
}
}  // namespace

TEST_CASE("a reader from outside sees what a writer appended, while it goes on, and changes no byte") {
    const Bed bed;
    const auto ledger = opened(bed.options()).ledger;
    std::vector<Told> written;
    for (u64 i = 0; i < 400; ++i) {
        const std::string text = "event " + std::to_string(i) + std::string(i % 90, '.');
        const auto first = ledger->append(i, events_of(text, 1 + i % 3));
        REQUIRE(first.has_value());
        written.push_back({*first, i, std::vector<std::string>(1 + i % 3, text)});
        REQUIRE(ledger->prepare().has_value());
        if (i % 100 == 70) REQUIRE(ledger->snapshot(ledger->sequence(), bytes_of("state")).has_value());
        if (i % 50 != 49) continue;
        const auto before = everything(bed.state());
        FilesRead read;
        REQUIRE((all_of(bed.state(), &read) == written));
        REQUIRE(read.damages.empty());
        REQUIRE(read.last_sequence == ledger->sequence());
        REQUIRE((everything(bed.state()) == before));
    }
    CHECK(std::filesystem::exists(bed.state() / "archive"));
    CHECK(ledger->append(0, events_of("goes on")).has_value());
}

TEST_CASE("other lives are read too, and each batch says whose it is") {
    const Bed bed;
    for (const char* life : {"boot-1", "boot-2", "boot-3"}) {
        const auto ledger = opened(bed.options(life)).ledger;
        if (std::string_view(life) != "boot-2")
            REQUIRE(ledger->append(1, events_of(life)).has_value());  // The second one ends without an event.
    }
    std::vector<u64> lives;
    REQUIRE(read_files(bed.state(), [&](const Batch& batch) -> Result<Visit> {
                lives.push_back(batch.life_first_sequence);
                return Visit::more;
            }).has_value());
    CHECK(lives == std::vector<u64>{1, 2});
}

TEST_CASE("a segment that is archived while it is read, and so met twice, is told once") {
    const Bed bed;
    const auto ledger = opened(bed.options()).ledger;
    for (u64 i = 0; i < 9; ++i) REQUIRE(ledger->append(i, events_of("early")).has_value());
    std::filesystem::create_directory(bed.state() / "archive");
    const char* const name = "ledger-00000000000000000001";
    std::filesystem::copy_file(bed.state() / name, bed.state() / "archive" / name);
    for (u64 i = 0; i < 9; ++i) REQUIRE(ledger->append(i, events_of("late")).has_value());
    const auto list = all_of(bed.state());
    REQUIRE(list.size() == 18);
    for (u64 i = 0; i < 18; ++i) CHECK(list[i].first_sequence == i + 1);
}

TEST_CASE("a visitor that has enough, or an error, ends the reading") {
    const Bed bed;
    const auto ledger = opened(bed.options()).ledger;
    for (u64 i = 0; i < 9; ++i) REQUIRE(ledger->append(i, events_of("e")).has_value());
    u64 seen = 0;
    const auto some = read_files(bed.state(), [&](const Batch&) -> Result<Visit> { return ++seen == 3 ? Visit::enough : Visit::more; });
    REQUIRE(some.has_value());
    CHECK(some->batches == 3);
    const auto none = read_files(bed.state(), [](const Batch&) -> Result<Visit> { return refuse(Code::too_large, "x", 1, 0); });
    REQUIRE(!none.has_value());
    CHECK((none.error().code == Code::too_large));
}

TEST_CASE("what is damaged is told with its place, and what lies before and in later segments is read") {
    const Bed bed;
    {
        const auto ledger = opened(bed.options()).ledger;
        for (u64 i = 0; i < 200; ++i) {
            REQUIRE(ledger->append(i, events_of(std::string(200, 'x'))).has_value());
            REQUIRE(ledger->prepare().has_value());
        }
    }
    const u64 whole = all_of(bed.state()).size();
    const auto first = bed.state() / "ledger-00000000000000000001";
    {
        std::fstream file(first, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(3000);
        file.put('!');
    }
    FilesRead read;
    const auto list = all_of(bed.state(), &read);
    REQUIRE(read.damages.size() == 1);
    CHECK(read.damages[0].file == "ledger-00000000000000000001");
    CHECK(read.damages[0].offset_bytes > 2500);
    CHECK(list.size() < whole);
    CHECK(list.size() > 10);
    CHECK(list.back().first_sequence == whole);
}

TEST_CASE("what is no ledger is refused in words, and odd files beside one harm nothing") {
    const Bed bed;
    const auto none = read_files(bed.root, [](const Batch&) -> Result<Visit> { return Visit::more; });
    REQUIRE(!none.has_value());
    CHECK((none.error().code == Code::not_found));
    CHECK((read_files(bed.root / "absent", {}).error().code == Code::not_found));
    {
        const auto ledger = opened(bed.options()).ledger;
        REQUIRE(ledger->append(1, events_of("e")).has_value());
    }
    std::ofstream(bed.state() / "ledger-00000000000000000007").put('x');
    std::ofstream(bed.state() / "ledger-00000000000000000008") << "";
    std::ofstream(bed.state() / "ledger-00000000000000000009") << std::string(600, 'g');
    std::ofstream(bed.state() / "ledger-x") << "name";
    FilesRead read;
    CHECK(all_of(bed.state(), &read).size() == 1);
    CHECK(read.damages.size() == 3);
    REQUIRE(mkfifo((bed.state() / "ledger-00000000000000000010").c_str(), 0600) == 0);
    const auto fifo = read_files(bed.state(), [](const Batch&) -> Result<Visit> { return Visit::more; });
    REQUIRE(!fifo.has_value());  // Not waited for.
    CHECK((fifo.error().code == Code::system_failed));
}
