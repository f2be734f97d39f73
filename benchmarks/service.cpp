// links: core core/memory ledger
/// The memory service as its users meet it: transfers, copies and clears beside plain memcpy and memset, two transfers at once, small
/// calls over both doors, status beside a million live allocations and what each of them costs; then the core alone.
///
/// Limits are measured in turns with the figures, on as many threads as the daemon moves bytes with, in shared memory as its blocks are.
/// Rates are the best round's: what others did to the machine meanwhile is no property of the code. --quick takes fewer rounds of less.
#include <array>
#include <atomic>
#include <functional>

#include "daemon_limits.hpp"
#include "service_core.hpp"

namespace vramd::bench {
namespace {
struct Plan {
    int rounds = 9;
    u64 pairs = 10'000;
    u64 live = 1'000'000;
    u64 status_calls = 2'000;
    CorePlan core{};
};
constexpr Plan quick_plan{5, 1'000, 100'000, 500, {20'000, 100'000, 3}};

const u32 movers = std::min(std::max(std::thread::hardware_concurrency(), 1U), 4U);  // As many as the daemon takes.
double percent(double part, double whole) { return 100.0 * part / whole; }

std::string allocate(Connection& connection, const char* device, u64 size_bytes) {
    return value_of(connection.must("POST", "/api/memory/allocations/allocate",
                                    std::string("{\"deviceId\":\"") + device + "\",\"sizeBytes\":" + std::to_string(size_bytes) +
                                        ",\"purpose\":\"bench\",\"persistent\":true}"),
                    "id");
}
void free_one(Connection& connection, const std::string& id) { connection.must("DELETE", "/api/memory/allocations/" + id); }

/// Memory as the daemon's blocks are: shared, every page there.
struct SharedMemory {
    std::byte* bytes = nullptr;
    u64 size = 0;
    explicit SharedMemory(u64 size_bytes) : size(size_bytes) {
        void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (mapped == MAP_FAILED) give_up("mmap");
        bytes = static_cast<std::byte*>(mapped);
        std::memset(bytes, 0x5a, size);
    }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    ~SharedMemory() { munmap(bytes, size); }
};

/// Each of `movers` threads does its share.
u64 in_parallel_ns(u64 bytes, const std::function<void(u64 at, u64 size)>& piece) {
    const u64 share = round_up(div_ceil(bytes, movers), 4096);
    return time_of([&] {
        std::vector<std::jthread> others;
        for (u64 at = share; at < bytes; at += share) others.emplace_back(piece, at, std::min(share, bytes - at));
        piece(0, std::min(share, bytes));
    });
}

// --------------------------------------------------------------------------------------------------------------------------- transfers
/// A source on `a` and a target on `b`, and the request that copies the one into the other.
struct Pair {
    std::string source;
    std::string target;
    Pair(Connection& connection, u64 bytes, const char* target_device)
        : source(allocate(connection, "a", bytes)), target(allocate(connection, target_device, bytes)) {}
    [[nodiscard]] std::string request() const {
        return "{\"sourceAllocationId\":\"" + source + "\",\"targetAllocationId\":\"" + target + "\"}";
    }
    void free(Connection& connection) const {
        free_one(connection, source);
        free_one(connection, target);
    }
};

struct Best {
    double plain = 0;
    double own = 0;   ///< As the answer says, from the first byte to the last.
    double call = 0;  ///< The whole call, sockets and ledger included.
    void print(const char* what, u64 bytes, const char* limit) const {
        std::printf(
            "%-8s %4llu MiB  %-8s %6.2f GB/s   bytes moving %6.2f GB/s (%3.0f %%)   whole call %6.2f GB/s (%3.0f %%)   goal >= 95 %%\n",
            what, static_cast<unsigned long long>(bytes / mib), limit, plain, own, percent(own, plain), call, percent(call, plain));
    }
};

void report_transfer(const Bed& bed, const Plan& plan, u64 bytes) {
    Connection connection(bed.unix_door);
    const SharedMemory from(bytes);
    const SharedMemory to(bytes);
    const Pair across(connection, bytes, "b");
    const Pair within(connection, bytes, "a");
    Best transfer;
    Best copy;
    Best zero;
    Best fill;  // With another value: on some processors lines of zeros are written faster.
    const auto call = [&](Best& best, const char* target, const std::string& body, const char* per_second) {
        std::string told;
        const u64 ns = time_of([&] { told = connection.must("POST", target, body); });
        best.call = std::max(best.call, rate(bytes, ns));
        best.own = std::max(best.own, std::atof(value_of(told, per_second).c_str()) / 1e9);
    };
    for (int round = 0; round < plan.rounds; ++round) {
        const double copied =
            rate(bytes, in_parallel_ns(bytes, [&](u64 at, u64 size) { std::memcpy(to.bytes + at, from.bytes + at, size); }));
        transfer.plain = copy.plain = std::max(copy.plain, copied);
        call(transfer, "/api/memory/transfer", across.request(), "averageBytesPerSecond");
        call(copy, "/api/memory/operations/copy", within.request(), "bytesPerSecond");
        for (const auto& [best, value] : {std::pair(&zero, 0), std::pair(&fill, 7)}) {
            const u64 plain_ns = in_parallel_ns(bytes, [&, value = value](u64 at, u64 size) { std::memset(to.bytes + at, value, size); });
            best->plain = std::max(best->plain, rate(bytes, plain_ns));
            call(*best, "/api/memory/operations/clear",
                 "{\"allocationId\":\"" + within.target + "\",\"fillValue\":" + std::to_string(value) + "}", "bytesPerSecond");
        }
    }
    transfer.print("transfer", bytes, "memcpy");
    copy.print("copy", bytes, "memcpy");
    zero.print("clear 0", bytes, "memset 0");
    fill.print("clear 7", bytes, "memset 7");
    across.free(connection);
    within.free(connection);
}

/// Two owners, one per door, each with a transfer of its own, begun together.
void report_two_transfers(const Bed& bed, const Plan& plan) {
    constexpr u64 bytes = 256 * mib;
    const SharedMemory from(bytes);
    const SharedMemory to(bytes);
    std::array<Connection, 2> owners = {Connection(bed.unix_door), Connection(bed.tcp_door)};
    const std::array<Pair, 2> pairs = {Pair(owners[0], bytes, "b"), Pair(owners[1], bytes, "b")};
    double plain = 0;
    double both = 0;
    std::vector<u64> shares;  // Of the first one, in hundredths of a percent.
    for (int round = 0; round < plan.rounds; ++round) {
        plain = std::max(plain,
                         rate(bytes, in_parallel_ns(bytes, [&](u64 at, u64 size) { std::memcpy(to.bytes + at, from.bytes + at, size); })));
        std::array<std::string, 2> told;
        std::atomic<int> waiting = 2;
        const auto run = [&](std::size_t i) {
            --waiting;
            while (waiting != 0) std::this_thread::yield();
            told[i] = owners[i].must("POST", "/api/memory/transfer", pairs[i].request());
        };
        const u64 ns = time_of([&] {
            std::jthread other(run, 1);
            run(0);
        });
        both = std::max(both, rate(2 * bytes, ns));
        const double first = std::atof(value_of(told[0], "averageBytesPerSecond").c_str());
        const double second = std::atof(value_of(told[1], "averageBytesPerSecond").c_str());
        shares.push_back(static_cast<u64>(first / (first + second) * 10'000));
    }
    std::printf(
        "two owners' transfers of 256 MiB at once: together %.2f GB/s (%.0f %% of memcpy's %.2f); the first one's share of the two rates: ",
        both, percent(both, plain), plain);
    const u64 middle = percentile(shares, 0.5);
    std::printf("p50 %.1f %%, from %.1f to %.1f %%   goal 50 %%\n", static_cast<double>(middle) / 100,
                static_cast<double>(shares.front()) / 100, static_cast<double>(shares.back()) / 100);
    for (std::size_t i = 0; i < 2; ++i) pairs[i].free(owners[i]);
}

// ------------------------------------------------------------------------------------------------------------------------- small calls
void report_pairs(const Plan& plan, const Door& door) {
    Connection connection(door);
    free_one(connection, allocate(connection, "a", 256));
    std::vector<u64> allocating;
    std::vector<u64> freeing;
    const u64 ns = time_of([&] {
        for (u64 i = 0; i < plan.pairs; ++i) {
            std::string id;
            allocating.push_back(time_of([&] { id = allocate(connection, "a", 256); }));
            freeing.push_back(time_of([&] { free_one(connection, id); }));
        }
    });
    std::printf(
        "allocate + free of 256 B, %-4s one connection: %7.0f pairs/s   allocate p50 %6.1f us p99 %7.1f us   free p50 %6.1f us p99 %7.1f "
        "us\n",
        door.name(), static_cast<double>(plan.pairs) * 1e9 / static_cast<double>(ns), us(percentile(allocating, 0.5)),
        us(percentile(allocating, 0.99)), us(percentile(freeing, 0.5)), us(percentile(freeing, 0.99)));
}

void report_status(const Bed& bed, const Plan& plan, const char* beside) {
    struct Call {
        const char* target;
        u64 calls;
    };
    const std::array all = {Call{"/api/memory/status", plan.status_calls}, Call{"/api/memory/status?includeFragmentation=true", 200},
                            Call{"/api/memory/usage", 200}, Call{"/api/memory/optimization", 20}};
    Connection connection(bed.unix_door);
    for (const Call& call : all) {
        std::vector<u64> took;
        for (u64 i = 0; i < call.calls; ++i) took.push_back(time_of([&] { connection.must("GET", call.target); }));
        std::printf("GET %-46s %-26s p50 %8.1f us   p99 %8.1f us   max %8.1f us   goal of status: p99 <= 5,000\n", call.target, beside,
                    us(percentile(took, 0.5)), us(percentile(took, 0.99)), us(percentile(took, 1)));
    }
}

/// The longest that one small call had to wait while a call that looks at the whole state ran.
void report_beside(const Bed& bed, const char* method, const char* path, const std::string& body, const char* what) {
    std::atomic<bool> over = false;
    u64 longest = 0;
    u64 calls = 0;
    std::vector<u64> took;
    {
        std::jthread small([&] {
            Connection connection(bed.unix_door);
            const std::string id = allocate(connection, "b", 256);
            while (!over) {
                longest = std::max(longest, time_of([&] { connection.must("GET", "/api/memory/allocation/" + id); }));
                ++calls;
            }
            free_one(connection, id);
        });
        Connection connection(bed.unix_door);
        for (int round = 0; round < 3; ++round) took.push_back(time_of([&] { (void)connection.must(method, path, body); }));
        over = true;
    }
    std::printf("%-22s p50 %7.1f ms; beside it %6llu reads of one allocation, the longest %7.1f ms\n", what, ms(percentile(took, 0.5)),
                static_cast<unsigned long long>(calls), ms(longest));
}

void report_many(const Bed& bed, const Plan& plan) {
    constexpr u64 hands = 4;  // Connections: half through each door, so there are two owners.
    report_status(bed, plan, "nothing live:");
    const std::string core = std::to_string(bed.core_pid());
    const u64 before = own_bytes(core);
    const u64 ns = time_of([&] {
        std::vector<std::jthread> threads;
        for (u64 hand = 0; hand < hands; ++hand)
            threads.emplace_back([&, hand] {
                Connection connection(hand % 2 == 0 ? bed.unix_door : bed.tcp_door);
                for (u64 i = hand; i < plan.live; i += hands) (void)allocate(connection, "a", 256 + 256 * (i % 3));
            });
    });
    const double peak = static_cast<double>(own_bytes(core)) - static_cast<double>(before);
    std::printf("%llu allocations over HTTP, %llu connections: %.0f a second\n", static_cast<unsigned long long>(plan.live),
                static_cast<unsigned long long>(hands), static_cast<double>(plan.live) * 1e9 / static_cast<double>(ns));
    const std::string beside = std::to_string(plan.live) + " allocations live:";
    report_status(bed, plan, beside.c_str());
    // The least within so many seconds: a snapshot of the state that is on its way to the disk is not counted, and ten seconds after advice
    // the heap gives back what it worked on.
    const auto grown_within = [&](u64 seconds) {
        u64 settled = own_bytes(core);
        for (const u64 begun = monotonic_ns(); monotonic_ns() - begun < seconds * ns_per_second;)
            settled = std::min(settled, own_bytes(core));
        return static_cast<double>(settled) - static_cast<double>(before);
    };
    const double grown = grown_within(15);
    std::printf("the core's own memory grew by %.1f MiB, %.1f bytes each   goal <= 200 (%.1f MiB just after the last one)\n",
                grown / static_cast<double>(mib), grown / static_cast<double>(plan.live), peak / static_cast<double>(mib));
    report_pairs(plan, bed.unix_door);
    report_beside(bed, "GET", "/api/memory/optimization", {}, "advice");
    report_beside(bed, "POST", "/api/memory/operations/defragment/a", "{\"dryRun\":true}", "a dry run");
    report_beside(bed, "POST", "/api/memory/operations/optimize-models", "{\"dryRun\":true}", "optimize-models, dry");
    std::printf("after advice and dry runs, and fifteen seconds: %.1f bytes each   goal <= 200\n",
                grown_within(15) / static_cast<double>(plan.live));
}

void run(const Plan& plan) {
    (void)std::setvbuf(stdout, nullptr, _IOLBF, 0);
    static const Bed bed(4 * gib, gib);  // Static: it also ends when the program gives up.
    for (const u64 bytes : {16 * mib, 64 * mib, 256 * mib}) report_transfer(bed, plan, bytes);
    report_two_transfers(bed, plan);
    report_pairs(plan, bed.unix_door);
    report_pairs(plan, bed.tcp_door);
    report_many(bed, plan);
    report_core(plan.core);
}
}  // namespace
}  // namespace vramd::bench

int main(int argument_count, char** arguments) {
    const bool quick = argument_count > 1 && std::string_view(arguments[1]) == "--quick";
    vramd::bench::run(quick ? vramd::bench::quick_plan : vramd::bench::Plan{});
}
