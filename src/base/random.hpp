/// Random numbers: unguessable ones from the kernel, repeatable ones from a seed.
#pragma once
#include "base/types.hpp"

namespace vramd {
/// 64 bits from getrandom(2); for ids and keys. Aborts if the kernel cannot give them (it then cannot be trusted with ids at all).
[[nodiscard]] u64 random_secret();

/// A small repeatable generator (splitmix64, public domain, Sebastiano Vigna); for tests, simulations and benchmarks, never for ids.
class SeededRandom {
public:
    explicit constexpr SeededRandom(u64 seed) : state_(seed) {}
    constexpr u64 next() {
        u64 z = (state_ += 0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    /// A number in [0, bound), bound > 0; the bias below 2^-32 for bounds below 2^32 does not matter to a test.
    constexpr u64 below(u64 bound) { return static_cast<u64>((u128{next()} * bound) >> 64); }

private:
    u64 state_;
};
}  // namespace vramd
