// links: http
/// What it costs to tell 100 readers of every event: changes per second with none, one and 100 of them, and how late each hears of a
/// change.
///
/// One thread reads all streams, so that the readers do not take more of the processors than they must. The limit, measured in turns with
/// the figures: the same bytes written by one thread to as many bare sockets that the same loop reads. --quick makes fewer changes.
#include <poll.h>

#include <array>
#include <atomic>

#include "daemon_bed.hpp"

namespace vramd::bench {
namespace {
constexpr std::size_t readers_most = 100;

/// Streams of events, read by one thread: counts the ends of allocations that each has heard of, and when the last one heard.
class Readers {
public:
    Readers(const Door& door, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            Fd socket = connect_to(door);
            const std::string text = "GET /api/events?type=allocationFreed HTTP/1.1\r\nHost: localhost\r\n\r\n";
            if (!send_all(socket, std::as_bytes(std::span(text)))) give_up("events");
            std::string head;
            for (char letter = 0; head.find("\r\n\r\n") == std::string::npos && recv(socket.get(), &letter, 1, 0) == 1;) head += letter;
            if (!head.starts_with("HTTP/1.1 200")) give_up("events answered " + head);
            sockets_.push_back(std::move(socket));
        }
        heard_.resize(count);
        thread_ = std::thread([this] { run(); });
    }
    ~Readers() {
        stopping_ = true;
        thread_.join();
    }
    Readers(const Readers&) = delete;
    Readers& operator=(const Readers&) = delete;
    /// Waits until every reader has heard of `count` ends; answers when the slowest had.
    u64 all_heard(u64 count) const {
        while (least_.load(std::memory_order_acquire) < count) std::this_thread::yield();
        return heard_ns_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] u64 bytes() const { return bytes_.load(std::memory_order_relaxed); }

private:
    void run() {
        std::vector<pollfd> waits;
        for (const Fd& socket : sockets_) waits.push_back({socket.get(), POLLIN, 0});
        std::vector<char> room(256 * kib);
        while (!stopping_) {
            if (poll(waits.data(), waits.size(), 20) <= 0) continue;
            for (std::size_t i = 0; i < waits.size(); ++i) {
                if (waits[i].revents == 0) continue;
                const ssize_t got = recv(waits[i].fd, room.data(), room.size(), MSG_DONTWAIT);
                if (got <= 0) continue;
                bytes_.fetch_add(static_cast<u64>(got), std::memory_order_relaxed);
                heard_[i] += count_events({room.data(), static_cast<std::size_t>(got)});
            }
            const u64 least = heard_.empty() ? ~u64{0} : *std::min_element(heard_.begin(), heard_.end());
            if (least != least_.load(std::memory_order_relaxed)) {
                heard_ns_.store(monotonic_ns(), std::memory_order_relaxed);
                least_.store(least, std::memory_order_release);
            }
        }
    }
    /// Events end with an empty line, which no read of ours cuts in a way that matters: the line before it ends with '}'.
    static u64 count_events(std::string_view text) { return static_cast<u64>(std::count(text.begin(), text.end(), '}')); }

