/// What is given up on its way from the lock to its answer: a free, an unload, a model that leaves the cache.
#pragma once
#include <set>

#include "core/decide.hpp"
#include "engine/engine.hpp"

namespace vramd::engine {
/// What is to be told once the lock is let go.
using Told = std::vector<std::move_only_function<void()>>;

struct Giving {
    u64 begun_ns = 0;
    Told told{};
    Freed freed{};
    Result<core::Decision> decision{};
};
/// An answer that waits until these blocks are back.
struct WaitingRelease {
    std::set<BlockKey> blocks;
    u16 device = 0;
    Giving giving;
    Done<Freed> done;
};
}  // namespace vramd::engine
