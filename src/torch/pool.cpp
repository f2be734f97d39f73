#include "torch/pool.hpp"

#include <vector>

namespace vramd::torch {
namespace {
constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t piece_step_bytes = 512;
constexpr std::uint64_t small_max_bytes = mib;
constexpr std::uint64_t small_segment_bytes = 2 * mib;
constexpr std::uint64_t middling_max_bytes = 10 * mib;
constexpr std::uint64_t middling_segment_bytes = 20 * mib;
constexpr std::uint64_t large_step_bytes = 2 * mib;

std::uint64_t rounded(std::uint64_t bytes, std::uint64_t step) { return (bytes + step - 1) / step * step; }

std::uint64_t segment_bytes(std::uint64_t size_bytes) {
    if (size_bytes <= small_max_bytes) return small_segment_bytes;
    if (size_bytes < middling_max_bytes) return middling_segment_bytes;
    return rounded(size_bytes, large_step_bytes);
}
}  // namespace

Pool::Free Pool::key_of(const Pieces::value_type& piece) const {
    const Segment& segment = segments_.at(piece.second.segment);
    return {segment.small, segment.stream, piece.second.size_bytes, piece.first};
}

client::Result<std::uint64_t> Pool::allocate(std::uint64_t size_bytes, Stream stream) {
    const std::uint64_t wanted = rounded(size_bytes, piece_step_bytes);
    const bool small = wanted <= small_max_bytes;
    const auto best = free_.lower_bound({small, stream, wanted, 0});
    if (best != free_.end() && std::get<0>(*best) == small && std::get<1>(*best) == stream)
        return use(pieces_.find(std::get<3>(*best)), wanted);
    auto made = make_segment(segment_bytes(wanted), stream, small);
    if (!made && trim() > 0) made = make_segment(segment_bytes(wanted), stream, small);
    if (!made) return made.error();
    return use(*made, wanted);
}

client::Result<Pool::Pieces::iterator> Pool::make_segment(std::uint64_t size_bytes, Stream stream, bool small) {
    const auto address = grow_(size_bytes);
    if (!address) return address.error();
    segments_[*address] = {size_bytes, stream, small};
    held_bytes_ += size_bytes;
    const auto piece = pieces_.emplace(*address, Piece{size_bytes, *address, false}).first;
    free_.insert(key_of(*piece));
    return piece;
}

std::uint64_t Pool::use(Pieces::iterator piece, std::uint64_t size_bytes) {
    free_.erase(key_of(*piece));
    const std::uint64_t rest = piece->second.size_bytes - size_bytes;
    const bool small = segments_.at(piece->second.segment).small;
    // What is left of a large piece is kept with it unless it is worth a request of that kind.
    if (small ? rest >= piece_step_bytes : rest > small_max_bytes) {
        piece->second.size_bytes = size_bytes;
        free_.insert(key_of(*pieces_.emplace(piece->first + size_bytes, Piece{rest, piece->second.segment, false}).first));
    }
    piece->second.used = true;
    used_bytes_ += piece->second.size_bytes;
    return piece->first;
}

bool Pool::free(std::uint64_t address) {
    auto piece = pieces_.find(address);
    if (piece == pieces_.end() || !piece->second.used) return false;
    piece->second.used = false;
    used_bytes_ -= piece->second.size_bytes;
    // Of two free neighbours the first takes in the second.
    const auto take_in = [this](Pieces::iterator first, Pieces::iterator second) {
        first->second.size_bytes += second->second.size_bytes;
        pieces_.erase(second);
        return first;
    };
    const auto joins = [&](Pieces::iterator other) { return !other->second.used && other->second.segment == piece->second.segment; };
    if (const auto next = std::next(piece); next != pieces_.end() && joins(next)) {
        free_.erase(key_of(*next));
        piece = take_in(piece, next);
    }
    if (piece != pieces_.begin() && joins(std::prev(piece))) {
        free_.erase(key_of(*std::prev(piece)));
        piece = take_in(std::prev(piece), piece);
    }
    free_.insert(key_of(*piece));
    return true;
}

std::uint64_t Pool::trim() {
    std::vector<std::uint64_t> empty;
    for (const auto& [address, segment] : segments_)
        if (const auto piece = pieces_.find(address); !piece->second.used && piece->second.size_bytes == segment.size_bytes)
            empty.push_back(address);
    std::uint64_t given_bytes = 0;
    for (const std::uint64_t address : empty) {
        free_.erase(key_of(*pieces_.find(address)));
        pieces_.erase(address);
        given_bytes += segments_.at(address).size_bytes;
        segments_.erase(address);
        give_back_(address);
    }
    held_bytes_ -= given_bytes;
    return given_bytes;
}
}  // namespace vramd::torch
