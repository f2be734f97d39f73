/// What bytes are, folded piece by piece: how many are zero, how many values occur, how evenly, and their checksum.
///
/// The entropy is Shannon's of the values by their frequency, in bits per byte: 0 where all bytes are equal, 8 where all 256 values are
/// equally frequent. It tells weights from padding and from text, not more: order is not looked at.
/// Invariant: the same bytes give the same figures, however they are cut into pieces of `piece_bytes`.
#pragma once
#include <array>
#include <span>
#include <vector>

#include "engine/insight.hpp"
#include "transfer/engine.hpp"

namespace vramd::engine {
class ContentFold {
public:
    /// What `take` wants at a time; the last piece may be shorter.
    static constexpr u64 piece_bytes = transfer::summed_piece_bytes;
    void take(std::span<const std::byte> piece);
    /// `duration_ns` is the caller's to set.
    [[nodiscard]] ContentStats finish() const;

private:
    std::array<u64, 256> counts_{};
    std::vector<u64> sums_;
};
}  // namespace vramd::engine
