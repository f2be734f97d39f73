/// A transfer that runs: what its books do not say. Room-internal.
#pragma once
#include "transfer/engine.hpp"

namespace vramd::engine {
struct LiveTransfer {
    transfer::Ticket ticket = 0;
    u64 begun_ns = 0;
    u64 attempts = 1;
    bool stopping = false;
    u64 sample_ns = 0;  ///< Of the last look at its progress.
    u64 sample_bytes = 0;
    u64 current_bytes_per_second = 0;
    u64 peak_bytes_per_second = 0;
};
}  // namespace vramd::engine
