/// Torn and flipped files: every byte cut, every bit turned; and deaths at every step of every kind of store.
#include <sys/wait.h>

#include <fstream>

#include "base/choices.hpp"
#include "ledger/directory.hpp"
#include "ledger/format.hpp"
#include "ledger/ledger_bed.hpp"
#include "ledger/step.hpp"

using namespace vramd;
using namespace vramd::ledger;

namespace {
std::string load(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}
void save(const std::filesystem::path& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// A ledger of six batches in one small file, as bytes; `ends[i]` is where batch i ends.
struct Sample {
    explicit Sample(const Bed& bed) {
        const Opened open = opened(bed.options());
        const u64 room_bytes = open.ledger->room_bytes();
        for (u64 i = 0; i < 6; ++i) {
            batches.push_back(add(*open.ledger, i, {"event " + std::to_string(i), std::string(i, 'x')}));
            ends.push_back(segment_head_bytes + room_bytes - open.ledger->room_bytes());
        }
        path = bed.state() / numbered_name(segment_prefix, 1);
        bytes = load(path);
    }
    /// The batches that lie wholly before `offset_bytes`.
    [[nodiscard]] std::vector<Told> before(u64 offset_bytes) const {
        std::vector<Told> whole;
        for (std::size_t i = 0; i < ends.size(); ++i)
            if (ends[i] <= offset_bytes) whole.push_back(batches[i]);
        return whole;
    }
    std::vector<Told> batches;
    std::vector<u64> ends;
    std::filesystem::path path;
    std::string bytes;
};

/// Opens what the test left, compares, appends, and opens once more: the repair must hold and be quiet.
void check_recovery(const Bed& bed, const std::vector<Told>& expected, u64 numbers_given) {
    Opened open = opened(bed.options());
    REQUIRE(open.findings.damages.size() == 1);
    REQUIRE(!open.findings.damages.front().why.empty());
    REQUIRE(replayed(*open.ledger) == expected);
    REQUIRE(!std::filesystem::is_empty(bed.state() / "damaged"));
    const Told next = add(*open.ledger, 9, {"after the damage"});
    REQUIRE(next.first_sequence > numbers_given);
    REQUIRE(open.ledger->settle_damage().has_value());
    open = opened(bed.options());
    REQUIRE(!open.findings.damage_unsettled);
    REQUIRE(open.findings.damages.empty());
    std::vector<Told> all = expected;
    all.push_back(next);
    REQUIRE(replayed(*open.ledger) == all);
}

void start_over(const Bed& bed, const Sample& sample, std::string_view bytes) {
    std::filesystem::remove_all(bed.state());
    std::filesystem::create_directories(bed.state());
    save(sample.path, bytes);
}
}  // namespace

TEST_CASE("a file cut at any byte gives the records before the cut and reports the rest") {
    const Bed bed(Bed::On::memory);
    const Sample sample(bed);
    for (u64 cut = 0; cut < sample.ends.back() + 64; ++cut) {
        CAPTURE(cut);
        start_over(bed, sample, std::string_view(sample.bytes).substr(0, cut));
        check_recovery(bed, sample.before(cut), cut < segment_head_bytes ? 0 : sample.batches.back().first_sequence + 1);
    }
}

TEST_CASE("damage is told to every opener until one has settled what it means, and to none after that") {
    const Bed bed(Bed::On::memory);
    const Sample sample(bed);
    std::string spoiled = sample.bytes;
    spoiled[sample.ends[3] + 20] = static_cast<char>(spoiled[sample.ends[3] + 20] ^ 1);
    save(sample.path, spoiled);
    CHECK(opened(bed.options()).findings.damages.size() == 1);
    for (int again = 0; again < 2; ++again) {
        const Opened open = opened(bed.options());
        CHECK(open.findings.damages.empty());
        CHECK(open.findings.damage_unsettled);
    }
    {
        const Opened open = opened(bed.options());
        REQUIRE(open.ledger->settle_damage().has_value());
        CHECK(open.ledger->settle_damage().has_value());
    }
    CHECK(!opened(bed.options()).findings.damage_unsettled);
}

TEST_CASE("any bit turned in the last records gives the records before it and reports it") {
    const Bed bed(Bed::On::memory);
    const Sample sample(bed);
    for (u64 at = sample.ends[3]; at < sample.ends.back() + commit_bytes; ++at)
        for (int bit = 0; bit < 8; ++bit) {
            CAPTURE(at);
            CAPTURE(bit);
            std::string bytes = sample.bytes;
            bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
            start_over(bed, sample, bytes);
            check_recovery(bed, sample.before(at), sample.batches.back().first_sequence + 1);
        }
}

TEST_CASE("records turned to zeros, which look like an end, are missed all the same") {
    const Bed bed(Bed::On::memory);
    const Sample sample(bed);
    for (std::size_t kept = 0; kept + 1 < sample.ends.size(); ++kept) {
        CAPTURE(kept);
        std::string bytes = sample.bytes;
        std::fill(bytes.begin() + static_cast<long>(sample.ends[kept]), bytes.end(), '\0');
        start_over(bed, sample, bytes);
        check_recovery(bed, sample.before(sample.ends[kept]), sample.batches.back().first_sequence + 1);
    }
}

TEST_CASE("any bit turned in the head's checked part sets the file aside and the ledger goes on after it") {
    const Bed bed(Bed::On::memory);
    const Sample sample(bed);
    for (u64 at = 0; at < offsetof(SegmentHead, counted_sequence); ++at) {
        CAPTURE(at);
        std::string bytes = sample.bytes;
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
        start_over(bed, sample, bytes);
        check_recovery(bed, {}, sample.batches.back().first_sequence + 1);
    }
}

TEST_CASE("damage in the middle of several files ends trust there, and later files are set aside too") {
    const Bed bed(Bed::On::memory);
    std::vector<Told> all;
    {
        const Opened open = opened(bed.options());
        for (int i = 0; i < 100; ++i) {
            all.push_back(add(*open.ledger, 1, {std::string(300, 'm')}));
            if (i == 30 || i == 75) REQUIRE(open.ledger->snapshot(5, bytes_of("five")).has_value());
        }
    }
    const auto files = *list_numbered(bed.state(), segment_prefix);
    REQUIRE(files.size() == 3);
    std::string bytes = load(files[1].path);
    bytes[segment_head_bytes + 1000] = '!';
    save(files[1].path, bytes);
    Opened open = opened(bed.options());
    REQUIRE(open.findings.damages.size() == 2);
    const u64 trusted = open.findings.damages.front().sequence - 1;
    CHECK(trusted == files[1].number + 1);
    CHECK(open.findings.events_lost == 100 - trusted);
    CHECK(replayed(*open.ledger) == std::vector(all.begin() + 5, all.begin() + static_cast<long>(trusted)));
    CHECK(add(*open.ledger, 1, {"on"}).first_sequence == 101);
    open = opened(bed.options());
    CHECK(open.findings.damages.empty());
    CHECK(replayed(*open.ledger).back() == Told{101, 1, {"on"}});
}

TEST_CASE("a flipped snapshot is set aside and the one before it, with the records since, takes its place") {
    const Bed bed(Bed::On::memory);
    std::vector<Told> all;
    {
        const Opened open = opened(bed.options());
        for (u64 i = 1; i <= 100; ++i) {
            all.push_back(add(*open.ledger, 1, {std::string(300, 'm')}));
            if (i % 40 == 0) REQUIRE(open.ledger->snapshot(i, bytes_of("state at " + std::to_string(i))).has_value());
        }
    }
    const std::filesystem::path newest = bed.state() / numbered_name(snapshot_prefix, 80);
    std::string bytes = load(newest);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    save(newest, bytes);
    const Opened open = opened(bed.options());
    CHECK(open.findings.damages.size() == 1);
    CHECK(open.findings.events_lost == 0);
    REQUIRE(open.snapshot.has_value());
    CHECK(text_of(open.snapshot->state) == "state at 40");
    CHECK(replayed(*open.ledger) == std::vector(all.begin() + 40, all.end()));
}

TEST_CASE("a missing file between the state and the records is damage, not a gap that nobody sees") {
    const Bed bed(Bed::On::memory);
    {
        const Opened open = opened(bed.options());
        for (int i = 0; i < 100; ++i) {
            add(*open.ledger, 1, {std::string(300, 'm')});
            if (i == 30 || i == 75) REQUIRE(open.ledger->snapshot(5, bytes_of("five")).has_value());
        }
    }
    const auto files = *list_numbered(bed.state(), segment_prefix);
    REQUIRE(files.size() == 3);
    std::filesystem::remove(files[1].path);
    const Opened open = opened(bed.options());
    CHECK(open.findings.damages.size() == 1);
    CHECK(replayed(*open.ledger).back().first_sequence == files[1].number - 1);
    CHECK(open.ledger->sequence() == 100);
}

namespace {
/// The child's life: appends numbered batches with snapshots and new files in between, telling each acknowledged number through a pipe.
[[noreturn]] void append_until_killed(const Options& options, int pipe_fd, u64 kill_at, u64 batches) {
    auto open = Ledger::open(options);
    if (!open) _exit(1);
    Ledger& ledger = *open->ledger;
    kill_at_step(kill_at);
    for (u64 i = 0; i < batches; ++i) {
        const u64 next = ledger.sequence() + 1;
        const std::vector<std::vector<std::byte>> batch{bytes_of(std::to_string(next)), bytes_of(std::string(700, 'p'))};
        if (!ledger.append(next, batch)) _exit(2);
        if (write(pipe_fd, &next, sizeof next) != sizeof next) _exit(3);
        if (ledger.room_bytes() < 8 * kib && !ledger.snapshot(ledger.sequence(), bytes_of(std::to_string(ledger.sequence())))) _exit(4);
    }
    _exit(0);
}

/// Runs one child and checks what it left. Answers whether it lived to its end.
bool check_one_death(const Bed& bed, u64 kill_at, u64 batches, u64 kill_after_acknowledged) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    Options options = bed.options();
    options.history_bytes_max = 64 * kib;
    const pid_t child = fork();
    if (child == 0) append_until_killed(options, ends[1], kill_at, batches);
    close(ends[1]);
    u64 acknowledged = 0;
    u64 count = 0;
    while (read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged)
        if (++count == kill_after_acknowledged) kill(child, SIGKILL);
    close(ends[0]);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    const bool lived = WIFEXITED(status);
    if (lived) REQUIRE(WEXITSTATUS(status) == 0);
    if (!lived) REQUIRE(WTERMSIG(status) == SIGKILL);

