/// The core alone, as the engine drives it: decide, encode, append to a real ledger, apply; no thread, no socket, no device.
///
/// What it costs in time, empty and with many allocations live, and what each live allocation costs in memory.
#pragma once
#include <malloc.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/random.hpp"
#include "core/state.hpp"
#include "ledger/ledger.hpp"

namespace vramd::bench {
/// Memory of a process's own: anonymous pages, for blocks and the ledger are shared.
inline u64 own_bytes(const std::string& process = "self") {
    std::FILE* file = std::fopen(("/proc/" + process + "/status").c_str(), "re");
    if (file == nullptr) std::exit(1);
    u64 kilobytes = 0;
    for (char line[256]; std::fgets(line, sizeof line, file) != nullptr;)
        if (std::strncmp(line, "RssAnon:", 8) == 0) kilobytes = std::strtoull(line + 8, nullptr, 10);
    std::fclose(file);
    return kilobytes * kib;
}
/// What malloc has handed out, its own overhead included.
inline u64 heap_bytes() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/// A state with its ledger in a folder of its own, and a world in which every effect succeeds at once.
class CoreBed {
public:
    CoreBed() {
        char name[] = "/tmp/vramd-bench-core-XXXXXX";
        if (mkdtemp(name) == nullptr) std::exit(1);
        folder_ = name;
        auto opened = ledger::Ledger::open({.directory = folder_ / "ledger", .life = "bench", .segment_bytes = 512 * mib});
        if (!opened) std::exit(1);
        ledger_ = std::move(opened->ledger);
        must(AddDeviceCommand{"a", 64 * gib, 4096});
    }
    CoreBed(const CoreBed&) = delete;
    CoreBed& operator=(const CoreBed&) = delete;
    ~CoreBed() {
        ledger_.reset();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    AllocationId allocate(const std::string& owner, u64 size_bytes) {
        AllocateCommand command;
        command.caller = {owner, Role::user};
        command.device_id = "a";
        command.size_bytes = size_bytes;
        command.purpose = "bench";
        command.secret = random_.next();
        const AllocationId id = must(command);
        finish();
        return id;
    }
    void free(const std::string& owner, AllocationId id) {
        (void)must(FreeCommand{{owner, Role::user}, id});  // A free names no allocation.
        finish();
    }
    [[nodiscard]] const core::State& state() const { return state_; }
    SeededRandom& random() { return random_; }

private:
    AllocationId must(const Command& command) {
        now_.monotonic_ns += 1000;
        now_.wall_ns += 1000;
        const auto decision = core::decide(state_, command, now_);
        if (!decision) {
            std::fprintf(stderr, "bench core: %s\n", describe(decision.error()).c_str());
            std::exit(1);
        }
        std::vector<std::vector<std::byte>> bytes(decision->events.size());
        for (std::size_t i = 0; i < bytes.size(); ++i) encode(decision->events[i], bytes[i]);
        if (!bytes.empty() && !ledger_->append(now_.wall_ns, bytes)) {
            // Its file is full: the engine takes a snapshot beside the appends; here it is taken between them.
            if (!ledger_->snapshot(ledger_->sequence(), core::save(state_)) || !ledger_->append(now_.wall_ns, bytes)) std::exit(1);
        }
        for (const Event& event : decision->events) core::apply(state_, event);
        effects_.insert(effects_.end(), decision->effects.begin(), decision->effects.end());
        return decision->allocation;
    }
    void finish() {
        while (!effects_.empty()) {
            const Effect effect = effects_.front();
            effects_.pop_front();
            if (const auto* create = std::get_if<CreateBlockEffect>(&effect))
                (void)must(BlockCreatedCommand{create->block});
            else if (const auto* release = std::get_if<ReleaseBlockEffect>(&effect))
                (void)must(BlockReleasedCommand{release->block});
            else if (const auto* zero = std::get_if<ZeroEffect>(&effect))
                (void)must(ZeroedCommand{zero->id});
        }
    }

    std::filesystem::path folder_;
    std::unique_ptr<ledger::Ledger> ledger_;
    core::State state_;
    std::deque<Effect> effects_;
    Moment now_{ns_per_second, ns_per_second};
    SeededRandom random_{4};
};

struct CorePlan {
    u64 pairs = 200'000;
    u64 live = 1'000'000;
    int rounds = 5;
};

/// Pairs of allocate and free a second: the best round's.
inline double core_pairs_per_second(CoreBed& bed, u64 pairs, int rounds) {
    u64 best_ns = ~u64{0};
    for (int round = 0; round < rounds; ++round) {
        const u64 began_ns = monotonic_ns();
        for (u64 i = 0; i < pairs; ++i) bed.free("anna", bed.allocate("anna", 256));
        best_ns = std::min(best_ns, monotonic_ns() - began_ns);
    }
    return static_cast<double>(pairs) * 1e9 / static_cast<double>(best_ns);
}

/// What a snapshot, advice and dry runs do under the engine's lock, during which nobody decides anything; and what a snapshot does after
/// it.
inline void report_copies(const CoreBed& bed) {
    const auto longest_ms = [](auto&& work) {
        u64 longest = 0;
        for (int round = 0; round < 3; ++round) {
            const u64 began_ns = monotonic_ns();
            work();
            longest = std::max(longest, monotonic_ns() - began_ns);
        }
        return static_cast<double>(longest) / 1e6;
    };
    std::size_t saved_bytes = 0;
    const double saved = longest_ms([&] { saved_bytes = core::save(bed.state()).size(); });
    const double copied = longest_ms([&] { const core::State copy = bed.state(); });
    std::printf(
        "a copy of the state, which a snapshot, advice or a dry run makes under the lock: %.1f ms; as bytes (%.1f MiB): %.1f ms more\n",
        copied, static_cast<double>(saved_bytes) / static_cast<double>(mib), saved);
}

inline void report_core(const CorePlan& plan) {
    static const std::vector<std::string> owners = {"anna", "bert", "carl", "dora"};
    CoreBed bed;
    bed.free("anna", bed.allocate("anna", 256));
    std::printf("core alone, allocate + free of 256 B (decide, append to the ledger, apply), nothing else live: %9.0f pairs/s\n",
                core_pairs_per_second(bed, plan.pairs, plan.rounds));
    struct Live {
        AllocationId id;
        u64 owner;
    };
    std::vector<Live> live(plan.live);
    const u64 heap_before = heap_bytes();
    const u64 own_before = own_bytes();
    const u64 began_ns = monotonic_ns();
    for (u64 i = 0; i < plan.live; ++i) live[i] = {bed.allocate(owners[i % owners.size()], 256 + 256 * (i % 3)), i % owners.size()};
    const u64 filled_ns = monotonic_ns() - began_ns;
    const auto tell = [&](const char* what) {
        const double count = static_cast<double>(plan.live);
        std::printf("  %-52s heap %6.1f bytes each   resident %6.1f bytes each   goal <= 200\n", what,
                    static_cast<double>(heap_bytes() - heap_before) / count, static_cast<double>(own_bytes() - own_before) / count);
    };
    std::printf("core alone, %llu allocations of 4 owners made: %.0f a second\n", static_cast<unsigned long long>(plan.live),
                static_cast<double>(plan.live) * 1e9 / static_cast<double>(filled_ns));
    tell("live:");
    report_copies(bed);
    std::printf("core alone, allocate + free of 256 B, all those live: %9.0f pairs/s\n",
                core_pairs_per_second(bed, plan.pairs, plan.rounds));
    const u64 churn_ns = monotonic_ns();
    for (u64 i = 0; i < plan.live; ++i) {
        Live& one = live[bed.random().next() % live.size()];
        bed.free(owners[one.owner], one.id);
        one.id = bed.allocate(owners[one.owner], 256 + 256 * (bed.random().next() % 3));
    }
    std::printf("core alone, any one freed and another made, as often as there are: %.0f a second\n",
                static_cast<double>(plan.live) * 1e9 / static_cast<double>(monotonic_ns() - churn_ns));
    tell("after that:");
}
}  // namespace vramd::bench
