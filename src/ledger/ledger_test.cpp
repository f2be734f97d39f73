#include "ledger/ledger.hpp"

#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "ledger/directory.hpp"
#include "ledger/ledger_bed.hpp"
#include "ledger/step.hpp"

using namespace vramd;
using namespace vramd::ledger;

TEST_CASE("what was appended is replayed in order after the ledger is opened again") {
    const Bed bed;
    std::vector<Told> expected;
    {
        const Opened first = opened(bed.options());
        CHECK(first.ledger->sequence() == 0);
        CHECK(!first.snapshot);
        CHECK(replayed(*first.ledger).empty());
        expected.push_back(add(*first.ledger, 10, {"reserved"}));
        expected.push_back(add(*first.ledger, 20, {"ready", "", std::string(1000, 'x')}));
        expected.push_back(add(*first.ledger, 30, {"freed"}));
        CHECK(first.ledger->sequence() == 5);
    }
    const Opened again = opened(bed.options());
    CHECK(again.findings.damages.empty());
    CHECK(again.findings.unfinished_bytes == 0);
    CHECK(again.findings.events == 5);
    CHECK(replayed(*again.ledger) == expected);
    CHECK(add(*again.ledger, 40, {"next"}).first_sequence == 6);
}

TEST_CASE("an append without an event, and one larger than half of a file, are refused and leave nothing") {
    const Bed bed;
    const Opened open = opened(bed.options());
    CHECK(open.ledger->append(1, {}).error().code == Code::invalid_field);
    const std::vector<std::vector<std::byte>> large{std::vector<std::byte>(8192)};
    CHECK(open.ledger->append(1, large).error().code == Code::too_large);
    const u64 limit = open.ledger->append(1, large).error().limit;
    const std::vector<std::vector<std::byte>> fits{std::vector<std::byte>(limit - 4)};
    const std::vector<std::vector<std::byte>> too_much{std::vector<std::byte>(limit - 3)};
    CHECK(!open.ledger->append(1, too_much).has_value());
    CHECK(open.ledger->append(1, fits).has_value());
    CHECK(open.ledger->sequence() == 1);
}

TEST_CASE("a full file refuses appends as read-only until a snapshot makes room, and no event is missing afterwards") {
    const Bed bed;
    std::vector<Told> all;
    Opened open = opened(bed.options());
    const std::string event(500, 'e');
    const std::vector<std::vector<std::byte>> batch{bytes_of(event)};
    while (true) {
        const u64 room_bytes = open.ledger->room_bytes();
        const auto first = open.ledger->append(7, batch);
        if (!first) {
            CHECK(first.error().code == Code::read_only);
            CHECK(room_bytes < 540);
            break;
        }
        all.push_back({*first, 7, {event}});
    }
    REQUIRE(all.size() > 20);
    REQUIRE(open.ledger->snapshot(20, bytes_of("state at 20")).has_value());
    CHECK(open.ledger->room_bytes() > 15 * kib);
    for (int i = 0; i < 5; ++i) all.push_back(add(*open.ledger, 8, {event}));
    CHECK(history(*open.ledger) == all);

    open = opened(bed.options());
    REQUIRE(open.snapshot.has_value());
    CHECK(open.snapshot->sequence == 20);
    CHECK(text_of(open.snapshot->state) == "state at 20");
    CHECK(replayed(*open.ledger) == std::vector(all.begin() + 20, all.end()));
    CHECK(history(*open.ledger) == all);
    CHECK(open.findings.damages.empty());
}

TEST_CASE("files follow one another without any snapshot as long as the next is prepared, and a replay goes through all of them") {
    const Bed bed;
    std::vector<Told> all;
    {
        const Opened open = opened(bed.options());
        for (int i = 0; i < 200; ++i) {
            if (open.ledger->room_bytes() < 8 * kib) REQUIRE(open.ledger->prepare().has_value());
            all.push_back(add(*open.ledger, 7, {std::string(500, static_cast<char>('a' + i % 26))}));
        }
        REQUIRE(open.ledger->prepare().has_value());  // Where none is needed it does nothing.
        CHECK(list_numbered(bed.state(), segment_prefix)->size() > 5);
        CHECK(history(*open.ledger) == all);
    }
    const Opened again = opened(bed.options());
    CHECK(again.findings.damages.empty());
    CHECK(replayed(*again.ledger) == all);
    REQUIRE(again.ledger->snapshot(200, bytes_of("s")).has_value());
    CHECK(list_numbered(bed.state(), segment_prefix)->size() <= 2);
    CHECK(history(*again.ledger) == all);
}

