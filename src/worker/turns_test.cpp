/// Loads that take turns at the core's few reading threads, where what they read lands slowly.
#include <poll.h>

#include "device/channel.hpp"
#include "worker/reader.hpp"
#include "worker/test_files.hpp"

using namespace vramd;
using namespace vramd::worker;
using namespace vramd::worker::testing;

namespace {
constexpr int turn_ms = 150;

/// Takes so long for each turn, whatever is in it.
class SlowStage final : public device::Stage {
public:
    explicit SlowStage(std::span<std::byte> memory) : memory_(memory) {}
    std::span<std::byte> bytes() override { return memory_; }
    Result<void> send(u64, u64, u64) override { return {}; }
    Result<void> wait() override {
        (void)poll(nullptr, 0, turn_ms);
        return {};
    }

private:
    std::span<std::byte> memory_;
};
class SlowChannel final : public device::Channel {
public:
    explicit SlowChannel(u64 size_bytes) : size_bytes_(size_bytes) {}
    [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
    Result<void> write(u64, std::span<const std::byte>) override { return {}; }
    Result<void> read(u64, std::span<std::byte>) override { return {}; }
    Result<void> fill(u64, u64, std::byte) override { return {}; }
    Result<void> copy_from(u64, const Channel&, u64, u64) override { return {}; }
    Result<std::unique_ptr<device::Stage>> stage() override { return std::make_unique<SlowStage>(memory_); }

private:
    u64 size_bytes_;
    std::vector<std::byte> memory_ = std::vector<std::byte>(device::stage_bytes_min);  // One stage at a time.
};
}  // namespace

TEST_CASE("a load that waits for its turn at a slow disk is not taken for one that stands still") {
    Options options;
    options.readers = 1;
    const auto all = loaders(options);
    const SharedFiles files = files_of("m", large_file(2 * read_turn_bytes));
    const auto inspection = inspect(*all, files);
    REQUIRE(inspection.has_value());
    const auto channel = std::make_shared<SlowChannel>(inspection->model.memory_bytes);
    std::vector<Awaited<Loaded>> answers(10);
    for (Awaited<Loaded>& answer : answers) {
        LoadJob job;
        job.files = files;
        job.channel = channel;
        job.plan = inspection->plan;
        job.expected_hash = inspection->model.identity.header_hash;
        job.quiet_ms = 8 * turn_ms;  // Each has one turn in ten.
        job.done = answer.callback();
        REQUIRE(all->load(std::move(job)).has_value());
    }
    for (Awaited<Loaded>& answer : answers) CHECK(answer.wait().has_value());
}
