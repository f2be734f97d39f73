/// Which piece of memory a request gets: what was given back is kept for the next request on the same stream.
///
/// Reuse needs no waiting, for a stream does its work in order: whoever gets a piece uses it after what was begun before on that stream. So
/// a piece is only ever given to the stream that it was made for. It comes out of a segment, which is what the daemon gives: small requests
/// share segments of 2 MiB, middling ones of 20 MiB, large ones have their own. (The sizes are those of PyTorch's own allocator, whose
/// users' habits they suit.) Not synchronised; knows no GPU and no daemon.
///
/// Invariants
/// 1. Pieces of a segment lie side by side from its begin to its end, and no two free ones are neighbours.
/// 2. A piece in use belongs to one request.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "client/vramd.hpp"

namespace vramd::torch {
using Stream = std::uintptr_t;

class Pool {
public:
    /// Gives a segment of so many bytes: its address, a multiple of 2 MiB, whose bytes nobody else has.
    using Grow = std::function<client::Result<std::uint64_t>(std::uint64_t size_bytes)>;
    /// Takes a segment back. Called when nothing of it is in use; the work that was begun on it may not be done.
    using GiveBack = std::function<void(std::uint64_t address)>;
    Pool(Grow grow, GiveBack give_back) : grow_(std::move(grow)), give_back_(std::move(give_back)) {}

    /// An address, a multiple of 512, of at least `size_bytes` (≥ 1). What nobody uses is given back when there is no more to be had
    /// otherwise. Errors: those of `Grow`.
    [[nodiscard]] client::Result<std::uint64_t> allocate(std::uint64_t size_bytes, Stream stream);
    /// False: it is no address that was given.
    [[nodiscard]] bool free(std::uint64_t address);
    /// Gives back every segment of which nothing is in use; how many bytes that were.
    std::uint64_t trim();

    [[nodiscard]] std::uint64_t used_bytes() const { return used_bytes_; }  ///< Of pieces in use.
    [[nodiscard]] std::uint64_t held_bytes() const { return held_bytes_; }  ///< Of segments.

private:
    struct Piece {
        std::uint64_t size_bytes = 0;
        std::uint64_t segment = 0;  ///< Its address.
        bool used = false;
    };
    struct Segment {
        std::uint64_t size_bytes = 0;
        Stream stream = 0;
        bool small = false;
    };
    /// Small or not, stream, size, address: the first one that is large enough is the best fit.
    using Free = std::tuple<bool, Stream, std::uint64_t, std::uint64_t>;
    using Pieces = std::map<std::uint64_t, Piece>;

    [[nodiscard]] Free key_of(const Pieces::value_type& piece) const;
    [[nodiscard]] client::Result<Pieces::iterator> make_segment(std::uint64_t size_bytes, Stream stream, bool small);
    std::uint64_t use(Pieces::iterator piece, std::uint64_t size_bytes);

    Grow grow_;
    GiveBack give_back_;
    Pieces pieces_;  ///< By address.
    std::map<std::uint64_t, Segment> segments_;
    std::set<Free> free_;
    std::uint64_t used_bytes_ = 0;
    std::uint64_t held_bytes_ = 0;
};
}  // namespace vramd::torch