TEST_CASE("closed files that a snapshot has passed lie in the archive, and the oldest go when history is larger than its bound") {
    const Bed bed;
    Options options = bed.options();
    options.history_bytes_max = 40 * kib;
    Opened open = opened(options);
    std::vector<Told> all;
    for (int i = 0; i < 300; ++i) {
        all.push_back(add(*open.ledger, 1, {std::string(400, static_cast<char>('a' + i % 26))}));
        if (i % 20 == 19) REQUIRE(open.ledger->snapshot(open.ledger->sequence(), bytes_of("s")).has_value());
    }
    CHECK(list_numbered(bed.state(), segment_prefix)->size() <= 2);
    CHECK(list_numbered(bed.state(), snapshot_prefix)->size() == 1);
    const auto archived = *list_numbered(bed.state() / "archive", segment_prefix);
    REQUIRE(!archived.empty());
    u64 archive_bytes = 0;
    for (const auto& file : archived) archive_bytes += disk_bytes(file.path);
    const auto archived_snapshots = *list_numbered(bed.state() / "archive", snapshot_prefix);
    for (const auto& file : archived_snapshots) archive_bytes += disk_bytes(file.path);
    CHECK(archive_bytes <= options.history_bytes_max);
    const u64 oldest = open.ledger->oldest_sequence();
    CHECK(oldest > 1);
    CHECK(history(*open.ledger) == std::vector(all.begin() + static_cast<long>(oldest) - 1, all.end()));
    open = opened(options);
    CHECK(open.ledger->oldest_sequence() == oldest);
    CHECK(open.ledger->sequence() == 300);
    CHECK(open.findings.damages.empty());
}

TEST_CASE("history gives the batches around a range, whole, and stops when the reader has enough") {
    const Bed bed;
    const Opened open = opened(bed.options());
    for (int i = 0; i < 10; ++i) add(*open.ledger, 1, {"a", "b", "c"});
    const auto some = history(*open.ledger, 5, 10);
    REQUIRE(some.size() == 3);
    CHECK(some.front().first_sequence == 4);
    CHECK(some.back().first_sequence == 10);
    int visits = 0;
    REQUIRE(
        open.ledger->read(1, 30, [&](const Batch&) -> Result<Visit> { return ++visits == 2 ? Visit::enough : Visit::more; }).has_value());
    CHECK(visits == 2);
    const auto failed = open.ledger->read(1, 30, [](const Batch&) -> Result<Visit> { return refuse(Code::cancelled, "reader", 0, 0); });
    CHECK(failed.error().code == Code::cancelled);
    CHECK(history(*open.ledger, 31).empty());
}

TEST_CASE("another life of the memory archives the old ledger, replays nothing of it and numbers on") {
    const Bed bed;
    std::vector<Told> all;
    {
        const Opened first = opened(bed.options("boot-1"));
        all.push_back(add(*first.ledger, 1, {"one", "two"}));
        REQUIRE(first.ledger->snapshot(2, bytes_of("state")).has_value());
        all.push_back(add(*first.ledger, 2, {"three"}));
    }
    {
        const Opened second = opened(bed.options("boot-2"));
        CHECK(second.findings.archived.size() == 2);
        CHECK(second.findings.damages.empty());
        CHECK(!second.snapshot);
        CHECK(replayed(*second.ledger).empty());
        CHECK(second.ledger->sequence() == 3);
        all.push_back(add(*second.ledger, 3, {"four"}));
        CHECK(history(*second.ledger) == all);
        CHECK(text_of(second.ledger->snapshot_before(3).value()->state) == "state");
        CHECK(!second.ledger->snapshot_before(1).value().has_value());
    }
    const Opened again = opened(bed.options("boot-2"));
    CHECK(again.findings.archived.empty());
    CHECK(replayed(*again.ledger) == std::vector<Told>{{4, 3, {"four"}}});
    CHECK(std::filesystem::exists(bed.state() / "archive" / numbered_name(segment_prefix, 1)));
}

