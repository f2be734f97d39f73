/// Clocks and counters for the sub-allocator's benchmark.
///
/// Loops are measured in CPU time of the thread, so that other work on the machine counts only through the caches; single calls with
/// the time stamp counter, whose own cost is measured and taken off.
#pragma once
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <vector>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "base/types.hpp"

namespace vramd::bench {
inline double cpu_ns() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

inline u64 ticks() {
#if defined(__x86_64__)
    unsigned int processor = 0;
    return __rdtscp(&processor);
#else
    return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

/// What one tick is, and what reading it twice costs.
struct TickScale {
    double ns_per_tick = 1;
    u64 overhead_ticks = 0;

    static TickScale measure() {
        TickScale scale;
        const auto wall = [] {
            return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count();
        };
        const double begin_ns = wall();
        const u64 begin = ticks();
        while (wall() - begin_ns < 2e7) {
        }
        scale.ns_per_tick = (wall() - begin_ns) / static_cast<double>(ticks() - begin);
        std::vector<u64> reads(10001);
        for (u64& read : reads) {
            const u64 start = ticks();
            read = ticks() - start;
        }
        std::ranges::nth_element(reads, reads.begin() + 5000);
        scale.overhead_ticks = reads[5000];
        return scale;
    }
};

/// Single calls' times.
class Samples {
public:
    explicit Samples(TickScale scale) : scale_(scale) {}
    void add(u64 elapsed_ticks) { ticks_.push_back(elapsed_ticks - std::min(elapsed_ticks, scale_.overhead_ticks)); }
    /// "p50/p99/p99.9" in ns.
    [[nodiscard]] std::string percentiles() {
        if (ticks_.empty()) return "-";
        std::ranges::sort(ticks_);
        const auto at = [&](double share) {
            return static_cast<double>(ticks_[static_cast<u64>(share * static_cast<double>(ticks_.size() - 1))]) * scale_.ns_per_tick;
        };
        char text[64];
        std::snprintf(text, sizeof text, "%.0f/%.0f/%.0f", at(.5), at(.99), at(.999));
        return text;
    }
    /// Mean in ns over the calls below 100 us; longer ones were interrupted.
    [[nodiscard]] double mean_ns() const {
        double sum = 0;
        u64 count = 0;
        for (const u64 sample : ticks_) {
            const double ns = static_cast<double>(sample) * scale_.ns_per_tick;
            if (ns > 1e5) continue;
            sum += ns;
            ++count;
        }
        return count == 0 ? 0 : sum / static_cast<double>(count);
    }

private:
    TickScale scale_;
    std::vector<u64> ticks_;
};

inline double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values.empty() ? 0 : values[values.size() / 2];
}

/// User-space instructions of this thread, where the machine has the counter (many virtual machines do not).
class InstructionCounter {
public:
    InstructionCounter() {
        perf_event_attr attributes{};
        attributes.type = PERF_TYPE_HARDWARE;
        attributes.size = sizeof attributes;
        attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
        attributes.exclude_kernel = 1;
        attributes.exclude_hv = 1;
        fd_ = static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
    }
    InstructionCounter(const InstructionCounter&) = delete;
    InstructionCounter& operator=(const InstructionCounter&) = delete;
    ~InstructionCounter() {
        if (fd_ >= 0) close(fd_);
    }
    [[nodiscard]] bool available() const { return fd_ >= 0; }
    [[nodiscard]] u64 value() const {
        u64 count = 0;
        return read(fd_, &count, sizeof count) == sizeof count ? count : 0;
    }

private:
    int fd_ = -1;
};

/// Instructions that valgrind counts for a run of this program with these arguments; nothing if it cannot be run.
inline std::optional<double> callgrind_instructions(const std::string& self, const std::string& arguments) {
    const std::string command = "valgrind --tool=callgrind --callgrind-out-file=/dev/null '" + self + "' " + arguments + " 2>&1";
    FILE* const pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return std::nullopt;
    std::optional<double> count;
    char line[512];
    while (std::fgets(line, sizeof line, pipe) != nullptr) {
        const char* const found = std::strstr(line, "Collected :");
        if (found != nullptr) count = std::strtod(found + std::strlen("Collected :"), nullptr);
    }
    pclose(pipe);
    return count;
}
}  // namespace vramd::bench
