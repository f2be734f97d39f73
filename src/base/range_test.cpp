#include "base/range.hpp"

#include <doctest/doctest.h>

#include <cstdint>

using namespace vramd;

namespace {
constexpr u64 edge_values[] = {0,
                               1,
                               255,
                               256,
                               4096,
                               UINT64_C(1) << 31,
                               (UINT64_C(1) << 31) - 1,
                               UINT64_C(1) << 32,
                               (UINT64_C(1) << 53) + 1,
                               UINT64_C(1) << 63,
                               (UINT64_C(1) << 63) - 1,
                               UINT64_MAX - 1,
                               UINT64_MAX};
}

TEST_CASE("a range whose end would wrap past 2^64 is refused and says how much fits") {
    const auto range = Range::within(4096, 4000, UINT64_MAX);
    REQUIRE(!range.has_value());
    CHECK(range.error().field == "sizeBytes");
    CHECK(range.error().limit == 96);
}

TEST_CASE("every combination of edge values agrees with 128-bit arithmetic") {
    for (const u64 space : edge_values)
        for (const u64 offset : edge_values)
            for (const u64 size : edge_values) CHECK(Range::within(space, offset, size).has_value() == (u128{offset} + size <= space));
}

TEST_CASE("a refused range tells a person the value and the limit") {
    const auto range = Range::within(100, 101, 0);
    REQUIRE(!range.has_value());
    CHECK(describe(range.error()) == "offsetBytes is 101; the limit is 100.");
}
