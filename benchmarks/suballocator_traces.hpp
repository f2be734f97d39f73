/// The request streams that every published figure of the sub-allocator refers to, each a function of its seed.
///
///  a  one stream of sizes spread evenly over the powers of two from 256 B to 64 MiB, at 80 % of 16 GiB
///  b  whole models: hundreds of tensors each, come and go together in 16 GiB
///  c  many small ranges (256 B to 4 KiB), a fixed number alive
///  d  how full the space can be kept: first failure, and lasting pressure at the failure edge
#pragma once
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "base/types.hpp"
#include "suballocator_measure.hpp"
#include "suballocator_peers.hpp"

namespace vramd::bench {
class Draw {
public:
    explicit Draw(u64 seed) : engine_(seed) {}
    double unit() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
    u64 index(u64 count) { return engine_() % count; }
    u64 log_uniform(u64 low, u64 high) {
        const double a = std::log(static_cast<double>(low));
        return static_cast<u64>(std::exp(a + unit() * (std::log(static_cast<double>(high)) - a)));
    }

private:
    std::mt19937_64 engine_;
};

inline u32 in_granules(u64 bytes) { return static_cast<u32>(div_ceil(bytes == 0 ? 1 : bytes, granule)); }
inline constexpr u64 space_granules = 16 * gib / granule;

struct SpreadSizes {
    static constexpr const char* name = "a";
    static u32 next(Draw& draw) { return in_granules(draw.log_uniform(256, 64 * mib)); }
};
struct TensorSizes {
    static constexpr const char* name = "b";
    static u32 next(Draw& draw) {
        const double kind = draw.unit();
        if (kind < .64) return in_granules(draw.log_uniform(kib, 64 * kib));
        if (kind < .94) return in_granules(draw.log_uniform(mib, 64 * mib));
        return in_granules(draw.log_uniform(64 * mib, 512 * mib));
    }
};

/// The ranges alive in one run, with what they sum to.
template <class Allocator>
class Population {
public:
    Population(Allocator& allocator, u64 seed) : allocator_(allocator), draw_(seed) {}
    Draw& draw() { return draw_; }
    [[nodiscard]] u64 granules() const { return granules_; }
    [[nodiscard]] u64 count() const { return live_.size(); }
    bool add(u32 size) {
        const auto handle = allocator_.allocate(size);
        if (!handle) return false;
        live_.push_back({handle, size});
        granules_ += size;
        return true;
    }
    void drop_random() {
        const u64 i = draw_.index(live_.size());
        allocator_.free(live_[i].handle);
        granules_ -= live_[i].size;
        live_[i] = live_.back();
        live_.pop_back();
    }

private:
    struct Live {
        typename Allocator::Handle handle;
        u32 size;
    };
    Allocator& allocator_;
    Draw draw_;
    std::vector<Live> live_;
    u64 granules_ = 0;
};

/// One step of trace a and of the churn before d: towards 80 % and around it.
template <class Sizes, class Allocator>
void churn_step(Population<Allocator>& population) {
    if (population.granules() < space_granules / 10 * 8 && population.add(Sizes::next(population.draw()))) return;
    population.drop_random();
}
template <class Sizes, class Allocator>
void fill_to_80(Population<Allocator>& population) {
    while (population.granules() < space_granules / 10 * 8 && population.add(Sizes::next(population.draw()))) {
    }
}

/// Trace c: the capacity for `count` live ranges, and one range's size.
inline u64 small_capacity(u64 count) { return 4 * gib / granule * count / 1'000'000; }
inline u32 small_size(Draw& draw) { return in_granules(256 + static_cast<u64>(draw.unit() * 3840)); }

/// The models of trace b, drawn once and shared by all allocators.
inline std::vector<std::vector<u32>> draw_models(u64 count) {
    Draw draw(42);
    std::vector<std::vector<u32>> models(count);
    constexpr u64 most = 6 * gib / granule;
    for (auto& model : models) {
        const auto wanted = static_cast<u64>((1 + 5 * draw.unit()) * static_cast<double>(gib)) / granule;
        u64 sum = 0;
        while ((sum < wanted || model.size() < 100) && model.size() < 1000) {
            u32 size = TensorSizes::next(draw);
            if (sum + size > most) size = in_granules(draw.log_uniform(kib, 64 * kib));
            sum += size;
            model.push_back(size);
        }
    }
    return models;
}

struct ModelRun {
    double ns = 0;           ///< Mean of single calls, timer taken off.
    double utilisation = 0;  ///< Mean at the failures.
};
/// Trace b: models come until one does not fit, then a random one goes.
template <class Allocator>
ModelRun run_models(const std::vector<std::vector<u32>>& models, TickScale scale) {
    Allocator allocator(space_granules);
    Draw evict(43);
    Samples samples(scale);
    struct Held {
        std::vector<typename Allocator::Handle> handles;
        u64 granules = 0;
    };
    std::vector<Held> held;
    u64 live = 0;
    double shares = 0;
    u64 failures = 0;
    for (const auto& model : models) {
        Held now;
        for (const u32 size : model) {
            for (;;) {
                const u64 begin = ticks();
                const auto handle = allocator.allocate(size);
                samples.add(ticks() - begin);
                if (handle) {
                    now.handles.push_back(handle);
                    break;
                }
                shares += static_cast<double>(live) / static_cast<double>(space_granules);
                ++failures;
                if (held.empty()) break;
                const u64 victim = evict.index(held.size());
                for (const auto gone : held[victim].handles) {
                    const u64 start = ticks();
                    allocator.free(gone);
                    samples.add(ticks() - start);
                }
                live -= held[victim].granules;
                held[victim] = std::move(held.back());
                held.pop_back();
            }
            now.granules += size;
            live += size;
        }
        held.push_back(std::move(now));
    }
    return {samples.mean_ns(), failures == 0 ? 1 : shares / static_cast<double>(failures)};
}

/// How full the space was, as shares of its capacity.
struct Density {
    double first_failure = 0;
    double saturated = 0;
};
template <class Sizes, class Allocator>
Density run_density(u64 seed, u64 churn, u64 saturated) {
    Allocator allocator(space_granules);
    Population<Allocator> population(allocator, seed);
    fill_to_80<Sizes>(population);
    for (u64 i = 0; i < churn; ++i) churn_step<Sizes>(population);
    while (population.add(Sizes::next(population.draw()))) {
    }
    Density density;
    density.first_failure = static_cast<double>(population.granules()) / static_cast<double>(space_granules);
    double sum = 0;
    u64 failures = 0;
    for (u64 i = 0; i < saturated; ++i) {
        const u32 size = Sizes::next(population.draw());
        while (!population.add(size)) {
            sum += static_cast<double>(population.granules()) / static_cast<double>(space_granules);
            ++failures;
            population.drop_random();
        }
    }
    density.saturated = sum / static_cast<double>(failures);
    return density;
}
}  // namespace vramd::bench
