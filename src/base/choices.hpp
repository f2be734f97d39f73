/// One source of decisions for property tests, simulations, fuzzers and exhaustive matrices.
///
/// A test asks `below(n)`; the answers come from a seed, or from a recorded list (a fuzzer's bytes, a shrunk failure). What was
/// answered is recorded, so that a failing run is a list of numbers that can be replayed, and shrunk by deleting or lowering them.
#pragma once
#include <functional>
#include <vector>

#include "base/random.hpp"

namespace vramd {
/// Not synchronised; one per run.
class Choices {
public:
    /// Answers drawn from a seed, without end.
    [[nodiscard]] static Choices from_seed(u64 seed) { return Choices(SeededRandom(seed), {}, Mode::seeded); }
    /// Answers taken from a list; after its end every answer is 0.
    [[nodiscard]] static Choices replay(std::vector<u64> list) { return Choices(SeededRandom(0), std::move(list), Mode::listed); }

    /// A number in [0, bound); bound 0 answers 0.
    u64 below(u64 bound) {
        u64 answer = 0;
        if (mode_ == Mode::seeded)
            answer = bound == 0 ? 0 : random_.below(bound);
        else if (taken_.size() < list_.size())
            answer = bound == 0 ? 0 : list_[taken_.size()] % bound;
        taken_.push_back(answer);
        return answer;
    }
    /// True once in `n` on average.
    bool one_in(u64 n) { return below(n) == n - 1; }
    /// True when a listed source has no answers left; never for a seed.
    [[nodiscard]] bool exhausted() const { return mode_ == Mode::listed && taken_.size() >= list_.size(); }
    [[nodiscard]] const std::vector<u64>& taken() const { return taken_; }

private:
    enum class Mode : u8 { seeded, listed };
    Choices(SeededRandom random, std::vector<u64> list, Mode mode) : random_(random), list_(std::move(list)), mode_(mode) {}
    SeededRandom random_;
    std::vector<u64> list_;
    std::vector<u64> taken_;
    Mode mode_;
};

/// The shortest list found for which `fails` still answers true, starting from one that fails: deletes runs of choices, then lowers
/// single ones. `fails` must be repeatable. Bounded by `attempts_max` calls of it.
[[nodiscard]] std::vector<u64> shrink(std::vector<u64> failing, const std::function<bool(const std::vector<u64>&)>& fails, u64 attempts_max);
}  // namespace vramd