    const Opened open = opened(options);
    if (!open.findings.damages.empty()) FAIL(open.findings.damages.front().why);
    if (acknowledged != 0) REQUIRE(open.ledger->sequence() >= acknowledged + 1);
    u64 expected = open.snapshot ? open.snapshot->sequence : 0;
    if (open.snapshot) REQUIRE(text_of(open.snapshot->state) == std::to_string(expected));
    for (const Told& told : replayed(*open.ledger)) {
        REQUIRE(told.first_sequence == expected + 1);
        REQUIRE(told.events.size() == 2);
        REQUIRE(told.events[0] == std::to_string(told.first_sequence));
        REQUIRE(told.events[1] == std::string(700, 'p'));
        expected += 2;
    }
    REQUIRE(expected == open.ledger->sequence());
    return lived;
}
}  // namespace

TEST_CASE("SIGKILL at every single step of appends, new files, snapshots and archiving loses nothing acknowledged") {
    u64 steps = 0;
    for (u64 kill_at = 1;; ++kill_at) {
        const Bed bed(Bed::On::memory);
        CAPTURE(kill_at);
        if (check_one_death(bed, kill_at, 45, 0)) break;
        steps = kill_at;
    }
    CHECK(steps > 45 * 5);
}

TEST_CASE("SIGKILL at random moments, again and again on one directory, loses nothing acknowledged") {
    const Bed bed(Bed::On::memory);
    Choices choices = Choices::from_seed(20260101);
    for (int i = 0; i < 100; ++i) {
        CAPTURE(i);
        check_one_death(bed, 0, 400, 1 + choices.below(60));
    }
}

