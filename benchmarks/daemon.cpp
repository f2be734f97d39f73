// links: http
/// The whole daemon as its users meet it: content, status calls beside a load, loads, recovery, small calls; each beside its limit.
///
/// Limits are measured in turns with the figures, so that a busy neighbour hits both: bare sockets read by the loop that reads the
/// replies, two threads that pread into mapped memory, two threads that populate new memory. --quick takes fewer rounds of less.
#include <poll.h>
#include <sys/syscall.h>

#include <atomic>

#include "base/checksum.hpp"
#include "base/random.hpp"
#include "daemon_limits.hpp"

namespace vramd::bench {
namespace {
struct Plan {
    int rounds = 7;
    int small_loads = 20;
    u64 status_seconds = 8;
    u64 looped_bytes = gib;
    u64 pairs = 3'000;
    u64 many = 100'000;
    int kills = 5;
};
constexpr Plan quick_plan{3, 5, 2, 512 * mib, 500, 20'000, 3};
constexpr u64 content_bytes = 256 * mib;
constexpr u64 load_bytes = 512 * mib;
constexpr u64 small_bytes = 2 * mib + 256 * kib;  // As the silero models.
constexpr u64 status_per_second = 1'000;

double percent(double part, double whole) { return 100.0 * part / whole; }

std::string allocate(Connection& connection, u64 size_bytes, const char* type = "default") {
    return connection.must("POST", "/api/memory/allocations/allocate",
                           "{\"deviceId\":\"a\",\"sizeBytes\":" + std::to_string(size_bytes) + ",\"allocationType\":\"" + type +
                               "\",\"purpose\":\"bench\",\"persistent\":true}");
}
void free_one(Connection& connection, const std::string& id) { connection.must("DELETE", "/api/memory/allocations/" + id); }

std::string load_request(const std::string& path, const char* wait) {
    return "{\"name\":\"" + path + "\",\"path\":\"" + path + "\",\"type\":\"other\",\"deviceId\":\"a\",\"waitForCompletion\":" + wait + "}";
}
void unload(Connection& connection, const std::string& path) { connection.must("DELETE", "/api/model/unload?name=" + path); }

// ---------------------------------------------------------------------------------------------------------------------------- content
void report_content(const Bed& bed, const Plan& plan, const Door& door) {
    Connection connection(door);
    const std::string id = value_of(allocate(connection, content_bytes), "id");
    const std::string target = "/api/memory/allocation/" + id + "/content";
    const Memory from(content_bytes);
    const Memory into(content_bytes);
    std::memset(from.bytes, 0x5a, content_bytes);
    Door bare_door = door.path.empty() ? Door{} : Door{bed.folder / "bare", 0};
    const Fd listening = listen_at(bare_door);
    double bare = 0;
    double got = 0;
    double put = 0;
    for (int i = 0; i < plan.rounds; ++i) {
        bare = std::max(bare, rate(content_bytes, time_of([&] {
                                       std::thread writer([&] {
                                           const Fd accepted(accept(listening.get(), nullptr, nullptr));
                                           if (!send_all(accepted, from.span())) give_up("bare send");
                                       });
                                       if (!receive_all(connect_to(bare_door), into.span())) give_up("bare recv");
                                       writer.join();
                                   })));
        put = std::max(put, rate(content_bytes, time_of([&] { connection.put(target, from.span()); })));
        got = std::max(got, rate(content_bytes, time_of([&] { connection.get(target, into.span()); })));
    }
    if (std::memcmp(from.bytes, into.bytes, content_bytes) != 0) give_up("content came back changed");
    free_one(connection, id);
    std::printf("content, 256 MiB, %-4s  bare socket %6.2f GB/s   GET %6.2f GB/s (%3.0f %%)   PUT %6.2f GB/s (%3.0f %%)   goal >= 50 %%\n",
                door.name(), bare, got, percent(got, bare), put, percent(put, bare));
}

// ----------------------------------------------------------------------------------------------------------------------------- status
/// Status calls at a fixed rate. `sent` counts from the sending, `due` from when the call should have been sent.
struct Paced {
    std::vector<u64> sent;
    std::vector<u64> due;
};
Paced paced_status(const Bed& bed, u64 seconds) {
    Connection connection(bed.unix_door);
    Paced paced;
    const u64 began_ns = monotonic_ns();
    for (u64 i = 0; i < seconds * status_per_second; ++i) {
        const u64 due_ns = began_ns + i * (ns_per_second / status_per_second);
        const timespec due{static_cast<time_t>(due_ns / ns_per_second), static_cast<long>(due_ns % ns_per_second)};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr);  // Woken early, it sends early.
        const u64 sent_ns = monotonic_ns();
        (void)connection.must("GET", "/api/memory/status/a");
        const u64 now_ns = monotonic_ns();
        paced.sent.push_back(now_ns - sent_ns);
        paced.due.push_back(now_ns - std::min(due_ns, sent_ns));
    }
    return paced;
}
void print_paced(const char* beside, Paced paced) {
    std::printf(
        "status, 1,000 a second, %-22s p50 %6.1f us   p99 %7.1f us   max %8.1f us   from when due: p99 %7.1f us   goal p99 <= 1,000\n",
        beside, us(percentile(paced.sent, 0.5)), us(percentile(paced.sent, 0.99)), us(percentile(paced.sent, 1)),
        us(percentile(paced.due, 0.99)));
}

void report_status(const Bed& bed, const Plan& plan) {
    print_paced("nothing beside it:", paced_status(bed, std::max<u64>(1, plan.status_seconds / 4)));
    const std::string model = write_model(bed, "looped.safetensors", plan.looped_bytes, 64);
    std::atomic<bool> over = false;
    u64 loads = 0;
    std::thread loading([&] {
        Connection connection(bed.unix_door);
        for (; !over; ++loads) {
            connection.must("POST", "/api/model/load", load_request(model, "true"));
            unload(connection, model);
        }
    });
    Paced paced = paced_status(bed, plan.status_seconds);
    over = true;
    loading.join();
    const std::string beside = std::to_string(loads) + " loads of " + std::to_string(plan.looped_bytes / mib) + " MiB:";
    print_paced(beside.c_str(), std::move(paced));
    std::filesystem::remove(bed.models / model);
    Connection connection(bed.unix_door);
    const u64 calls = plan.pairs * 4;
    const u64 ns = time_of([&] {
        for (u64 i = 0; i < calls; ++i) (void)connection.must("GET", "/api/memory/status/a");
    });
    std::printf("status, one connection flat out: %.0f requests/s\n", static_cast<double>(calls) * 1e9 / static_cast<double>(ns));
}

// ------------------------------------------------------------------------------------------------------------------------------ loads
/// When each stage of a load began, as its operation's URL tells, read over and over.
void print_stages(const Bed& bed, const std::string& model) {
    Connection connection(bed.unix_door);
    const u64 began_ns = monotonic_ns();
    const std::string id = value_of(connection.must("POST", "/api/model/load", load_request(model, "false")), "id");
    std::string stage = "accepted";
    std::string line;
    u64 since_ns = began_ns;
    for (std::string state = "running"; state == "running";) {
        const std::string told = connection.must("GET", "/api/operations/" + id);
        state = value_of(told, "state");
        const std::string now = state == "running" ? value_of(told, "stage") : state;
        if (now == stage) continue;
        const u64 now_ns = monotonic_ns();
        char piece[64];
        (void)std::snprintf(piece, sizeof piece, "%s%s %.2f", line.empty() ? "" : ", ", stage.c_str(), ms(now_ns - since_ns));
        line += piece;
        stage = now;
        since_ns = now_ns;
    }
    std::printf("  stages seen at the operation's URL: %s ms, then %s\n", line.c_str(), stage.c_str());
    if (stage == "succeeded") unload(connection, model);
}

void report_load(const Bed& bed, const Plan& plan) {
    Connection connection(bed.unix_door);
    const std::string model = write_model(bed, "warm.safetensors", load_bytes, 64);
    const Memory memory(load_bytes);
    std::vector<u64> plain;
    std::vector<u64> populate;
    std::vector<u64> create;
    std::vector<u64> whole;
    std::vector<u64> fill;
    for (int i = 0; i < plan.rounds; ++i) {
        plain.push_back(plain_read_ns(bed, model, memory));
        populate.push_back(populate_ns(load_bytes));
        std::string made;
        create.push_back(time_of([&] { made = allocate(connection, load_bytes, "mapped"); }));
        free_one(connection, value_of(made, "id"));
        std::string told;
        whole.push_back(time_of([&] { told = connection.must("POST", "/api/model/load", load_request(model, "true")); }));
        fill.push_back(static_cast<u64>(std::atof(value_of(told, "loadMs").c_str()) * 1e6));
        unload(connection, model);
    }
    const u64 limit_ns = percentile(plain, 0.5);
    const u64 new_limit_ns = limit_ns + percentile(populate, 0.5);
    const auto line = [&](const char* name, u64 ns, u64 of_ns) {
        std::printf("  %-62s %8.2f ms %6.2f GB/s %6.1f %%\n", name, ms(ns), rate(load_bytes, ns), percent(ms(of_ns), ms(ns)));
    };
    std::printf("load of a warm 512 MiB safetensors file: medians of %d   goal >= 90 %% of two threads' pread into mapped memory\n",
                plan.rounds);
    line("limit: two threads pread into mapped memory", limit_ns, limit_ns);
    line("limit for new memory: two threads populate a memfd, then that", new_limit_ns, new_limit_ns);
    line("load, the memory being there already (the model's loadMs)", percentile(fill, 0.5), limit_ns);
    line("whole call; share of the limit", percentile(whole, 0.5), limit_ns);
    line("whole call; share of the limit for new memory", percentile(whole, 0.5), new_limit_ns);
    std::printf("  making memory alone: allocate 512 MiB mapped %.2f ms; two threads populate %.2f ms\n", ms(percentile(create, 0.5)),
                ms(percentile(populate, 0.5)));
    print_stages(bed, model);
    std::filesystem::remove(bed.models / model);
}

void report_small_load(const Bed& bed, const Plan& plan) {
    Connection connection(bed.unix_door);
    std::vector<u64> whole;
    for (int i = 0; i < plan.small_loads; ++i) {
        const std::string model = write_model(bed, "small-" + std::to_string(i) + ".safetensors", small_bytes, 40);
        whole.push_back(time_of([&] { connection.must("POST", "/api/model/load", load_request(model, "true")); }));
        unload(connection, model);
    }
    std::printf("load of a new model of 2.25 MiB: p50 %.2f ms   max %.2f ms over %d models\n", ms(percentile(whole, 0.5)),
                ms(percentile(whole, 1)), plan.small_loads);
    print_stages(bed, "small-0.safetensors");
}

// --------------------------------------------------------------------------------------------------------------------------- recovery
struct Kept {
    std::string id;
    std::vector<std::byte> bytes;
};

/// 10,000 allocations and 1 GiB in all; one in a hundred has content to compare.
std::vector<Kept> fill_for_recovery(Connection& connection) {
    SeededRandom random(10'000);
    std::vector<Kept> kept;
    u64 total = 0;
    for (u64 i = 0; i < 10'000; ++i) {
        // 9,900 from 256 B to 64 KiB in arenas; 100 large ones share what is left.
        u64 size = 256 + random.next() % (64 * kib);
        if (i >= 9'900) size = i == 9'999 ? gib - total : (gib - total) / (10'000 - i);
        total += size;
        std::string id = value_of(allocate(connection, size), "id");
        if (i % 100 != 0) continue;
        Kept sample{std::move(id), std::vector<std::byte>(size)};
        for (std::byte& byte : sample.bytes) byte = static_cast<std::byte>(random.next());
        connection.put("/api/memory/allocation/" + sample.id + "/content", sample.bytes);
        kept.push_back(std::move(sample));
    }
    return kept;
}

void compare(Connection& connection, const Kept& sample) {
    std::vector<std::byte> now(sample.bytes.size());
    connection.get("/api/memory/allocation/" + sample.id + "/content", now);
    if (checksum(now) != checksum(sample.bytes)) give_up("an allocation came back changed");
}

void report_recovery(const Bed& bed, const Plan& plan) {
    std::vector<Kept> kept;
    {
        Connection connection(bed.unix_door);
        kept = fill_for_recovery(connection);
    }
    std::vector<u64> dying;
    std::vector<u64> ready;
    std::vector<u64> first_read;
    std::vector<u64> in_core;
    std::string recovery;
    for (int i = 0; i < plan.kills; ++i) {
        const pid_t core = bed.core_pid();
        const u64 killed_ns = monotonic_ns();
        const Fd end(static_cast<int>(syscall(SYS_pidfd_open, core, 0)));
        pollfd wait{end.get(), POLLIN, 0};
        if (kill(core, SIGKILL) != 0 || poll(&wait, 1, 60'000) != 1) give_up("kill");
        const u64 gone_ns = monotonic_ns();  // The keeper is told at this moment, and starts the next core.
        dying.push_back(gone_ns - killed_ns);
        for (;;) {  // The sockets listen all along; a connection of the dead core's breaks, and the next waits for the next core.
            Connection connection(bed.unix_door);
            if (connection.ask("GET", "/readyz").status != 200) continue;
            ready.push_back(monotonic_ns() - gone_ns);
            compare(connection, kept[static_cast<std::size_t>(i)]);
            first_read.push_back(monotonic_ns() - gone_ns);
            for (const Kept& sample : kept) compare(connection, sample);
            const std::string system = connection.must("GET", "/api/system");
            recovery = system.substr(system.find("\"recovery\":"));
            in_core.push_back(static_cast<u64>(std::atof(value_of(recovery, "totalMs").c_str()) * 1e6));
            break;
        }
    }
    const double first_ms = ms(dying.front());  // `percentile` sorts.
    std::printf("recovery, 10,000 allocations, 1 GiB, %d kills: core's end to /readyz 200 p50 %.2f ms, max %.2f ms   goal <= 50 ms\n",
                plan.kills, ms(percentile(ready, 0.5)), ms(percentile(ready, 1)));
    std::printf("  to the first content read p50 %.2f ms; the core says p50 %.2f ms; %zu contents compared after each kill, all equal\n",
                ms(percentile(first_read, 0.5)), ms(percentile(in_core, 0.5)), kept.size());
    std::printf("  before that, SIGKILL to the core's end (the kernel unmaps its memory): first %.2f ms, p50 %.2f ms\n", first_ms,
                ms(percentile(dying, 0.5)));
    std::printf("  %s\n", recovery.substr(0, recovery.find('}') + 1).c_str());
}

// ------------------------------------------------------------------------------------------------------------------------ small calls
void report_pairs(const Bed& bed, const Plan& plan) {
    Connection connection(bed.unix_door);
    for (const auto& [name, size, share] : {std::tuple{"256 B", u64{256}, u64{1}}, {"1 MiB", mib, u64{1}}, {"16 MiB", 16 * mib, u64{5}}}) {
        const u64 pairs = plan.pairs / share;
        const u64 ns = time_of([&] {
            for (u64 i = 0; i < pairs; ++i) free_one(connection, value_of(allocate(connection, size), "id"));
        });
        std::printf("allocate + free of %-6s over one connection: %8.0f pairs/s\n", name,
                    static_cast<double>(pairs) * 1e9 / static_cast<double>(ns));
    }
}

/// Memory of the core's own: anonymous pages, for blocks are shared memory.
u64 own_bytes(pid_t core) {
    std::FILE* file = std::fopen(("/proc/" + std::to_string(core) + "/status").c_str(), "re");
    if (file == nullptr) give_up("no status of the core");
    u64 kilobytes = 0;
    for (char line[256]; std::fgets(line, sizeof line, file) != nullptr;)
        if (std::strncmp(line, "RssAnon:", 8) == 0) kilobytes = std::strtoull(line + 8, nullptr, 10);
    std::fclose(file);
    return kilobytes * kib;
}

void report_footprint(const Bed& bed, const Plan& plan) {
    Connection connection(bed.unix_door);
    const pid_t core = bed.core_pid();
    const u64 before = own_bytes(core);
    const u64 ns = time_of([&] {
        for (u64 i = 0; i < plan.many; ++i) (void)allocate(connection, 256);
    });
    const u64 grown = own_bytes(core) - std::min(before, own_bytes(core));
    std::printf("%llu allocations of 256 B: %.0f a second; the core grew by %.1f MiB, %llu bytes each\n",
                static_cast<unsigned long long>(plan.many), static_cast<double>(plan.many) * 1e9 / static_cast<double>(ns),
                static_cast<double>(grown) / static_cast<double>(mib), static_cast<unsigned long long>(grown / plan.many));
}

void run(const Plan& plan) {
    static const Bed bed(4 * gib);  // Static: it also ends when the program gives up.
    (void)std::setvbuf(stdout, nullptr, _IOLBF, 0);
    report_content(bed, plan, bed.unix_door);
    report_content(bed, plan, bed.tcp_door);
    report_pairs(bed, plan);
    report_status(bed, plan);
    report_load(bed, plan);
    report_small_load(bed, plan);
    report_recovery(bed, plan);
    report_footprint(bed, plan);
}
}  // namespace
}  // namespace vramd::bench

int main(int argument_count, char** arguments) {
    const bool quick = argument_count > 1 && std::string_view(arguments[1]) == "--quick";
    vramd::bench::run(quick ? vramd::bench::quick_plan : vramd::bench::Plan{});
}
