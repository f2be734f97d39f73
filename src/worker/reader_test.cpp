#include "worker/reader.hpp"

#include "base/choices.hpp"
#include "worker/disk_file.hpp"
#include "worker/test_files.hpp"

namespace vramd::worker {
using namespace testing;
namespace {
class Ends {
public:
    [[nodiscard]] std::function<void()> one() {
        return [this] {
            const Lock lock(mutex_);
            count_ += 1;
            changed_.notify_all();
        };
    }
    void wait_for(int count) {
        std::unique_lock lock(mutex_);
        REQUIRE(changed_.wait_for(lock, patience, [&] { return count_ >= count; }));
    }

private:
    Mutex mutex_;
    std::condition_variable_any changed_;
    int count_ GUARDED_BY(mutex_) = 0;
};
std::shared_ptr<const ReadPlan> plan_of(std::vector<ipc::TableCopy> copies, u64 memory_bytes) {
    ReadPlan plan;
    plan.memory_bytes = memory_bytes;
    plan.copies = std::move(copies);
    return std::make_shared<const ReadPlan>(std::move(plan));
}
}  // namespace

TEST_CASE("any plan brings exactly its bytes to exactly its places, however many readings go on beside it") {
    for (u64 seed = 0; seed < 40; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        struct One {
            std::string expected;
            std::vector<std::byte> place;
            std::shared_ptr<Reading> reading;
            u64 copied_bytes = 0;
        };
        std::vector<One> all(1 + choices.below(4));
        Ends ends;  // Outlives the reader, which may still be telling.
        Reader reader(static_cast<u32>(1 + choices.below(3)));
        for (One& one : all) {
            auto files = std::make_shared<ModelFiles>();
            const std::vector<std::string> contents = {pattern(1 + choices.below(9 * mib), seed),
                                                       pattern(1 + choices.below(100'000), seed + 1)};
            files->main = file_of(contents[0]);
            files->others.push_back({"second", file_of(contents[1])});
            std::vector<ipc::TableCopy> copies;
            u64 at = 0;
            for (u64 i = 0; i <= choices.below(30); ++i) {
                const u32 file = choices.one_in(2) ? 1 : 0;
                const u64 offset = choices.below(contents[file].size());
                const u64 size = 1 + choices.below(contents[file].size() - offset);
                at += choices.below(5000);
                copies.push_back({file, offset, size, at});
                one.expected.resize(at, '\0');
                one.expected += contents[file].substr(offset, size);
                at += size;
                one.copied_bytes += size;
            }
            one.place.resize(at);
            one.reading = reader.begin(files, plan_of(std::move(copies), at), one.place, ends.one());
        }
        ends.wait_for(static_cast<int>(all.size()));
        for (const One& one : all) {
            CHECK(one.reading->over());
            CHECK(one.reading->result().has_value());
            CHECK(one.reading->landed_bytes() == one.copied_bytes);
            CHECK(std::equal(one.place.begin(), one.place.end(), std::as_bytes(std::span(one.expected)).begin()));
        }
    }
}

TEST_CASE("a file that ends too early ends its reading with the reason, and no other") {
    auto files = std::make_shared<ModelFiles>();
    files->main = file_of(pattern(5 * mib, 1));
    Ends ends;
    Reader reader(2);
    std::vector<std::byte> good_place(5 * mib);
    std::vector<std::byte> bad_place(20 * mib);
    const auto bad = reader.begin(files, plan_of({{0, 1, 20 * mib, 0}}, 20 * mib), bad_place, ends.one());
    const auto good = reader.begin(files, plan_of({{0, 0, 5 * mib, 0}}, 5 * mib), good_place, ends.one());
    ends.wait_for(2);
    CHECK(good->result().has_value());
    REQUIRE(!bad->result().has_value());
    CHECK(bad->result().error().code == Code::invalid_model);
}

TEST_CASE("the files of a model are read side by side, however the plan lists them") {
    auto files = std::make_shared<ModelFiles>();
    files->main_name = "m";
    files->main = file_of(pattern(40 * mib, 1));
    files->others.push_back({"too-short", file_of("x")});
    std::vector<std::byte> place(41 * mib);
    Ends ends;
    Reader reader(1);
    const auto reading = reader.begin(files, plan_of({{0, 0, 40 * mib, 0}, {1, 0, 2, 40 * mib}}, 41 * mib), place, ends.one());
    ends.wait_for(1);
    // One thread: had it read the first file before it began the second, all of that would be here.
    CHECK(reading->landed_bytes() <= read_turn_bytes);
    REQUIRE(!reading->result().has_value());
    CHECK(describe(reading->result().error()) == "The file too-short became shorter while it was being read.");
}

TEST_CASE("a reading that is stopped at any moment is over once, with that reason, and lets go of its files") {
    const std::size_t before = open_descriptors();
    for (u64 seed = 0; seed < 30; ++seed) {
        Choices choices = Choices::from_seed(seed);
        auto files = std::make_shared<ModelFiles>();
        files->main = seed % 4 != 1 ? file_of(pattern(16 * mib, seed)) : disk_file_of(pattern(16 * mib, seed));
        if (seed % 4 == 1) (void)make_cold(files->main);
        Ends ends;
        Reader reader(2);
        std::vector<std::byte> place(16 * mib);
        const auto reading = reader.begin(files, plan_of({{0, 0, 16 * mib, 0}}, 16 * mib), place, ends.one());
        files.reset();
        const u64 until = choices.below(16 * mib);
        while (reading->landed_bytes() < until) std::this_thread::yield();
        reader.stop(reading, {Code::cancelled, "", 0, 0, "Enough."});
        ends.wait_for(1);
        reader.stop(reading, {Code::busy, "", 0, 0, "Too late."});
        CHECK(reading->over());
        if (!reading->result()) CHECK(reading->result().error().code == Code::cancelled);
        if (reading->result()) CHECK(reading->landed_bytes() == 16 * mib);
    }
    CHECK(open_descriptors() == before);
}
}  // namespace vramd::worker
