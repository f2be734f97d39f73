/// simulation [--runs N] [--steps M] [--seed S] [--replay CHOICES] [--no-shrink] [--met]: the whole core and engine on simulated devices,
/// with crashes and faults anywhere. A failure is shrunk to a short list of choices and printed with the line that replays it.
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "clients.hpp"

using namespace vramd;
using namespace vramd::simulation;

namespace {
u64 current_seed = 0;
Met met;

/// Without each of these at least once, many runs have shown less than they claim.
constexpr const char* must_meet[] = {"a move to a device succeeded",
                                     "a move to a device cancelled",
                                     "a move into another succeeded",
                                     "a copy succeeded",
                                     "a copy cancelled",
                                     "a copy failed",
                                     "a copy of a model",
                                     "a flipped bit was found",
                                     "a transfer met a failing device",
                                     "a write while it is moved",
                                     "a free waits for a move",
                                     "a crash in a transfer",
                                     "an upkeep's moves",
                                     "an upkeep taken up after a crash",
                                     "an upkeep cancelled",
                                     "a forced free waits",
                                     "a transfer of what is being freed",
                                     "a model is read for a while",
                                     "a session holds a model",
                                     "a session was gone on with",
                                     "a session's grace was over",
                                     "memory that clients have attached was freed",
                                     "a crash with a zombie",
                                     "a model was loaded",
                                     "a model came into the cache",
                                     "a model is kept by the cache",
                                     "the cache was emptied",
                                     "a client attached a model",
                                     "a client let go while somebody waited",
                                     "a model was attached by who loaded it",
                                     "a client was asked",
                                     "a client let go of what it was asked for",
                                     "a load waited for room",
                                     "limits were set",
                                     "limits evicted a model",
                                     "limits of another revision were refused",
                                     "limits that were tried took something back",
                                     "a model went above the emergency threshold",
                                     "a request that waited was served",
                                     "a request was overtaken often",
                                     "a rest with somebody waiting",
                                     "advice was followed: Ask for",
                                     "advice was followed: Free",
                                     "advice was followed: Let an"};
constexpr u64 many_runs = 40;

/// An invariant aborts: then at least the seed is told.
void tell_seed(int) {
    char line[96];
    const int length = std::snprintf(line, sizeof line, "aborted; replay: simulation --runs 1 --seed %llu\n",
                                     static_cast<unsigned long long>(current_seed));
    (void)!write(STDERR_FILENO, line, static_cast<std::size_t>(length));  // About to die: nothing to do if stderr is gone.
}

/// Runs one history; what went wrong, or nothing.
std::string run(Choices& choices, u64 steps) {
    try {
        const u64 capacity = std::array{512 * kib, mib, 4 * mib}[choices.below(3)];
        const u64 cache = capacity / 4 * choices.below(4);
        // The device "a" is the whole of its machine: what is in use there is what the machine has in use.
        const core::ReliefMarks relief = choices.below(2) == 0 ? core::no_relief : core::ReliefMarks{};
        World world(1, {{"a", capacity}, {"b", 256 * kib}}, cache, relief);
        for (const char* path : {"p0", "p1", "p2"}) world.files[path] = {1000 + choices.below(50'000), choices.below(1000), 1};
        Clients clients(world, choices, met);
        for (u64 i = 0; i < steps && !choices.exhausted(); ++i) clients.act(choices);
        clients.finish(choices);
    } catch (const std::runtime_error& wrong) {
        return wrong.what();
    }
    return {};
}

std::vector<u64> parse_list(const char* text) {
    std::vector<u64> list;
    const char* const end = text + std::strlen(text);
    while (text < end) {
        u64 value = 0;
        text = std::from_chars(text, end, value).ptr + 1;
        list.push_back(value);
    }
    return list;
}

void tell_shrunk(const std::vector<u64>& taken, u64 steps) {
    const auto shorter = shrink(
        taken,
        [steps](const std::vector<u64>& list) {
            Choices choices = Choices::replay(list);
            return !run(choices, steps).empty();
        },
        400);
    Choices choices = Choices::replay(shorter);
    const std::string again = run(choices, steps);
    std::printf("shrunk to %zu choices (%s); replay: simulation --replay ", shorter.size(), again.c_str());
    for (std::size_t i = 0; i < shorter.size(); ++i) std::printf("%s%llu", i == 0 ? "" : ",", static_cast<unsigned long long>(shorter[i]));
    std::printf("\n");
}
struct Asked {
    u64 runs = 20;
    u64 steps = 2000;
    u64 seed = 1;
    std::optional<std::vector<u64>> replay;
    bool shrinks = true;
    bool lists = false;
};

Asked parse(std::span<char*> arguments) {
    Asked asked;
    if (const char* const seed = std::getenv("VRAMD_SEED")) asked.seed = std::strtoull(seed, nullptr, 10);
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        const std::string flag = arguments[i];
        const char* const value = i + 1 < arguments.size() ? arguments[i + 1] : "";
        if (flag == "--runs") asked.runs = std::strtoull(value, nullptr, 10);
        if (flag == "--steps") asked.steps = std::strtoull(value, nullptr, 10);
        if (flag == "--seed") asked.seed = std::strtoull(value, nullptr, 10);
        if (flag == "--replay") asked.replay = parse_list(value);
        if (flag == "--no-shrink") asked.shrinks = false;
        if (flag == "--met") asked.lists = true;
    }
    return asked;
}

/// How many of the things that many runs must have met were never met.
u64 tell_met(const Asked& asked) {
    u64 unmet = 0;
    for (const char* thing : must_meet) {
        if (asked.runs < many_runs || (met.contains(thing) && met[thing] > 0)) continue;
        std::printf("never met: %s\n", thing);
        ++unmet;
    }
    if (asked.lists)
        for (const auto& [thing, count] : met) std::printf("  %10llu  %s\n", static_cast<unsigned long long>(count), thing.c_str());
    return unmet;
}
}  // namespace

int main(int argument_count, char** arguments) {
    const Asked asked = parse({arguments, static_cast<std::size_t>(argument_count)});
    if (asked.replay) {
        Choices choices = Choices::replay(*asked.replay);
        const std::string wrong = run(choices, asked.steps);
        std::printf("%s\n", wrong.empty() ? "nothing is wrong" : wrong.c_str());
        return wrong.empty() ? 0 : 1;
    }
    (void)signal(SIGABRT, tell_seed);
    std::printf("simulation: %llu runs of %llu steps from seed %llu\n", static_cast<unsigned long long>(asked.runs),
                static_cast<unsigned long long>(asked.steps), static_cast<unsigned long long>(asked.seed));
    for (u64 i = 0; i < asked.runs; ++i) {
        current_seed = asked.seed + i;
        Choices choices = Choices::from_seed(current_seed);
        const std::string wrong = run(choices, asked.steps);
        if (wrong.empty()) continue;
        std::printf("seed %llu: %s\n", static_cast<unsigned long long>(current_seed), wrong.c_str());
        if (asked.shrinks) tell_shrunk(choices.taken(), asked.steps);
        return 1;
    }
    const u64 unmet = tell_met(asked);
    std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(asked.runs), static_cast<unsigned long long>(unmet));
    return unmet == 0 ? 0 : 1;
}
