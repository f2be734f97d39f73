#include <algorithm>
#include <numeric>

#include "cli/top_frame.hpp"

namespace vramd::cli::top {
std::array<std::size_t, 5> shares_of(const Parts& parts, std::size_t cells) {
    const std::array<u64, 5> bytes = {parts.live_bytes, parts.zombie_bytes, parts.reserved_bytes, parts.others_bytes, parts.free_bytes};
    const u128 whole = std::accumulate(bytes.begin(), bytes.end(), u128{0});
    std::array<std::size_t, 5> shares{};
    if (whole == 0) {
        shares[4] = cells;
        return shares;
    }
    std::array<u128, 5> rests{};
    std::size_t left = cells;
    for (std::size_t i = 0; i < 5; ++i) {
        shares[i] = static_cast<std::size_t>(u128{bytes[i]} * cells / whole);
        rests[i] = u128{bytes[i]} * cells % whole;
        left -= shares[i];
    }
    for (; left > 0; --left) {  // Rounded down all of them: what is left goes to the largest remainders.
        const auto largest = static_cast<std::size_t>(std::max_element(rests.begin(), rests.end()) - rests.begin());
        ++shares[largest];
        rests[largest] = 0;
    }
    for (std::size_t i = 0; i < 5 && cells >= 5; ++i) {
        if (bytes[i] == 0 || shares[i] > 0) continue;
        --*std::max_element(shares.begin(), shares.end());  // Something is not nothing.
        shares[i] = 1;
    }
    return shares;
}
}  // namespace vramd::cli::top