TEST_CASE("a death inside an append is counted as unfinished and is no damage") {
    const Bed bed(Bed::On::memory);
    check_one_death(bed, 0, 3, 0);
    const pid_t child = fork();
    if (child == 0) {
        auto open = Ledger::open(bed.options());
        kill_at_step(2);
        const std::vector<std::vector<std::byte>> batch{bytes_of("never")};
        (void)open->ledger->append(1, batch);
        _exit(0);
    }
    REQUIRE(waitpid(child, nullptr, 0) == child);
    const Opened open = opened(bed.options());
    CHECK(open.findings.unfinished_bytes == 48);
    CHECK(open.findings.damages.empty());
    CHECK(open.ledger->sequence() == 6);
    CHECK(opened(bed.options()).findings.unfinished_bytes == 0);
}

TEST_CASE("bytes that an unfinished append left never come back as a record") {
    const Bed bed(Bed::On::memory);
    const pid_t child = fork();
    if (child == 0) {
        auto open = Ledger::open(bed.options());
        kill_at_step(1);
        const std::vector<std::vector<std::byte>> batch{std::vector<std::byte>(3000, std::byte{0x55})};
        (void)open->ledger->append(1, batch);
        _exit(0);
    }
    REQUIRE(waitpid(child, nullptr, 0) == child);
    std::vector<Told> all;
    for (int i = 0; i < 20; ++i) {
        const Opened open = opened(bed.options());
        CHECK(open.findings.damages.empty());
        CHECK(replayed(*open.ledger) == all);
        all.push_back(add(*open.ledger, 1, {"short"}));
    }
}