TEST_CASE("a disk with no room refuses the first file and a snapshot in words, and what is there stays") {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGXFSZ, &ignore, nullptr);
    const Bed bed;
    rlimit old_limit{};
    getrlimit(RLIMIT_FSIZE, &old_limit);
    const auto limit_files = [&](u64 bytes) {
        const rlimit limit{bytes, old_limit.rlim_max};
        REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    };
    limit_files(8 * kib);
    const auto refused = Ledger::open(bed.options());
    limit_files(old_limit.rlim_cur);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == Code::system_failed);

    Opened open = opened(bed.options());
    std::vector<Told> all;
    for (int i = 0; i < 30; ++i) all.push_back(add(*open.ledger, 1, {std::string(300, 'z')}));
    REQUIRE(open.ledger->snapshot(1, bytes_of("small")).has_value());
    limit_files(8 * kib);
    const auto large = open.ledger->snapshot(30, std::vector<std::byte>(64 * kib));
    limit_files(old_limit.rlim_cur);
    CHECK(!large.has_value());
    all.push_back(add(*open.ledger, 2, {"still appending"}));
    open = opened(bed.options());
    CHECK(open.snapshot->sequence == 1);
    CHECK(open.findings.damages.empty());
    CHECK(replayed(*open.ledger) == std::vector(all.begin() + 1, all.end()));
}

namespace {
Ledger* preparing_ledger = nullptr;  // What the hook, a plain function, works on.
}

TEST_CASE("a file that is asked for while another begins does not take that one's place") {
    const Bed bed;
    std::vector<Told> all;
    {
        const Opened open = opened(bed.options());
        preparing_ledger = open.ledger.get();
        // At the worst of moments: the file named `spare` has its head and not yet its number.
        on_step([](Step step) {
            if (step == Step::segment_headed) CHECK(preparing_ledger->prepare().has_value());
        });
        for (int i = 0; i < 400; ++i) {
            all.push_back(add(*open.ledger, 1, {std::string(200, 'x')}));
            CHECK(open.ledger->prepare().has_value());
        }
        on_step(nullptr);
        CHECK(history(*open.ledger) == all);
    }
    const Opened again = opened(bed.options());
    CHECK(again.findings.damages.empty());
    CHECK(replayed(*again.ledger) == all);
}

TEST_CASE("readers beside an appender see whole batches in order, across new files and snapshots") {
    const Bed bed;
    const Opened open = opened(bed.options());
    std::atomic<bool> done{false};
    std::atomic<u64> wanted_snapshot{0};
    std::atomic<u64> wrong{0};
    const auto read_on = [&] {
        u64 seen = 0;
        while (!done.load()) {
            const auto result = open.ledger->read(seen + 1, number_max, [&](const Batch& batch) -> Result<Visit> {
                if (batch.first_sequence != seen + 1 || batch.events.size() != 2) ++wrong;
                for (const auto& event : batch.events)
                    if (text_of(event) != std::to_string(++seen)) ++wrong;
                return Visit::more;
            });
            if (!result) ++wrong;
        }
    };
    const auto snapshot_on = [&] {
        while (!done.load())
            if (const u64 sequence = wanted_snapshot.exchange(0); sequence != 0 && !open.ledger->snapshot(sequence, bytes_of("s"))) ++wrong;
    };
    std::thread reader(read_on);
    std::thread snapshotter(snapshot_on);
    for (u64 sequence = 1; sequence < 4000;) {
        if (open.ledger->room_bytes() < 8 * kib) wanted_snapshot.store(sequence - 1);
        const std::vector<std::vector<std::byte>> batch{bytes_of(std::to_string(sequence)), bytes_of(std::to_string(sequence + 1))};
        if (open.ledger->append(1, batch))
            sequence += 2;
        else
            std::this_thread::yield();
    }
    done.store(true);
    reader.join();
    snapshotter.join();
    CHECK(wrong.load() == 0);
    CHECK(open.ledger->sequence() == 4000);
}
