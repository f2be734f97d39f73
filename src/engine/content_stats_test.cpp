#include "engine/content_stats.hpp"

#include <doctest/doctest.h>

#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
ContentStats stats_of(std::span<const std::byte> bytes) {
    ContentFold fold;
    for (u64 at = 0; at < bytes.size(); at += ContentFold::piece_bytes)
        fold.take(bytes.subspan(at, std::min(ContentFold::piece_bytes, bytes.size() - at)));
    return fold.finish();
}
}  // namespace

TEST_CASE("bytes that are all zero have one value, no entropy and the checksum that a transfer tells") {
    const std::vector<std::byte> bytes(ContentFold::piece_bytes * 2 + 5);
    const ContentStats told = stats_of(bytes);
    CHECK(told.scanned_bytes == bytes.size());
    CHECK(told.zero_bytes == bytes.size());
    CHECK(told.distinct_values == 1);
    CHECK(told.entropy_hundredths == 0);
    CHECK(told.checksum == transfer::chunked_checksum(bytes));
}

TEST_CASE("bytes of all values, each as often as the others, have eight bits of entropy") {
    std::vector<std::byte> bytes(ContentFold::piece_bytes + 256);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    const ContentStats told = stats_of(bytes);
    CHECK(told.distinct_values == 256);
    CHECK(told.zero_bytes == bytes.size() / 256);
    CHECK(told.entropy_hundredths == 800);
    CHECK(told.checksum == transfer::chunked_checksum(bytes));
}

TEST_CASE("two values, one three times as frequent, have the entropy that the formula gives") {
    std::vector<std::byte> bytes(4000);
    for (std::size_t i = 0; i < bytes.size(); i += 4) bytes[i] = std::byte{7};
    const ContentStats told = stats_of(bytes);
    CHECK(told.zero_bytes == 3000);
    CHECK(told.entropy_hundredths == 81);  // 0.25 × 2 + 0.75 × 0.415
}
