#include "transfer/engine.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "base/checksum.hpp"
#include "base/random.hpp"
#include "device/sim/sim.hpp"

namespace vramd::transfer {
namespace {
using device::sim::Backing;
const Options stepped{.mode = Options::Mode::stepped};
Options threads_of(u32 count) { return {.threads = count}; }

/// A simulated device with blocks 1 and 2 of `size_bytes`, filled from a seed.
struct Bench {
    explicit Bench(u64 size_bytes) : size(size_bytes), backing({.id = "sim0", .capacity_bytes = 1 * gib}), device(backing.open()) {
        for (const u64 key : {1, 2}) {
            REQUIRE(device->create({key, size, device::BlockKind::arena}).has_value());
            SeededRandom random(key);
            const auto bytes = device->map(key)->write().value();
            // Runs of 512 bytes that are all different tell a misplaced chunk as well as single bytes would, and sooner.
            for (u64 at = 0; at < size; at += 512)
                std::memset(&bytes[at], static_cast<int>(random.next() & 0xFF), std::min<u64>(512, size - at));
            for (u64 at = 0; at < size; at += 509) bytes[at] = static_cast<std::byte>(random.next());
        }
    }
    Place place(u64 key, u64 offset, u64 count) { return {device.get(), key, *Range::within(size, offset, count)}; }
    Place all(u64 key) { return place(key, 0, size); }
    std::vector<std::byte> content(u64 key) {
        const auto mapping = *device->map(key);
        std::vector<std::byte> bytes(size);
        std::memcpy(bytes.data(), mapping.read().data(), size);
        return bytes;
    }
    bool holds(u64 key, const std::vector<std::byte>& expected) {
        const auto mapping = *device->map(key);
        return mapping.size_bytes() == expected.size() && std::memcmp(mapping.read().data(), expected.data(), expected.size()) == 0;
    }
    u64 size;
    Backing backing;
    std::unique_ptr<device::Device> device;
};

/// Submits and waits for the end.
Result<Outcome> finish(Engine& engine, Job job) {
    std::promise<Result<Outcome>> promise;
    auto future = promise.get_future();
    TRY_DO(engine.submit(std::move(job), [&](Result<Outcome> outcome) { promise.set_value(std::move(outcome)); }));
    while (engine.step() > 0) continue;
    return future.get();
}

Job zero(Place target) { return {.kind = Kind::zero, .target = target}; }
Job copy(Place source, Place target) { return {.kind = Kind::copy, .source = source, .target = target}; }
Done into(std::optional<Result<Outcome>>& result) {
    return [&result](Result<Outcome> outcome) { result = std::move(outcome); };
}
}  // namespace

TEST_CASE("every kind of job does what it says, and nothing beside its range, on threads and stepped") {
    for (const Options& options : {threads_of(3), stepped})
        for (const auto& [offset, size] : {std::pair<u64, u64>{0, 4096}, {1, 1}, {4095, 9 * mib + 3}, {10 * mib, 0}, {mib, chunk_bytes}}) {
            Bench bench(10 * mib);
            Engine engine(options);
            const auto range = [&](u64 key) { return bench.place(key, offset, size); };
            const auto before = bench.content(1);
            auto expected = bench.content(2);
            const auto part = [&](std::vector<std::byte>& bytes) { return std::span(bytes).subspan(offset, size); };
            const auto check = [&](Job job) {
                const auto outcome = finish(engine, std::move(job));
                REQUIRE(outcome.has_value());
                CHECK(outcome->bytes == size);
                CHECK(bench.holds(2, expected));
                return *outcome;
            };
            std::memcpy(part(expected).data(), &before.data()[offset], size);
            check(copy(range(1), range(2)));
            std::memset(part(expected).data(), 0x7F, size);
            check({.kind = Kind::fill, .target = range(2), .fill_value = std::byte{0x7F}});
            std::memset(part(expected).data(), 0, size);
            check(zero(range(2)));
            std::vector<std::byte> in(&before.data()[offset], &before.data()[offset] + size);
            std::ranges::copy(in, part(expected).begin());
            const auto written = check({.kind = Kind::write_in, .target = range(2), .in = in, .verify = Verify::checksum});
            std::vector<std::byte> out(size, std::byte{0xEE});
            check({.kind = Kind::read_out, .source = range(1), .out = out});
            CHECK((size == 0 || std::memcmp(out.data(), in.data(), size) == 0));
            const auto summed = check({.kind = Kind::checksum, .source = range(1)});
            CHECK(summed.checksum == chunked_checksum(in));
            CHECK(written.checksum == summed.checksum);
            CHECK(bench.holds(1, before));
            CHECK(engine.pending() == 0);
        }
}

TEST_CASE("an overlapping copy leaves what memmove leaves, at every distance and in both directions") {
    const u64 size = 10 * mib;
    for (const Options& options : {threads_of(4), stepped})
        for (const u64 distance : {u64{1}, u64{64}, summed_piece_bytes, 300 * kib, chunk_bytes - 1, chunk_bytes, chunk_bytes + 1, u64{0}}) {
            const u64 count = size - distance;
            Bench bench(size);
            Engine engine(options);
            auto expected = bench.content(1);
            std::memmove(&expected[distance], expected.data(), count);
            Job up = copy(bench.place(1, 0, count), bench.place(1, distance, count));
            up.verify = distance % 2 == 0 ? Verify::checksum : Verify::none;
            REQUIRE(finish(engine, up).has_value());
            CHECK(bench.holds(1, expected));
            std::memmove(expected.data(), &expected[distance], count);
            Job back = copy(bench.place(1, distance, count), bench.place(1, 0, count));
            back.verify = Verify::checksum;
            REQUIRE(finish(engine, back).has_value());
            CHECK(bench.holds(1, expected));
        }
}

TEST_CASE("a wrong job is refused before anything happens") {
    Bench bench(mib);
    Engine engine(threads_of(1));
    const auto refused = [&](Job job) { return engine.submit(std::move(job), [](Result<Outcome>) { FAIL("done was called"); }).error(); };
    CHECK(refused({.kind = Kind::zero}).field == "target");
    CHECK(refused({.kind = Kind::copy, .target = bench.all(1)}).field == "source");
    CHECK(refused({.kind = Kind::checksum}).code == Code::invalid_field);
    CHECK(refused(copy(bench.place(1, 0, 8), bench.place(2, 0, 9))).code == Code::invalid_field);
    std::vector<std::byte> bytes(7);
    CHECK(refused({.kind = Kind::read_out, .source = bench.place(1, 0, 8), .out = bytes}).limit == 7);
    CHECK(refused({.kind = Kind::write_in, .target = bench.place(1, 0, 8), .in = bytes}).code == Code::invalid_field);
    CHECK(refused(zero({bench.device.get(), 9, *Range::within(mib, 0, 1)})).code == Code::not_found);
    CHECK(refused(zero({bench.device.get(), 1, *Range::within(2 * mib, mib, 1)})).code == Code::out_of_range);
    CHECK(refused(zero({nullptr, 1, *Range::within(mib, 0, 1)})).code == Code::invalid_field);
    REQUIRE(bench.device->create({3, mib, device::BlockKind::shareable}).has_value());
    REQUIRE(bench.device->seal_for_sharing(3).has_value());
    CHECK(refused(zero(bench.all(3))).code == Code::conflict);
    bench.backing.lose("test");
    CHECK(refused(zero(bench.all(1))).code == Code::device_lost);
    CHECK(engine.pending() == 0);
}

TEST_CASE("a job of no bytes ends once, as finished, even when it is cancelled before its end is told") {
    Bench bench(mib);
    u64 ends = 0;
    Engine engine(stepped);
    const auto ticket = engine.submit(zero(bench.place(1, 0, 0)), [&](Result<Outcome> outcome) {
        ++ends;
        CHECK(outcome.has_value());
    });
    REQUIRE(ticket.has_value());
    CHECK(engine.cancel(*ticket).has_value());
    CHECK(engine.step() == 0);
    CHECK(engine.step() == 0);
    CHECK(ends == 1);
    CHECK(engine.pending() == 0);
}

TEST_CASE("a verified copy into memory with a stuck address line fails and says so, an unverified one cannot know") {
    // Two pages of `out` are one page of memory, as when a line of the address is stuck: what is written second is read in both places.
    constexpr u64 size = 3 * chunk_bytes;
    const Fd page(memfd_create("aliased", MFD_CLOEXEC));
    REQUIRE(ftruncate(page.get(), 4096) == 0);
    void* const area = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(area != MAP_FAILED);
    auto* const bytes = static_cast<std::byte*>(area);
    for (std::byte* const at : {bytes, bytes + 4096})
        REQUIRE(mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, page.get(), 0) != MAP_FAILED);
    Bench bench(size);
    Job job{.kind = Kind::read_out, .source = bench.all(1), .out = {bytes, size}};
    for (const Options& options : {threads_of(2), stepped}) {
        Engine engine(options);
        job.verify = Verify::none;
        CHECK(finish(engine, job).has_value());
        job.verify = Verify::checksum;
        CHECK(finish(engine, job).error().code == Code::device_lost);
        CHECK(engine.pending() == 0);
    }
    std::optional<Result<Outcome>> result;
    Engine engine(stepped);
    REQUIRE(engine.submit(job, into(result)).has_value());
    CHECK(engine.step() == 1);
    REQUIRE(result.has_value());  // At once: no further chunk is begun.
    CHECK(engine.step() == 0);
    Job small{.kind = Kind::read_out, .source = bench.place(1, 0, 8192), .out = {bytes, 8192}, .verify = Verify::checksum};
    CHECK(engine.run_now(small).error().code == Code::device_lost);
    munmap(area, size);
}

