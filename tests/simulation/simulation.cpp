/// simulation [--runs N] [--steps M] [--seed S] [--replay CHOICES]: the whole core and engine on simulated devices, with crashes and
/// faults anywhere. A failure is shrunk to a short list of choices and printed with the line that replays it.
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

/// An invariant aborts: then at least the seed is told.
void tell_seed(int) {
    char line[96];
    const int length = std::snprintf(line, sizeof line, "aborted; replay: simulation --runs 1 --seed %llu\n", static_cast<unsigned long long>(current_seed));
    (void)!write(STDERR_FILENO, line, static_cast<std::size_t>(length));  // About to die: nothing to do if stderr is gone.
}

/// Runs one history; what went wrong, or nothing.
std::string run(Choices& choices, u64 steps) {
    try {
        World world(1);
        for (const char* path : {"p0", "p1", "p2"}) world.files[path] = {1000 + choices.below(50'000), choices.below(1000), 1};
        Clients clients(world);
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

void tell_failure(u64 seed, const std::string& wrong, const std::vector<u64>& taken, u64 steps) {
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), wrong.c_str());
    const auto shorter = shrink(taken, [steps](const std::vector<u64>& list) {
        Choices choices = Choices::replay(list);
        return !run(choices, steps).empty();
    }, 400);
    Choices choices = Choices::replay(shorter);
    const std::string again = run(choices, steps);
    std::printf("shrunk to %zu choices (%s); replay: simulation --replay ", shorter.size(), again.c_str());
    for (std::size_t i = 0; i < shorter.size(); ++i) std::printf("%s%llu", i == 0 ? "" : ",", static_cast<unsigned long long>(shorter[i]));
    std::printf("\n");
}
}  // namespace

int main(int argument_count, char** arguments) {
    u64 runs = 20;
    u64 steps = 2000;
    const char* const from_environment = std::getenv("VRAMD_SEED");
    u64 seed = from_environment == nullptr ? 1 : std::strtoull(from_environment, nullptr, 10);
    for (int i = 1; i + 1 < argument_count; i += 2) {
        const std::string flag = arguments[i];
        if (flag == "--runs") runs = std::strtoull(arguments[i + 1], nullptr, 10);
        if (flag == "--steps") steps = std::strtoull(arguments[i + 1], nullptr, 10);
        if (flag == "--seed") seed = std::strtoull(arguments[i + 1], nullptr, 10);
        if (flag != "--replay") continue;
        Choices choices = Choices::replay(parse_list(arguments[i + 1]));
        const std::string wrong = run(choices, steps);
        std::printf("%s\n", wrong.empty() ? "nothing is wrong" : wrong.c_str());
        return wrong.empty() ? 0 : 1;
    }
    (void)signal(SIGABRT, tell_seed);
    std::printf("simulation: %llu runs of %llu steps from seed %llu\n", static_cast<unsigned long long>(runs), static_cast<unsigned long long>(steps),
                static_cast<unsigned long long>(seed));
    for (u64 i = 0; i < runs; ++i) {
        current_seed = seed + i;
        Choices choices = Choices::from_seed(current_seed);
        const std::string wrong = run(choices, steps);
        if (wrong.empty()) continue;
        tell_failure(current_seed, wrong, choices.taken(), steps);
        return 1;
    }
    std::printf("%llu passed, 0 failed\n", static_cast<unsigned long long>(runs));
    return 0;
}
