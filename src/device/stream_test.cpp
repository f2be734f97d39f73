#include "device/stream.hpp"

#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "base/random.hpp"

namespace vramd::device {
namespace {
constexpr u64 guard_bytes = 128;
constexpr std::byte guard{0xEE};

std::vector<u64> edge_sizes() {
    std::vector<u64> sizes = {0, 1, 63, 64, 65, 4096};
    for (const u64 around : {stream_min_bytes, stream_min_bytes + 4 * 4096, u64{2} << 20})
        for (const u64 size : {around - 65, around - 1, around, around + 1, around + 63, around + 64}) sizes.push_back(size);
    return sizes;
}

bool all_are(std::span<const std::byte> bytes, std::byte value) {
    for (const std::byte b : bytes)
        if (b != value) return false;
    return true;
}
}  // namespace

TEST_CASE("a fill sets each byte of its range and none beside it, at every size and alignment, to zero and to another value") {
    for (const u64 size : edge_sizes())
        for (const u64 shift : {0, 1, 15, 16, 63})
            for (const std::byte value : {std::byte{0}, std::byte{0x9A}}) {
                std::vector<std::byte> memory(guard_bytes + shift + size + guard_bytes, guard);
                const std::span all(memory);
                stream_fill(all.subspan(guard_bytes + shift, size), value);
                CHECK(all_are(all.first(guard_bytes + shift), guard));
                CHECK(all_are(all.subspan(guard_bytes + shift, size), value));
                CHECK(all_are(all.last(guard_bytes), guard));
            }
}

TEST_CASE("every way of filling that this processor has fills its lines and none beside them, with each value that it can") {
    for (const LineFill& way : line_fills())
        for (const u64 lines : {0, 1, 2, 65})
            for (const std::byte value : {std::byte{0}, std::byte{0x01}, std::byte{0xFF}}) {
                if (way.values == LineFill::Values::zero && value != std::byte{0}) continue;
                CAPTURE(way.name);
                alignas(line_bytes) std::array<std::byte, 67 * line_bytes> memory;
                memory.fill(guard);
                const std::span all(memory);
                way.fill(all.subspan(line_bytes).data(), lines * line_bytes, value);
                CHECK(all_are(all.first(line_bytes), guard));
                CHECK(all_are(all.subspan(line_bytes, lines * line_bytes), value));
                CHECK(all_are(all.subspan((lines + 1) * line_bytes), guard));
            }
}

TEST_CASE("a copy is equal to its source and touches nothing beside its target, at every size and alignment") {
    SeededRandom random(1);
    std::vector<std::byte> source((u64{2} << 20) + 4096);
    for (std::byte& b : source) b = static_cast<std::byte>(random.next());
    for (const u64 size : edge_sizes())
        for (const u64 shift : {0, 1, 16, 63}) {
            std::vector<std::byte> memory(guard_bytes + shift + size + guard_bytes, guard);
            const std::span all(memory);
            const auto from = std::span<const std::byte>(source).subspan(shift * 3, size);
            stream_copy(all.subspan(guard_bytes + shift, size), from);
            CHECK(all_are(all.first(guard_bytes + shift), guard));
            CHECK(std::equal(from.begin(), from.end(), all.begin() + static_cast<std::ptrdiff_t>(guard_bytes + shift)));
            CHECK(all_are(all.last(guard_bytes), guard));
        }
}
}  // namespace vramd::device
