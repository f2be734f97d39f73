#include "torch/pool.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <random>
#include <vector>

using namespace vramd;
using namespace vramd::torch;

namespace {
constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;

/// Gives segments as a GPU does, as many bytes as there are.
struct Memory {
    std::uint64_t total_bytes = 1024 * mib;
    std::uint64_t taken_bytes = 0;
    std::uint64_t next = 1ULL << 40;
    std::map<std::uint64_t, std::uint64_t> segments;
    bool side_by_side = false;  ///< Segments without a gap between them.
    Pool pool{[this](std::uint64_t size_bytes) { return grow(size_bytes); },
              [this](std::uint64_t address) {
                  REQUIRE(segments.contains(address));
                  taken_bytes -= segments[address];
                  segments.erase(address);
              }};
    client::Result<std::uint64_t> grow(std::uint64_t size_bytes) {
        CHECK(size_bytes % (2 * mib) == 0);
        if (size_bytes > total_bytes - taken_bytes) {
            client::Error error;
            error.code = "insufficient-memory";
            return error;
        }
        taken_bytes += size_bytes;
        const std::uint64_t address = next;
        next += size_bytes + (side_by_side ? 0 : 2 * mib);
        segments[address] = size_bytes;
        return address;
    }
    std::uint64_t allocate(std::uint64_t size_bytes, Stream stream = 0) {
        const auto made = pool.allocate(size_bytes, stream);
        REQUIRE(made.has_value());
        return *made;
    }
};
}  // namespace

TEST_CASE("what a stream gave back is the next thing that this stream gets, and no other stream gets it") {
    Memory memory;
    const std::uint64_t first = memory.allocate(30 * mib, 1);
    CHECK(memory.pool.free(first));
    CHECK(memory.allocate(30 * mib, 2) != first);
    CHECK(memory.allocate(30 * mib, 1) == first);
    CHECK(memory.taken_bytes == 60 * mib);
}

TEST_CASE("small requests share a segment of 2 MiB, middling ones one of 20 MiB, large ones have their own") {
    Memory memory;
    for (int i = 0; i < 100; ++i) (void)memory.allocate(1000);
    CHECK(memory.taken_bytes == 2 * mib);
    (void)memory.allocate(2 * mib);
    (void)memory.allocate(9 * mib);
    CHECK(memory.taken_bytes == 22 * mib);
    (void)memory.allocate(33 * mib + 1);
    CHECK(memory.taken_bytes == 22 * mib + 34 * mib);
}

TEST_CASE("neighbours that are free are one piece, but never across two segments") {
    Memory memory;
    memory.side_by_side = true;
    const std::uint64_t first = memory.allocate(mib);
    const std::uint64_t second = memory.allocate(mib);
    const std::uint64_t other = memory.allocate(mib);  // In a second segment, right behind the first.
    CHECK(other == first + 2 * mib);
    CHECK(memory.pool.free(second));
    CHECK(memory.pool.free(other));
    CHECK(memory.pool.free(first));
    CHECK(memory.pool.trim() == 4 * mib);
    CHECK(memory.segments.empty());
    CHECK(memory.pool.held_bytes() == 0);
}

TEST_CASE("where there is no more, what nobody uses goes back first, and then the request is served or refused") {
    Memory memory;
    memory.total_bytes = 100 * mib;
    const std::uint64_t large = memory.allocate(60 * mib, 1);
    const std::uint64_t stays = memory.allocate(20 * mib, 1);
    CHECK(memory.pool.free(large));
    (void)memory.allocate(70 * mib, 2);
    CHECK(memory.taken_bytes == 90 * mib);
    const auto refused = memory.pool.allocate(70 * mib, 2);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == "insufficient-memory");
    CHECK(memory.pool.free(stays));
}

TEST_CASE("an address that was not given, or was given back already, is refused and changes nothing") {
    Memory memory;
    const std::uint64_t first = memory.allocate(4096);
    CHECK(!memory.pool.free(first + 512));
    CHECK(memory.pool.free(first));
    CHECK(!memory.pool.free(first));
    CHECK(memory.pool.used_bytes() == 0);
}

TEST_CASE("whatever is taken and given back on several streams, no two pieces overlap and every byte is in the figures") {
    for (unsigned seed = 0; seed < 20; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        Memory memory;
        memory.side_by_side = seed % 2 == 0;
        std::map<std::uint64_t, std::uint64_t> given;  // Address, size.
        for (int step = 0; step < 3000; ++step) {
            const std::uint64_t what = random() % 100;
            if (what < 52) {
                const std::uint64_t size_bytes = random() % 10 == 0 ? 1 + random() % (40 * mib) : 1 + random() % (4 * mib >> random() % 12);
                const auto made = memory.pool.allocate(size_bytes, random() % 3);
                if (!made) continue;
                CHECK(*made % 512 == 0);
                const auto next = given.lower_bound(*made);
                if (next != given.end()) REQUIRE(*made + size_bytes <= next->first);
                if (next != given.begin()) REQUIRE(std::prev(next)->first + std::prev(next)->second <= *made);
                const auto segment = std::prev(memory.segments.upper_bound(*made));
                REQUIRE(*made + size_bytes <= segment->first + segment->second);
                given[*made] = size_bytes;
            } else if (what < 99 && !given.empty()) {
                const auto gone = std::next(given.begin(), static_cast<long>(random() % given.size()));
                REQUIRE(memory.pool.free(gone->first));
                given.erase(gone);
            } else {
                (void)memory.pool.trim();
            }
            std::uint64_t wanted_bytes = 0;
            for (const auto& [address, size_bytes] : given) wanted_bytes += size_bytes;
            REQUIRE(memory.pool.held_bytes() == memory.taken_bytes);
            REQUIRE(memory.pool.used_bytes() >= wanted_bytes);
            REQUIRE(memory.pool.used_bytes() <= memory.pool.held_bytes());
        }
        for (const auto& [address, size_bytes] : given) REQUIRE(memory.pool.free(address));
        (void)memory.pool.trim();
        CHECK(memory.taken_bytes == 0);
        CHECK(memory.pool.used_bytes() == 0);
    }
}