TEST_CASE("a job runs on when its blocks are released under it") {
    Bench bench(8 * mib);
    std::optional<Result<Outcome>> result;
    Engine engine(stepped);
    REQUIRE(engine.submit(copy(bench.all(1), bench.all(2)), into(result)).has_value());
    CHECK(engine.step() == 1);
    REQUIRE(bench.device->release(1).has_value());
    REQUIRE(bench.device->release(2).has_value());
    CHECK(engine.step() == 1);
    REQUIRE(result.has_value());
    CHECK(result->value().bytes == 8 * mib);
}

TEST_CASE("progress tells what is done, and a stepped job advances by one chunk at a step") {
    Bench bench(10 * mib);
    std::optional<Result<Outcome>> result;
    Engine engine(stepped);
    const Ticket ticket = *engine.submit(zero(bench.all(1)), into(result));
    for (u64 done = 0; done < 10 * mib; done += chunk_bytes) {
        CHECK(engine.progress(ticket)->bytes_done == done);
        CHECK(engine.progress(ticket)->bytes_total == 10 * mib);
        CHECK(!result.has_value());
        CHECK(engine.step() == 1);
    }
    CHECK(result->value().bytes == 10 * mib);
    CHECK(result->value().duration_ns == 0);
    CHECK(!engine.progress(ticket).has_value());
    CHECK(engine.step() == 0);
    CHECK(engine.cancel(ticket).error().code == Code::not_found);
}

