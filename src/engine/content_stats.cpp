#include "engine/content_stats.hpp"

#include <algorithm>
#include <cmath>

#include "base/checksum.hpp"
#include "engine/runner.hpp"

namespace vramd::engine {
void ContentFold::take(std::span<const std::byte> piece) {
    // Four tables, else bytes that repeat wait for the count before.
    std::array<std::array<u32, 256>, 4> counts{};
    std::size_t at = 0;
    for (; at + 4 <= piece.size(); at += 4)
        for (std::size_t lane = 0; lane < 4; ++lane) counts[lane][static_cast<u8>(piece[at + lane])] += 1;
    for (; at < piece.size(); ++at) counts[0][static_cast<u8>(piece[at])] += 1;
    for (const auto& lane : counts)
        for (std::size_t value = 0; value < lane.size(); ++value) counts_[value] += lane[value];
    sums_.push_back(checksum(piece));
}

ContentStats ContentFold::finish() const {
    ContentStats told;
    for (const u64 count : counts_) told.scanned_bytes += count;
    told.zero_bytes = counts_[0];
    told.checksum = checksum(std::as_bytes(std::span(sums_)));
    double bits = 0;
    for (const u64 count : counts_) {
        if (count == 0) continue;
        told.distinct_values += 1;
        const double share = static_cast<double>(count) / static_cast<double>(told.scanned_bytes);
        bits -= share * std::log2(share);
    }
    told.entropy_hundredths = static_cast<u64>(std::lround(std::clamp(bits, 0.0, 8.0) * 100));
    return told;
}

/// A held allocation, on its way through the pieces.
struct Runner::Scan {
    std::unique_ptr<Content> content;
    u64 at_bytes = 0;
    u64 begun_ns = 0;
    ContentFold fold;
    Done<ContentStats> done;
};

void Runner::content_stats(const Caller& caller, AllocationId id, Done<ContentStats> done) {
    auto content = hold_content(caller, id, Access::read);
    if (!content) return done(std::unexpected(content.error()));
    auto scan = std::make_shared<Scan>();
    scan->content = *std::move(content);
    scan->begun_ns = ports_.clock().monotonic_ns;
    scan->done = std::move(done);
    ports_.executor->post([this, scan] { scan_next(scan); });
}

/// Some pieces; then others on the executor have their turn.
void Runner::scan_next(std::shared_ptr<Scan> scan) {
    constexpr u64 pieces_in_a_row = 16;
    for (u64 i = 0; i < pieces_in_a_row && scan->at_bytes < scan->content->size_bytes(); ++i) {
        const auto piece = scan->content->view(scan->at_bytes, ContentFold::piece_bytes);
        if (!piece) {
            scan->content.reset();
            return scan->done(std::unexpected(piece.error()));
        }
        scan->fold.take(*piece);
        scan->at_bytes += piece->size();
    }
    if (scan->at_bytes < scan->content->size_bytes()) return ports_.executor->post([this, scan] { scan_next(scan); });
    ContentStats told = scan->fold.finish();
    told.duration_ns = ports_.clock().monotonic_ns - scan->begun_ns;
    scan->content.reset();  // Before it is told: who is told may free it.
    scan->done(told);
}
}  // namespace vramd::engine
