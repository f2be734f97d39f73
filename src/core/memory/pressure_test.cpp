#include "core/memory/pressure.hpp"

#include <doctest/doctest.h>

#include "base/types.hpp"

using namespace vramd;
using namespace vramd::memory;

namespace {
const PartLevel& part(const Pressure& pressure, PressurePart which) { return *pressure.parts[static_cast<std::size_t>(which)]; }

/// A device of 1,000 MiB on a machine of 10,000 MiB, both calm.
PressureInput calm() {
    PressureInput input;
    input.usable_bytes = 1000 * mib;
    input.used_bytes = 100 * mib;
    input.uncommitted_bytes = 900 * mib;
    input.obtainable_bytes = 8000 * mib;
    input.physical_bytes = 10'000 * mib;
    input.system_available_bytes = 8000 * mib;
    input.other_processes_bytes = 1900 * mib;
    input.some_stall = 0;
    input.full_stall = 0;
    return input;
}
}  // namespace

TEST_CASE("each band begins exactly at its threshold") {
    CHECK(band_of(0) == PressureBand::low);
    CHECK(band_of(74'99) == PressureBand::low);
    CHECK(band_of(75'00) == PressureBand::moderate);
    CHECK(band_of(89'99) == PressureBand::moderate);
    CHECK(band_of(90'00) == PressureBand::high);
    CHECK(band_of(94'99) == PressureBand::high);
    CHECK(band_of(95'00) == PressureBand::critical);
    CHECK(band_of(100'00) == PressureBand::critical);
}

TEST_CASE("a device that we fill is tight because of this service") {
    PressureInput input = calm();
    input.used_bytes = 950 * mib;
    input.uncommitted_bytes = 50 * mib;
    const Pressure told = judge(input);
    CHECK(told.level == 95'00);
    CHECK(told.band == PressureBand::critical);
    CHECK(told.cause == PressureCause::this_service);
    CHECK(told.decisive == PressurePart::room);
    CHECK(told.taken_bytes == 0);
}

TEST_CASE("what others took from under us counts as gone, and is their doing where it is more than ours") {
    PressureInput input = calm();
    input.obtainable_bytes = 100 * mib;  // Of 900 MiB that no block covers, 800 are not there any more.
    const Pressure told = judge(input);
    CHECK(told.taken_bytes == 800 * mib);
    CHECK(told.level == 90'00);
    CHECK(told.cause == PressureCause::other_processes);
}

TEST_CASE("a full machine is tight whatever this device holds, and whose doing it is follows from who holds more") {
    PressureInput input = calm();
    input.system_available_bytes = 400 * mib;
    input.other_processes_bytes = 9000 * mib;
    Pressure told = judge(input);
    CHECK(told.level == 96'00);
    CHECK(told.decisive == PressurePart::machine);
    CHECK(told.cause == PressureCause::other_processes);
    input.other_processes_bytes = 1000 * mib;
    told = judge(input);
    CHECK(told.cause == PressureCause::this_service);
}

TEST_CASE("a control group with a limit is tight before the machine is") {
    PressureInput input = calm();
    input.group_limit_bytes = 2000 * mib;
    input.group_available_bytes = 150 * mib;
    const Pressure told = judge(input);
    CHECK(told.level == 92'50);
    CHECK(told.band == PressureBand::high);
    CHECK(told.decisive == PressurePart::group);
    CHECK(told.cause == PressureCause::other_processes);  // We hold 100 MiB of the 1,850.
    CHECK(part(told, PressurePart::group).used_bytes == 1850 * mib);
}

TEST_CASE("tasks that wait for memory are the system's pressure") {
    PressureInput input = calm();
    const auto level_at = [&input](u64 some, u64 full) {
        input.some_stall = some;
        input.full_stall = full;
        return judge(input).level;
    };
    CHECK(level_at(0, 0) == 20'00);  // The machine's use.
    CHECK(level_at(25'00, 0) == 75'00);
    CHECK(level_at(10'00, 10'00) == 75'00);
    CHECK(level_at(30'00, 20'00) == 82'50);
    CHECK(level_at(30'00, 30'00) == 90'00);
    CHECK(level_at(60'00, 60'00) == 95'00);
    CHECK(level_at(100'00, 0) == 95'00);
    CHECK(level_at(100'00, 100'00) == 100'00);
    CHECK(judge(input).cause == PressureCause::system);
}

TEST_CASE("what the system does not say counts for nothing") {
    PressureInput input;
    input.usable_bytes = 100;
    input.used_bytes = 10;
    const Pressure told = judge(input);
    CHECK(told.level == 10'00);
    CHECK(!told.parts[static_cast<std::size_t>(PressurePart::machine)]);
    CHECK(!told.parts[static_cast<std::size_t>(PressurePart::group)]);
    CHECK(!told.parts[static_cast<std::size_t>(PressurePart::stall)]);
}

TEST_CASE("a device of which nothing may be used is full as soon as it holds anything") {
    PressureInput input;
    CHECK(judge(input).level == 0);
    input.used_bytes = 1;
    CHECK(judge(input).level == 100'00);
}

TEST_CASE("the trend is the slope of the last points") {
    std::vector<UsePoint> points;
    for (u64 i = 0; i < 20; ++i) points.push_back({1'000'000'000 + i * 100'000'000, 5 * gib + i * 10 * mib});
    CHECK(slope_of(points) == static_cast<i64>(100 * mib));
    for (UsePoint& point : points) point.bytes = 10 * gib - point.bytes;
    CHECK(slope_of(points) == -static_cast<i64>(100 * mib));
    for (UsePoint& point : points) point.bytes = 7;
    CHECK(slope_of(points) == 0);
    CHECK(!slope_of(std::span(points).first(2)).has_value());
    CHECK(!slope_of(std::span(points).first(10)).has_value());  // 0.9 s.
    CHECK(!slope_of({}).has_value());
}

TEST_CASE("a slope of the largest figures neither wraps nor traps") {
    std::vector<UsePoint> points;
    for (u64 i = 0; i < 300; ++i) points.push_back({i * 100'000'000, i % 2 == 0 ? 0 : number_max});
    REQUIRE(slope_of(points).has_value());
    points = {{0, 0}, {1, number_max}, {1'000'000'001, number_max}};
    CHECK(slope_of(points).has_value());
    points = {{0, 0}, {86'400'000'000'000, number_max}, {86'400'001'000'000, number_max}};
    CHECK(slope_of(points).has_value());
}

TEST_CASE("time to critical is what is left by how fast it goes, rounded up") {
    CHECK(seconds_to_critical(0, 1000, 100) == 10);
    CHECK(seconds_to_critical(0, 1000, 94) == 11);
    CHECK(seconds_to_critical(950, 1000, 0) == 0);
    CHECK(seconds_to_critical(949, 1000, 1) == 1);
    CHECK(!seconds_to_critical(949, 1000, 0).has_value());
    CHECK(!seconds_to_critical(949, 1000, -5).has_value());
    CHECK(!seconds_to_critical(0, gib, 1).has_value());  // Beyond the horizon.
    CHECK(seconds_to_critical(0, number_max, static_cast<i64>(number_max)) == 1);
}

TEST_CASE("a crossing counts after a second, and a band is left two points below its threshold") {
    constexpr u64 tenth = 100'000'000;
    BandWatch watch;
    u64 now = 0;
    const auto stand = [&](u64 level, u64 tenths) {
        std::optional<PressureBand> told;
        for (u64 i = 0; i < tenths; ++i, now += tenth)
            if (const auto crossed = watch.step(level, now)) {
                CHECK(!told.has_value());
                told = crossed;
            }
        return told;
    };
    CHECK(!stand(80'00, 10).has_value());
    CHECK(stand(80'00, 1) == PressureBand::moderate);
    CHECK(!stand(73'00, 50).has_value());  // Within the hysteresis.
    CHECK(!stand(72'99, 10).has_value());
    CHECK(!stand(75'00, 1).has_value());  // Back: the second begins anew.
    CHECK(!stand(72'99, 10).has_value());
    CHECK(stand(72'99, 1) == PressureBand::low);
    CHECK(!stand(96'00, 5).has_value());
    CHECK(!stand(91'00, 5).has_value());  // Still rising, less far.
    CHECK(stand(91'00, 1) == PressureBand::high);
    CHECK(stand(10'00, 11) == PressureBand::low);
}

TEST_CASE("what was recorded of a device is what a restarted core goes on from") {
    Pressures pressures;
    CHECK(pressures.band(3) == PressureBand::low);
    pressures.apply({3, PressureBand::low, PressureBand::high, 91'00, PressureCause::system, 77});
    CHECK(pressures.band(3) == PressureBand::high);
    CHECK(pressures.since_wall_ns(3) == 77);
    std::vector<std::byte> bytes;
    pressures.save(bytes);
    const auto restored = Pressures::restore(bytes);
    REQUIRE(restored.has_value());
    CHECK(restored->band(3) == PressureBand::high);
    std::vector<std::string> findings;
    restored->audit(4, findings);
    CHECK(findings.empty());
    restored->audit(3, findings);
    CHECK(findings.size() == 1);
    for (std::size_t size = 0; size < bytes.size(); ++size) CHECK(!Pressures::restore(std::span(bytes).first(size)).has_value());
    pressures.apply({3, PressureBand::high, PressureBand::low, 10'00, PressureCause::this_service, 78});
    bytes.clear();
    pressures.save(bytes);
    std::vector<std::byte> none;
    Pressures().save(none);
    CHECK(bytes == none);
}