    std::vector<Fd> sockets_;
    std::vector<u64> heard_;
    std::atomic<u64> least_ = 0;
    std::atomic<u64> heard_ns_ = 0;
    std::atomic<u64> bytes_ = 0;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

void pair(Connection& connection) {
    const std::string made = connection.must("POST", "/api/memory/allocations/allocate", "{\"deviceId\":\"a\",\"sizeBytes\":4096}");
    (void)connection.must("DELETE", "/api/memory/allocations/" + value_of(made, "id"));
}

struct Figures {
    double pairs_per_second = 0;
    double told_per_second = 0;  ///< Events times readers.
    u64 late_p50_ns = 0;
    u64 late_p99_ns = 0;
    double bytes_per_event = 0;
};

Figures with_readers(const Door& door, std::size_t count, u64 pairs) {
    Connection connection(door);
    Figures figures;
    Readers readers(door, count);
    // One change at a time: from its answer until the last reader has heard of it.
    std::vector<u64> late;
    const u64 singles = pairs / 5;
    for (u64 i = 1; i <= singles; ++i) {
        pair(connection);
        const u64 answered = monotonic_ns();
        if (count == 0) continue;
        const u64 heard = readers.all_heard(i);
        late.push_back(heard > answered ? heard - answered : 0);
    }
    const u64 begun = monotonic_ns();
    for (u64 i = 0; i < pairs; ++i) pair(connection);
    const u64 done = monotonic_ns();
    figures.pairs_per_second = static_cast<double>(pairs) * 1e9 / static_cast<double>(done - begun);
    if (count == 0) return figures;
    const u64 heard = readers.all_heard(singles + pairs);
    figures.told_per_second = static_cast<double>(pairs * count) * 1e9 / static_cast<double>(std::max(heard, done) - begun);
    figures.late_p50_ns = percentile(late, 0.5);
    figures.late_p99_ns = percentile(late, 0.99);
    figures.bytes_per_event = static_cast<double>(readers.bytes()) / static_cast<double>((singles + pairs) * count);
    return figures;
}

/// A thread writes `events` times `bytes` to each of 100 bare sockets, one after the other; events times sockets per second.
double bare(const std::filesystem::path& folder, u64 bytes, u64 events) {
    Door door{folder / "bare.sock", 0};
    const Fd listening = listen_at(door);
    std::vector<Fd> near, far;
    for (std::size_t i = 0; i < readers_most; ++i) {
        near.push_back(connect_to(door));
        far.push_back(Fd(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    }
    const u64 begun = monotonic_ns();
    std::thread writer([&] {
        const std::vector<std::byte> event(bytes, std::byte{'x'});
        for (u64 i = 0; i < events; ++i)
            for (const Fd& socket : far)
                if (!send_all(socket, event)) give_up("bare");
    });
    std::vector<pollfd> waits;
    for (const Fd& socket : near) waits.push_back({socket.get(), POLLIN, 0});
    std::vector<char> room(256 * kib);
    for (u64 left = bytes * events * readers_most; left > 0;) {
        if (poll(waits.data(), waits.size(), 1000) <= 0) continue;
        for (const pollfd& wait : waits)
            if (wait.revents != 0) left -= static_cast<u64>(std::max<ssize_t>(recv(wait.fd, room.data(), room.size(), MSG_DONTWAIT), 0));
    }
    writer.join();
    return static_cast<double>(events * readers_most) * 1e9 / static_cast<double>(monotonic_ns() - begun);
}

int run(bool quick) {
    const u64 pairs = quick ? 500 : 5'000;
    Bed bed(256 * mib);
    with_readers(bed.unix_door, 0, pairs);  // Warm.
    std::printf("allocate and free over HTTP, one connection, by how many read the events\n");
    std::printf("%8s %12s %16s %14s %14s\n", "readers", "pairs/s", "told events/s", "late p50 us", "late p99 us");
    double bytes = 250;
    constexpr std::array counts = {std::size_t{0}, std::size_t{1}, readers_most};
    std::array<Figures, counts.size()> best{};
    for (int round = 0; round < 3; ++round)  // In turns, so that a busy neighbour hits all of them; each round's best counts.
        for (std::size_t i = 0; i < counts.size(); ++i) {
            const Figures figures = with_readers(bed.unix_door, counts[i], pairs);
            if (figures.pairs_per_second > best[i].pairs_per_second) best[i] = figures;
        }
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const Figures& figures = best[i];
        std::printf("%8zu %12.0f %16.0f %14.1f %14.1f\n", counts[i], figures.pairs_per_second, figures.told_per_second,
                    us(figures.late_p50_ns), us(figures.late_p99_ns));
    }
    bytes = best.back().bytes_per_event;
    std::printf("limit: bare sockets, %zu of them, %.0f bytes an event: %.0f told events/s\n", readers_most, bytes,
                bare(bed.folder, static_cast<u64>(bytes), pairs));
    return 0;
}
}  // namespace
}  // namespace vramd::bench

int main(int count, char** words) { return vramd::bench::run(count > 1 && std::string_view(words[1]) == "--quick"); }