TEST_CASE("a cancelled job ends as cancelled at every point, except when its last byte is done") {
    for (u64 steps = 0; steps <= 3; ++steps) {
        Bench bench(12 * mib);
        auto expected = bench.content(1);
        std::optional<Result<Outcome>> result;
        Engine engine(stepped);
        const Ticket ticket = *engine.submit(zero(bench.all(1)), into(result));
        for (u64 i = 0; i < steps; ++i) CHECK(engine.step() == 1);
        CHECK(engine.cancel(ticket).has_value() == (steps < 3));
        if (steps < 3) CHECK(engine.cancel(ticket).has_value());  // Twice is once.
        CHECK(engine.step() == 0);
        REQUIRE(result.has_value());
        if (steps < 3) CHECK(result->error().code == Code::cancelled);
        if (steps == 3) CHECK(result->has_value());
        std::memset(expected.data(), 0, steps * chunk_bytes);
        CHECK(bench.holds(1, expected));
        CHECK(engine.pending() == 0);
    }
}

TEST_CASE("urgent jobs go first and jobs of one priority take turns") {
    Bench bench(12 * mib);
    std::vector<int> ended;
    Engine engine(stepped);
    const auto submit = [&](int name, u64 size, Priority priority) {
        Job job = zero(bench.place(1, 0, size));
        job.priority = priority;
        return *engine.submit(job, [&ended, name](Result<Outcome>) { ended.push_back(name); });
    };
    const Ticket a = submit(1, 12 * mib, Priority::normal);
    const Ticket b = submit(2, 8 * mib, Priority::normal);
    submit(3, 4 * mib, Priority::low);
    engine.step();
    engine.step();
    CHECK(engine.progress(a)->bytes_done == chunk_bytes);
    CHECK(engine.progress(b)->bytes_done == chunk_bytes);
    submit(4, 4 * mib, Priority::critical);
    submit(5, 4 * mib, Priority::high);
    while (engine.step() > 0) continue;
    CHECK((ended == std::vector{4, 5, 2, 1, 3}));
}

TEST_CASE("more jobs than the bound are refused as busy, and room comes back") {
    Bench bench(mib);
    std::optional<Result<Outcome>> results[3];  // The engine, which ends first, still writes here.
    Engine engine({.mode = Options::Mode::stepped, .jobs_max = 2});
    REQUIRE(engine.submit(zero(bench.all(1)), into(results[0])).has_value());
    REQUIRE(engine.submit(zero(bench.all(1)), into(results[1])).has_value());
    const auto refused = engine.submit(zero(bench.all(1)), into(results[2]));
    CHECK(refused.error().code == Code::busy);
    CHECK(refused.error().limit == 2);
    engine.step();
    CHECK(engine.submit(zero(bench.all(1)), into(results[2])).has_value());
}

