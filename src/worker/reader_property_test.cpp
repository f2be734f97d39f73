#include "worker/disk_file.hpp"
#include "worker/reader.hpp"
#include "worker/test_files.hpp"

namespace vramd::worker {
using namespace testing;
namespace {
/// A file in one of the states in which a load may find it.
Fd any_file(const std::string& content, Choices& choices) {
    const u64 state = choices.below(4);
    if (state == 0) return testing::file_of(content);
    Fd file = disk_file_of(content);
    if (state == 1) (void)make_cold(file);
    if (state == 2) make_half_cold(file, choices);
    return file;
}
/// Copies of many sizes, some close to each other in the file, some on top of each other, in a place with holes.
std::vector<ipc::TableCopy> any_copies(const std::vector<std::string>& contents, Choices& choices, u64& memory_bytes) {
    std::vector<ipc::TableCopy> copies;
    std::vector<u64> follows(contents.size());
    const u64 count = 1 + choices.below(60);
    for (u64 i = 0; i < count; ++i) {
        const u32 file = static_cast<u32>(choices.below(contents.size()));
        const u64 file_size = contents[file].size();
        u64 offset = choices.one_in(3) ? choices.below(file_size) : follows[file] + (choices.one_in(2) ? 0 : choices.below(100'000));
        if (offset >= file_size) offset = choices.below(file_size);
        const u64 most = choices.one_in(8) ? file_size : choices.one_in(2) ? 200'000 : 300;
        const u64 size = 1 + choices.below(std::min(file_size - offset, most));
        u64 at = memory_bytes + choices.below(3) * choices.below(5000);
        if (choices.one_in(3)) at = round_up(at, 4096) + offset % 4096;  // Aligned alike: no buffer is needed.
        copies.push_back({file, offset, size, at});
        memory_bytes = at + size;
        follows[file] = offset + size;
    }
    return copies;
}
}  // namespace

TEST_CASE("whatever the files' state, the plan's alignment and the turns, every byte of the plan comes and no other is touched") {
    Ways all;
    for (u64 seed = 0; seed < 40; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        auto files = std::make_shared<ModelFiles>();
        std::vector<std::string> contents;
        for (u64 i = 0; i <= choices.below(4); ++i)
            contents.push_back(pattern(1 + choices.below(choices.one_in(3) ? 9 * mib : mib), seed * 8 + i));
        files->main = any_file(contents[0], choices);
        for (std::size_t i = 1; i < contents.size(); ++i) files->others.push_back({"other", any_file(contents[i], choices)});

        auto plan = std::make_shared<ReadPlan>();
        plan->copies = any_copies(contents, choices, plan->memory_bytes);
        const Memory memory(round_up(plan->memory_bytes + 1, 4096));
        const std::span<std::byte> place = memory.place(0, round_up(plan->memory_bytes + 1, 4096));
        std::ranges::fill(place, std::byte{0xee});
        std::string expected(place.size(), '\xee');
        for (const ipc::TableCopy& copy : plan->copies)
            expected.replace(copy.memory_offset_bytes, copy.size_bytes, contents[copy.file], copy.file_offset_bytes, copy.size_bytes);

        std::promise<void> over;
        Reader reader(static_cast<u32>(1 + choices.below(4)));
        const auto reading = reader.begin(files, plan, place, [&over] { over.set_value(); });
        REQUIRE(over.get_future().wait_for(patience) == std::future_status::ready);
        REQUIRE(reading->result());
        CHECK(std::ranges::equal(place, std::as_bytes(std::span(expected))));
        all += reading->ways();
    }
    CHECK(all.cached_bytes > 0);
    CHECK(all.plain_bytes > 0);
}
}  // namespace vramd::worker
