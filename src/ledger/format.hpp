/// The ledger's bytes as C++ types: the tables of docs/ledger.md, and nothing else. Room-internal.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <string_view>

#include "base/checksum.hpp"
#include "base/types.hpp"

namespace vramd::ledger {
static_assert(std::endian::native == std::endian::little, "docs/ledger.md stores little-endian numbers as they lie in memory");

inline constexpr u32 format_version = 3;
inline constexpr u64 segment_magic = 0x31474c444d415256;   // "VRAMDLG1"
inline constexpr u64 snapshot_magic = 0x314e53444d415256;  // "VRAMDSN1"
inline constexpr u64 segment_head_bytes = 512;
inline constexpr u64 segment_bytes_min = 16 * kib;
inline constexpr u64 segment_bytes_max = gib;
using LifeName = std::array<char, 64>;

struct SegmentHead {
    u64 magic = segment_magic;
    u32 version = format_version;
    u32 head_bytes = segment_head_bytes;
    u64 segment_bytes = 0;
    u64 first_sequence = 0;
    u64 previous_sequence = 0;
    u64 life_first_sequence = 0;
    u64 wall_ns = 0;
    LifeName life{};
    u64 sum = 0;
    u64 counted_sequence = 0;  ///< Stored after each commit; outside the sum.
};
static_assert(sizeof(SegmentHead) == 136 && offsetof(SegmentHead, sum) == 120 && offsetof(SegmentHead, counted_sequence) == 128);

struct SnapshotHead {
    u64 magic = snapshot_magic;
    u32 version = format_version;
    u32 head_bytes = 128;
    u64 sequence = 0;
    u64 wall_ns = 0;
    u64 state_bytes = 0;
    LifeName life{};
    u64 state_sum = 0;
    u64 zero = 0;
    u64 sum = 0;
};
static_assert(sizeof(SnapshotHead) == 128 && offsetof(SnapshotHead, sum) == 120);

struct RecordHead {
    u64 commit = 0;
    u64 first_sequence = 0;
    u64 wall_ns = 0;
    u32 count = 0;
    u32 payload_bytes = 0;
};
static_assert(sizeof(RecordHead) == 32);
inline constexpr u64 commit_bytes = sizeof(u64);

/// A whole record's bytes, for a payload below 2^32.
[[nodiscard]] constexpr u64 record_bytes(u64 payload_bytes) { return sizeof(RecordHead) + round_up(payload_bytes, 8); }
/// The largest record of a segment, `end` included.
[[nodiscard]] constexpr u64 record_bytes_max(u64 segment_bytes) { return segment_bytes / 2; }

/// A head's sum: of everything before its own field, which lies at byte 120 in both kinds.
template <class Head>
[[nodiscard]] u64 sum_of_head(const Head& head) {
    return checksum(std::as_bytes(std::span(&head, 1)).first(offsetof(Head, sum)));
}

/// A record's commit: never 0, for 0 says that nothing is there.
[[nodiscard]] inline u64 commit_of(std::span<const std::byte> body, u64 seed) { return std::max<u64>(checksum(body, seed), 1); }

/// The life as it lies in a head; the caller has checked that it is at most 63 bytes.
[[nodiscard]] inline LifeName life_name(std::string_view life) {
    LifeName name{};
    std::copy_n(life.begin(), std::min(life.size(), name.size() - 1), name.begin());
    return name;
}
}  // namespace vramd::ledger