TEST_CASE("small jobs run at once on the caller's thread, large ones are sent to the queue") {
    Bench bench(mib);
    Engine engine(threads_of(1));
    auto expected = bench.content(2);
    const auto source = bench.content(1);
    std::copy_n(source.begin() + 5, 1000, expected.begin() + 7);
    const auto outcome = engine.run_now(copy(bench.place(1, 5, 1000), bench.place(2, 7, 1000)));
    REQUIRE(outcome.has_value());
    CHECK(outcome->bytes == 1000);
    CHECK(bench.holds(2, expected));
    CHECK(engine.run_now(zero(bench.place(1, 0, run_now_max_bytes))).has_value());
    CHECK(engine.run_now(zero(bench.place(1, 0, run_now_max_bytes + 1))).error().code == Code::too_large);
    CHECK(engine.run_now(zero(bench.place(1, 0, 0)))->bytes == 0);
}

TEST_CASE("each job's end comes exactly once under many submitters, cancels and a destruction in the middle") {
    std::atomic<u64> accepted{0}, ended{0}, finished{0}, cancelled{0};
    for (u64 round = 0; round < 4; ++round) {
        Bench bench(16 * mib);
        auto engine = std::make_unique<Engine>(threads_of(3));
        {
            std::vector<std::jthread> submitters;
            for (u64 lane = 0; lane < 3; ++lane)
                submitters.emplace_back([&, lane] {
                    SeededRandom random(round * 10 + lane);
                    for (int i = 0; i < 60; ++i) {
                        // Each submitter has a third of the block to itself: what is tested is the engine, not who wins a race of writers.
                        const u64 third = 5 * mib, base = lane * third, size = 1 + random.below(third / 2);
                        const Place low = bench.place(1, base, size), high = bench.place(1, base + random.below(third / 2), size);
                        Job job = i % 3 == 0 ? copy(low, high) : i % 3 == 1 ? zero(low) : Job{.kind = Kind::checksum, .source = high};
                        job.priority = static_cast<Priority>(random.below(4));
                        std::promise<void> over;
                        auto is_over = over.get_future();
                        const auto ticket = engine->submit(std::move(job), [&](Result<Outcome> outcome) {
                            ++ended;
                            ++(outcome ? finished : cancelled);
                            over.set_value();
                        });
                        REQUIRE(ticket.has_value());
                        ++accepted;
                        if (i % 5 == 0) (void)engine->cancel(*ticket);  // Either answer is right: it may have ended.
                        (void)engine->progress(*ticket);
                        is_over.wait();
                    }
                });
        }
        for (int i = 0; i < 20; ++i) {
            REQUIRE(engine
                        ->submit(zero(bench.all(2)),
                                 [&](Result<Outcome> outcome) {
                                     ++ended;
                                     ++(outcome ? finished : cancelled);
                                 })
                        .has_value());
            ++accepted;
        }
        engine.reset();
    }
    CHECK(ended == accepted);
    CHECK(finished + cancelled == accepted);
    CHECK(cancelled > 0);
    CHECK(finished > 0);
}

TEST_CASE("a stepped engine that ends calls each done with cancelled") {
    Bench bench(8 * mib);
    std::optional<Result<Outcome>> results[2];
    {
        Engine engine(stepped);
        REQUIRE(engine.submit(zero(bench.all(1)), into(results[0])).has_value());
        REQUIRE(engine.submit(copy(bench.place(1, 0, 6 * mib), bench.place(1, mib, 6 * mib)), into(results[1])).has_value());
        engine.step();
    }
    for (const auto& result : results) CHECK(result.value().error().code == Code::cancelled);
}

TEST_CASE("a done may submit the next job") {
    Bench bench(mib);
    Engine engine(threads_of(2));
    std::promise<void> last;
    std::function<void(int)> chain = [&](int left) {
        const auto ticket = engine.submit(zero(bench.all(1)), [&, left](Result<Outcome>) {
            if (left == 0)
                last.set_value();
            else
                chain(left - 1);
        });
        REQUIRE(ticket.has_value());
    };
    chain(50);
    last.get_future().wait();
}

TEST_CASE("the machine's limits are measured") {
    const auto limits = measure_limits(1);
    REQUIRE(limits.has_value());
    // How fast the machine is is the benchmarks' matter; a sanitizer beside other work copies less than a tenth of it.
    CHECK(limits->copy_bytes_per_second > mib);
    CHECK(limits->zero_bytes_per_second > mib);
}
}  // namespace vramd::transfer
