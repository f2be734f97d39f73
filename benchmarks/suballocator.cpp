// links: core/memory
/// The sub-allocator on the traces that its published figures refer to, beside peers built here and beside the figures aimed at.
///
/// bench_suballocator           the whole run, under 3 minutes
/// bench_suballocator --quick   under 15 s, the same tables from less work
#include <array>
#include <cstdlib>
#include <functional>
#include <string_view>

#include "suballocator_measure.hpp"
#include "suballocator_traces.hpp"

namespace vramd::bench {
namespace {
struct Effort {
    u64 rounds = 5;  ///< Interleaved; the median is told.
    u64 operations = 1'000'000;
    u64 seeds = 10;
    u64 churn = 100'000;
    u64 models = 3000;
    u64 fills = 5;
    bool million = true;
};

/// ns an operation on trace a, the driver included.
template <class Allocator>
double time_spread(const Effort& effort) {
    Allocator allocator(space_granules);
    Population<Allocator> population(allocator, 7);
    fill_to_80<SpreadSizes>(population);
    const double begin = cpu_ns();
    for (u64 i = 0; i < effort.operations; ++i) churn_step<SpreadSizes>(population);
    return (cpu_ns() - begin) / static_cast<double>(effort.operations);
}

/// ns an operation on trace c with `count` live ranges, the driver included.
template <class Allocator>
double time_small(u64 count, u64 operations) {
    Allocator allocator(small_capacity(count));
    Population<Allocator> population(allocator, 7);
    for (u64 i = 0; i < count; ++i) (void)population.add(small_size(population.draw()));
    const double begin = cpu_ns();
    for (u64 i = 0; i < operations; i += 2) {
        population.drop_random();
        (void)population.add(small_size(population.draw()));
    }
    return (cpu_ns() - begin) / static_cast<double>(operations);
}

template <class... Allocators, class Measure>
std::array<double, sizeof...(Allocators)> medians(u64 rounds, Measure&& measure) {
    std::array<std::vector<double>, sizeof...(Allocators)> values;
    for (u64 round = 0; round < rounds; ++round) {
        u64 i = 0;
        (values[i++].push_back(measure.template operator()<Allocators>()), ...);
    }
    std::array<double, sizeof...(Allocators)> result{};
    for (u64 i = 0; i < values.size(); ++i) result[i] = median(values[i]);
    return result;
}

void speed(const Effort& effort, TickScale scale) {
    std::printf("\nSpeed, ns of CPU an operation (median of %llu interleaved rounds; the driver is included)\n",
                static_cast<unsigned long long>(effort.rounds));
    std::printf("%-22s %8s %8s %8s %8s %8s   %s\n", "trace", "driver", "slots", "vramd", "O(1)", "rb-best",
                "vramd/O(1) with and without the driver");
    const auto row = [](const char* trace, const std::array<double, 5>& ns, const char* aim) {
        std::printf("%-22s %8.1f %8.1f %8.1f %8.1f %8.1f   %.2f  %.2f   %s\n", trace, ns[0], ns[1], ns[2], ns[3], ns[4], ns[2] / ns[3],
                    (ns[2] - ns[0]) / (ns[3] - ns[0]), aim);
    };
    row("a, ~2,500 live",
        medians<Driver, SlotList, Ours, GoodFit, BestFit>(effort.rounds, [&]<class A>() { return time_spread<A>(effort); }),
        "aim: vramd <= 129 (3 x 43); published first fit: 1312");
    for (const u64 count : {u64{1000}, u64{100'000}, u64{1'000'000}}) {
        if (count == 1'000'000 && !effort.million) continue;
        const std::string name = "c, " + std::to_string(count) + " live";
        const u64 operations = effort.operations * (count == 1000 ? 1 : 2);
        row(name.c_str(),
            medians<Driver, SlotList, Ours, GoodFit, BestFit>(effort.rounds, [&]<class A>() { return time_small<A>(count, operations); }),
            "");
    }
    const auto models = draw_models(effort.models);
    u64 tensors = 0;
    for (const auto& model : models) tensors += model.size();
    const auto ns = medians<Ours, GoodFit, BestFit>(effort.rounds, [&]<class A>() { return run_models<A>(models, scale).ns; });
    std::printf("%-22s %8s %8s %8.1f %8.1f %8.1f   %.2f   single calls; %zu models, %llu tensors\n", "b, models", "-", "-", ns[0], ns[1],
                ns[2], ns[0] / ns[1], models.size(), static_cast<unsigned long long>(tensors));
    std::printf("b, utilisation when a model does not fit: vramd %.3f, O(1) %.3f, rb-best %.3f (published: .907 to .921)\n",
                run_models<Ours>(models, scale).utilisation, run_models<GoodFit>(models, scale).utilisation,
                run_models<BestFit>(models, scale).utilisation);
}

template <class Allocator>
void print_percentiles(const char* trace, u64 live, u64 operations, TickScale scale) {
    Allocator allocator(live == 0 ? space_granules : small_capacity(live));
    Samples allocations(scale);
    Samples frees(scale);
    std::vector<std::pair<typename Allocator::Handle, u32>> ranges;
    Draw draw(7);
    u64 granules = 0;
    const auto next = [&] { return live == 0 ? SpreadSizes::next(draw) : small_size(draw); };
    const auto below = [&] { return live == 0 ? granules < space_granules / 10 * 8 : ranges.size() < live; };
    for (u64 i = 0, measured = 0; measured < operations; ++i) {
        const bool filled = measured > 0 || !below();
        if (below()) {
            const u32 size = next();
            const u64 begin = ticks();
            const auto handle = allocator.allocate(size);
            if (filled) allocations.add(ticks() - begin);
            if (handle) {
                ranges.emplace_back(handle, size);
                granules += size;
            }
        } else {
            const u64 victim = draw.index(ranges.size());
            const u64 begin = ticks();
            allocator.free(ranges[victim].first);
            frees.add(ticks() - begin);
            granules -= ranges[victim].second;
            ranges[victim] = ranges.back();
            ranges.pop_back();
        }
        if (filled) ++measured;
    }
    std::printf("%-16s %-20s %18s %18s\n", trace, Allocator::name, allocations.percentiles().c_str(), frees.percentiles().c_str());
}

void percentiles(const Effort& effort, TickScale scale) {
    std::printf(
        "\nSingle calls, ns p50/p99/p99.9 (published OffsetAllocator on a: 40/70/190 and 50/100/260; 1M: 30/130/271 and 180/521/741)\n");
    std::printf("%-16s %-20s %18s %18s\n", "trace", "", "allocate", "free");
    print_percentiles<Ours>("a", 0, effort.operations, scale);
    print_percentiles<GoodFit>("a", 0, effort.operations, scale);
    print_percentiles<BestFit>("a", 0, effort.operations, scale);
    const u64 live = effort.million ? 1'000'000 : 100'000;
    const char* const name = effort.million ? "c, 1M live" : "c, 100k live";
    print_percentiles<Ours>(name, live, effort.operations, scale);
    print_percentiles<GoodFit>(name, live, effort.operations, scale);
    print_percentiles<BestFit>(name, live, effort.operations, scale);
}

void instructions(const Effort& effort, const std::string& self) {
    std::printf("\nInstructions an operation on trace a, the driver taken off (aim of an O(1) mode: 135)\n");
    const InstructionCounter counter;
    const std::array<const char*, 4> names{"driver", "vramd", "good", "best"};
    std::array<double, 4> counts{};
    if (counter.available()) {
        const std::array<std::function<double(const Effort&)>, 4> loops{time_spread<Driver>, time_spread<Ours>, time_spread<GoodFit>,
                                                                        time_spread<BestFit>};
        for (u64 i = 0; i < loops.size(); ++i) {
            const u64 begin = counter.value();
            (void)loops[i](effort);
            counts[i] = static_cast<double>(counter.value() - begin) / static_cast<double>(effort.operations);
        }
        std::printf("from perf_event_open:");
    } else {
        for (u64 i = 0; i < names.size(); ++i) {
            const auto few = callgrind_instructions(self, std::string("--loop ") + names[i] + " 50000");
            const auto many = callgrind_instructions(self, std::string("--loop ") + names[i] + " 150000");
            if (!few || !many) {
                std::printf("this machine has no instruction counter (perf_event_open refused) and no valgrind to count instead\n");
                return;
            }
            counts[i] = (*many - *few) / 100'000;
        }
        std::printf("perf_event_open has no such counter here; counted by valgrind:");
    }
    std::printf(" vramd %.0f, O(1) good fit %.0f, red-black best fit %.0f\n", counts[1] - counts[0], counts[2] - counts[0],
                counts[3] - counts[0]);
}

template <class Sizes>
void density_rows(const Effort& effort, const char* aims) {
    const auto mean = [&]<class A>() {
        Density sum;
        for (u64 seed = 1; seed <= effort.seeds; ++seed) {
            const Density one = run_density<Sizes, A>(seed, effort.churn, effort.churn);
            sum.first_failure += one.first_failure / static_cast<double>(effort.seeds);
            sum.saturated += one.saturated / static_cast<double>(effort.seeds);
        }
        return sum;
    };
    const Density ours = mean.template operator()<Ours>();
    const Density good = mean.template operator()<GoodFit>();
    const Density best = mean.template operator()<BestFit>();
    std::printf("%-4s first failure after churn   %8.3f %8.3f %8.3f\n", Sizes::name, ours.first_failure, good.first_failure,
                best.first_failure);
    std::printf("%-4s saturated                   %8.3f %8.3f %8.3f   %s\n", Sizes::name, ours.saturated, good.saturated, best.saturated,
                aims);
}

void density(const Effort& effort) {
    std::printf("\nTrace d: share of the space in use, mean of %llu seeds\n", static_cast<unsigned long long>(effort.seeds));
    std::printf("%-32s %8s %8s %8s\n", "sizes of", "vramd", "O(1)", "rb-best");
    density_rows<SpreadSizes>(effort, "aim: >= .889 (at least .851)");
    density_rows<TensorSizes>(effort, "aim: >= .821 (at least .730)");
}

template <class Allocator>
void refusal_row(u64 pieces) {
    Allocator allocator(pieces * 1000);
    std::vector<typename Allocator::Handle> handles;
    for (u64 i = 0; i < pieces; ++i) handles.push_back(allocator.allocate(1000));
    for (u64 i = 0; i < pieces; i += 2) allocator.free(handles[i]);
    constexpr u64 calls = 100'000;
    u64 granted = 0;
    const double begin = cpu_ns();
    for (u64 i = 0; i < calls; ++i) granted += allocator.allocate(1001) ? 1 : 0;
    const double ns = (cpu_ns() - begin) / calls;
    u64 served = 0;
    for (u64 i = 0; i < 1000; ++i) served += allocator.allocate(1000) ? 1 : 0;
    std::printf("%-20s %8llu holes: refusal %6.1f ns (granted: %llu), exact size served %llu of 1000\n", Allocator::name,
                static_cast<unsigned long long>(pieces / 2), ns, static_cast<unsigned long long>(granted),
                static_cast<unsigned long long>(served));
}

void refusals() {
    std::printf("\nHalf the space in holes of 1000 granules: ask for 1001, then for 1000 (aim: <= 150 ns and 1000 of 1000)\n");
    for (const u64 pieces : {u64{2000}, u64{200'000}}) {
        refusal_row<Ours>(pieces);
        refusal_row<GoodFit>(pieces);
        refusal_row<BestFit>(pieces);
    }
}

template <class Allocator>
double small_bookkeeping(u64 count) {
    Allocator allocator(small_capacity(count));
    Population<Allocator> population(allocator, 7);
    for (u64 i = 0; i < count; ++i) (void)population.add(small_size(population.draw()));
    for (u64 i = 0; i < count; ++i) {
        population.drop_random();
        (void)population.add(small_size(population.draw()));
    }
    return static_cast<double>(allocator.bookkeeping_bytes()) / static_cast<double>(population.count());
}

void bookkeeping(const Effort& effort) {
    std::printf("\nBookkeeping bytes a live range, after churn (aim: <= 32)\n");
    Ours space(space_granules);
    Population<Ours> population(space, 7);
    fill_to_80<SpreadSizes>(population);
    for (u64 i = 0; i < effort.churn; ++i) churn_step<SpreadSizes>(population);
    const auto stats = space.space().stats();
    std::printf("a: %.1f (%llu live, %llu holes)", static_cast<double>(stats.bookkeeping_bytes) / static_cast<double>(stats.live_count),
                static_cast<unsigned long long>(stats.live_count), static_cast<unsigned long long>(stats.hole_count));
    for (const u64 count : {u64{1000}, u64{100'000}, u64{1'000'000}})
        if (count != 1'000'000 || effort.million)
            std::printf("; c %llu: %.1f, O(1) %.1f", static_cast<unsigned long long>(count), small_bookkeeping<Ours>(count),
                        small_bookkeeping<GoodFit>(count));
    std::printf("\n");
}

/// Trace a with every tenth request at a multiple of 2 MiB; only vramd takes an alignment.
void aligned(const Effort& effort) {
    memory::SubAllocator space(16 * gib);
    std::vector<memory::Handle> live;
    Draw draw(7);
    u64 refused = 0;
    double shares = 0;
    struct Request {
        u64 size_bytes;
        u64 alignment_bytes;
    };
    const auto next = [&] { return Request{u64{SpreadSizes::next(draw)} * granule, draw.index(10) == 0 ? 2 * mib : 256}; };
    const auto add = [&](Request request) {
        const auto placement = space.allocate(request.size_bytes, request.alignment_bytes);
        if (placement) live.push_back(placement->handle);
        return placement.has_value();
    };
    const auto drop = [&] {
        const u64 i = draw.index(live.size());
        (void)space.free(live[i]);
        live[i] = live.back();
        live.pop_back();
    };
    while (space.stats().used_bytes < 16 * gib / 10 * 8 && add(next())) {
    }
    const double begin = cpu_ns();
    for (u64 i = 0; i < effort.operations; ++i)
        if (space.stats().used_bytes >= 16 * gib / 10 * 8 || !add(next())) drop();
    const double ns = (cpu_ns() - begin) / static_cast<double>(effort.operations);
    for (u64 i = 0; i < effort.churn; ++i) {
        const Request request = next();
        while (!add(request)) {
            shares += static_cast<double>(space.stats().used_bytes) / (16.0 * gib);
            ++refused;
            drop();
        }
    }
    std::printf("\nTrace a with 10 %% of the requests aligned to 2 MiB: %.1f ns an operation, saturated %.3f\n", ns,
                shares / static_cast<double>(refused));
    memory::SubAllocator comb(200'000 * 4 * kib);  // 100,000 holes of which not one is placed for the request.
    std::vector<memory::Handle> pieces;
    while (const auto piece = comb.allocate(4 * kib, 256)) pieces.push_back(piece->handle);
    for (u64 i = 1; i < pieces.size(); i += 2) (void)comb.free(pieces[i]);
    const double start = cpu_ns();
    u64 granted = 0;
    for (u64 i = 0; i < 10; ++i) granted += comb.allocate(4 * kib, 8 * kib) ? 1 : 0;
    std::printf("worst case, 100,000 holes large enough and all wrongly placed: refusal after %.0f us (wrongly granted: %llu)\n",
                (cpu_ns() - start) / 10 / 1000, static_cast<unsigned long long>(granted));
}

/// The slowest call of a growth from nothing. One call's time is the least of several identical fills, which takes interruptions out.
void growth(const Effort& effort, TickScale scale) {
    const u64 count = effort.million ? 1'000'000 : 100'000;
    std::vector<u64> least(count, ~u64{0});
    for (u64 fill = 0; fill < effort.fills; ++fill) {
        Ours allocator(small_capacity(count));
        Draw draw(7);
        for (u64& time : least) {
            const u32 size = small_size(draw);
            const u64 begin = ticks();
            const auto handle = allocator.allocate(size);
            const u64 elapsed = ticks() - begin;
            if (handle) time = std::min(time, elapsed);
        }
    }
    std::ranges::sort(least, std::greater{});
    const auto us = [&](u64 i) { return static_cast<double>(least[i]) * scale.ns_per_tick / 1000; };
    std::printf("\nGrowth to %llu live ranges: slowest calls %.1f, %.1f, %.1f us (each the least of %llu fills; aim: <= 50)\n",
                static_cast<unsigned long long>(count), us(0), us(1), us(2), static_cast<unsigned long long>(effort.fills));
}

/// For valgrind: trace a alone.
int loop(std::string_view name, u64 operations) {
    const Effort effort{.operations = operations};
    if (name == "driver") return time_spread<Driver>(effort) < 0;
    if (name == "vramd") return time_spread<Ours>(effort) < 0;
    if (name == "good") return time_spread<GoodFit>(effort) < 0;
    if (name == "best") return time_spread<BestFit>(effort) < 0;
    return 2;
}

void print_machine() {
    char model[256] = "unknown processor";
    if (FILE* const file = std::fopen("/proc/cpuinfo", "r")) {
        char line[256];
        while (std::fgets(line, sizeof line, file) != nullptr)
            if (std::sscanf(line, "model name : %255[^\n]", model) == 1) break;
        std::fclose(file);
    }
    char date[64];
    const std::time_t now = std::time(nullptr);
    std::strftime(date, sizeof date, "%F %R UTC", std::gmtime(&now));
    double load[1] = {0};
    (void)getloadavg(load, 1);
    std::printf("%s; %s, %ld processors, load %.1f; g++ %s\n", date, model, sysconf(_SC_NPROCESSORS_ONLN), load[0], __VERSION__);
    std::printf("\"O(1)\" is a two-level segregated good fit, \"rb-best\" a best fit over two red-black trees, both built here\n");
}
}  // namespace
}  // namespace vramd::bench

int main(int argc, char** argv) {
    using namespace vramd::bench;
    const std::string_view verb = argc > 1 ? argv[1] : "";
    if (verb == "--loop" && argc == 4) return loop(argv[2], std::strtoull(argv[3], nullptr, 10));
    if (argc > 2 || (argc == 2 && verb != "--quick")) {
        std::fprintf(stderr, "usage: bench_suballocator [--quick]\n");
        return 2;
    }
    Effort effort;
    if (verb == "--quick")
        effort = {.rounds = 3, .operations = 100'000, .seeds = 2, .churn = 30'000, .models = 300, .fills = 3, .million = false};
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    print_machine();
    const TickScale scale = TickScale::measure();
    density(effort);
    speed(effort, scale);
    if (verb != "--quick") instructions(effort, argv[0]);
    percentiles(effort, scale);
    refusals();
    bookkeeping(effort);
    aligned(effort);
    growth(effort, scale);
}
