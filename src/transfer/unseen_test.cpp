#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/random.hpp"
#include "device/channel.hpp"
#include "device/sim/sim.hpp"
#include "transfer/engine.hpp"

namespace vramd::transfer {
namespace {
using device::sim::Backing;
using device::sim::Reach;
constexpr u64 size_bytes = 70 * mib + 4096;  // Beyond one chunk of every way.

/// Memory that the processor sees, and two devices of which it does not: one block each, of bytes that are all different.
struct UnseenBench {
    UnseenBench() {
        for (device::Device* one : {seen.get(), first.get(), second.get()})
            REQUIRE(one->create({1, size_bytes, device::BlockKind::dedicated}).has_value());
        SeededRandom random(7);
        for (std::size_t at = 0; at + sizeof(u64) <= bytes.size(); at += sizeof(u64)) {
            const u64 word = random.next();
            std::memcpy(&bytes[at], &word, sizeof word);
        }
        std::memcpy(seen->map(1)->write()->data(), bytes.data(), size_bytes);
    }
    [[nodiscard]] static Place all(device::Device& device) { return {&device, 1, *Range::within(size_bytes, 0, size_bytes)}; }
    [[nodiscard]] std::vector<std::byte> content(device::Device& device) const {
        std::vector<std::byte> read(size_bytes);
        REQUIRE(device::channel_to(device, 1).value()->read(0, read).has_value());
        return read;
    }
    Result<Outcome> run(Job job) {
        std::optional<Result<Outcome>> ended;
        TRY_DO(engine.submit(std::move(job), [&](Result<Outcome> outcome) { ended = std::move(outcome); }));
        while (!ended) REQUIRE(engine.step() > 0);
        return *std::move(ended);
    }
    std::vector<std::byte> bytes = std::vector<std::byte>(size_bytes);
    Backing host{{.id = "host", .capacity_bytes = gib}};
    Backing gpu{{.id = "gpu", .capacity_bytes = gib, .reach = Reach::copied}};
    Backing other_gpu{{.id = "other", .capacity_bytes = gib, .reach = Reach::copied}};
    std::unique_ptr<device::Device> seen = host.open();
    std::unique_ptr<device::Device> first = gpu.open();
    std::unique_ptr<device::Device> second = other_gpu.open();
    Engine engine{{.mode = Options::Mode::stepped}};
};
}  // namespace

TEST_CASE("bytes go from what the processor sees to what it does not, on to another such device, and back") {
    for (const Verify verify : {Verify::none, Verify::checksum}) {
        UnseenBench bench;
        const auto there = bench.run(
            {.kind = Kind::copy, .source = UnseenBench::all(*bench.seen), .target = UnseenBench::all(*bench.first), .verify = verify});
        REQUIRE(there.has_value());
        CHECK(there->bytes == size_bytes);
        CHECK(bench.content(*bench.first) == bench.bytes);
        REQUIRE(bench
                    .run({.kind = Kind::copy,
                          .source = UnseenBench::all(*bench.first),
                          .target = UnseenBench::all(*bench.second),
                          .verify = verify})
                    .has_value());
        CHECK(bench.content(*bench.second) == bench.bytes);
        std::memset(bench.seen->map(1)->write()->data(), 0, size_bytes);
        const auto back = bench.run(
            {.kind = Kind::copy, .source = UnseenBench::all(*bench.second), .target = UnseenBench::all(*bench.seen), .verify = verify});
        REQUIRE(back.has_value());
        CHECK(std::memcmp(bench.seen->map(1)->read().data(), bench.bytes.data(), size_bytes) == 0);
        if (verify == Verify::checksum) CHECK(back->checksum == chunked_checksum(bench.bytes));
    }
}

TEST_CASE("a job comes before its device is ready, and is done when it is") {
    UnseenBench bench;
    bench.gpu.be_beginning();
    CHECK(device::channel_to(*bench.first, 1, device::Patience::none).error().code == Code::busy);
    REQUIRE(bench.run({.kind = Kind::copy, .source = UnseenBench::all(*bench.seen), .target = UnseenBench::all(*bench.first)}).has_value());
    CHECK(bench.content(*bench.first) == bench.bytes);
    const Place beyond{bench.first.get(), 1, *Range::within(2 * size_bytes, size_bytes, 1)};
    CHECK(bench.run({.kind = Kind::zero, .target = beyond}).error().code == Code::out_of_range);
}

TEST_CASE("a sum of what the processor does not see is the sum of its bytes, and a caller's bytes go in and out") {
    UnseenBench bench;
    const Place part{bench.first.get(), 1, *Range::within(size_bytes, 12'345, 33 * mib + 1)};
    const std::span<const std::byte> given = std::span(bench.bytes).first(33 * mib + 1);
    REQUIRE(bench.run({.kind = Kind::write_in, .target = part, .in = given}).has_value());
    const auto sum = bench.run({.kind = Kind::checksum, .source = part});
    REQUIRE(sum.has_value());
    CHECK(sum->checksum == chunked_checksum(given));
    std::vector<std::byte> out(given.size());
    REQUIRE(bench.run({.kind = Kind::read_out, .source = part, .out = out}).has_value());
    CHECK(std::ranges::equal(out, given));
    REQUIRE(bench.run({.kind = Kind::fill, .target = part, .fill_value = std::byte{9}}).has_value());
    const auto content = bench.content(*bench.first);
    CHECK(content[12'344] == std::byte{0});
    CHECK(content[12'345] == std::byte{9});
    CHECK(content[12'345 + 33 * mib] == std::byte{9});
    CHECK(content[12'346 + 33 * mib] == std::byte{0});
}

TEST_CASE("a device that is lost in the midst of a copy fails it, and a verified copy notices what did not land") {
    UnseenBench bench;
    for (u64 nth = 1; nth < 4; ++nth) {
        bench.gpu.fail_call(nth, Code::device_lost);
        const auto failed =
            bench.run({.kind = Kind::copy, .source = UnseenBench::all(*bench.seen), .target = UnseenBench::all(*bench.first)});
        REQUIRE(!failed.has_value());
        CHECK(failed.error().code == Code::device_lost);
    }
    REQUIRE(bench.run({.kind = Kind::copy, .source = UnseenBench::all(*bench.seen), .target = UnseenBench::all(*bench.first)}).has_value());
    const Place beyond{bench.first.get(), 1, *Range::within(2 * size_bytes, size_bytes, 1)};
    CHECK(bench.engine.submit({.kind = Kind::zero, .target = beyond}, [](const Result<Outcome>&) {}).error().code == Code::out_of_range);
    REQUIRE(bench.second->create({2, mib, device::BlockKind::shareable}).has_value());
    REQUIRE(bench.second->seal_for_sharing(2).has_value());
    const Place sealed{bench.second.get(), 2, *Range::within(mib, 0, mib)};
    CHECK(bench.run({.kind = Kind::zero, .target = sealed}).error().code == Code::conflict);
}
}  // namespace vramd::transfer
