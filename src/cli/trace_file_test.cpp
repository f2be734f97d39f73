#include "cli/trace_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/test_folder.hpp"
#include "ledger/ledger.hpp"
#include "terms/event.hpp"

using namespace vramd;
using namespace vramd::cli;

namespace {
/// A trace file with this text.
std::string file_with(const TestFolder& folder, const std::string& text) {
    const auto path = folder.path / "trace.csv";
    std::ofstream(path, std::ios::binary) << text;
    return path;
}
constexpr u64 second = 1'000'000'000;

/// One batch with these events.
void append(ledger::Ledger& ledger, u64 wall_s, const std::vector<Event>& events) {
    std::vector<std::vector<std::byte>> bytes;
    for (const Event& event : events) encode(event, bytes.emplace_back());
    REQUIRE(ledger.append(wall_s * second, bytes).has_value());
}
/// A model of `size_bytes` is asked for, and is there a second later.
void load(ledger::Ledger& ledger, u64 wall_s, u64 serial, u64 size_bytes) {
    OperationStarted started;
    started.id.serial = serial;
    started.request.name = "m" + std::to_string(serial);
    started.wall_ns = wall_s * second;
    append(ledger, wall_s, {started});
    ModelLoading loading{{serial, 0}, {serial, 0}, {serial, 0}, 0, ModelTier::device, 0, {}};
    loading.inspection.identity.inode = serial;
    loading.inspection.memory_bytes = size_bytes;
    append(ledger, wall_s, {loading});
    append(ledger, wall_s + 1, {ModelResident{{serial, 0}, {serial, 0}, 0, second, (wall_s + 1) * second}});
}
}  // namespace

TEST_CASE("lines are cut right wherever the pieces end that a file is read in, and the last one may lack its end") {
    const TestFolder folder;
    std::string text = "timeMs,model,bytes,useMs\n";
    constexpr u64 count = 30'000;  // More than one piece of 64 KiB, whatever a line's length.
    for (u64 i = 0; i < count; ++i)
        text += std::to_string(i) + ",m" + std::to_string(i % 7) + "," + std::to_string(100 + i % 7) + "," + std::to_string(i * i % 1000) +
                (i + 1 == count ? "" : "\r\n");
    const auto trace = read_trace(file_with(folder, text));
    REQUIRE(trace.has_value());
    REQUIRE(trace->named.trace.requests.size() == count);
    for (u64 i = 0; i < count; ++i) REQUIRE(trace->named.trace.requests[i].use_ns == i * i % 1000 * 1'000'000);
    CHECK(trace->capacity_bytes == 0);
}

TEST_CASE("what is no trace is refused with file, line and column, and nothing is read beyond it") {
    const TestFolder folder;
    const auto wrong = read_trace(file_with(folder, "timeMs,model,bytes\n0,a,1\n1,b,none\n"));
    REQUIRE(!wrong.has_value());
    CHECK((wrong.error().exit == Exit::usage));
    CHECK(wrong.error().what.ends_with("trace.csv:3: bytes: 'none' is no whole number from 1 to 9223372036854775807."));
    const auto endless = read_trace(file_with(folder, std::string(1'000'000, 'x')));
    REQUIRE(!endless.has_value());
    CHECK(endless.error().what.contains("trace.csv:1: It is longer than 4096 bytes."));
    CHECK((read_trace("/dev/zero").error().exit == Exit::usage));
    CHECK((read_trace(file_with(folder, "")).error().exit == Exit::usage));
    CHECK((read_trace(folder.path / "absent").error().exit == Exit::not_found));
    CHECK((read_trace(folder.path).error().exit == Exit::not_found));  // A folder without a ledger.
}

TEST_CASE("a ledger is read while a daemon writes it, from its folder or the one around it") {
    const TestFolder folder;
    auto opened = ledger::Ledger::open({folder.path / "ledger", "boot-1", 64 * kib, gib});
    REQUIRE(opened.has_value());
    ledger::Ledger& ledger = *opened->ledger;
    append(ledger, 1, {DeviceAdded{"a", 1000, 100}});
    CHECK((read_trace(folder.path).error().exit == Exit::not_found));  // No request yet.
    load(ledger, 10, 1, 250);
    load(ledger, 20, 2, 100);
    append(ledger, 30, {AllocationAccessed{{1, 0}, 30 * second, 0}});
    for (const auto& path : {folder.path, folder.path / "ledger"}) {
        const auto trace = read_trace(path);
        REQUIRE(trace.has_value());
        CHECK(trace->named.names == std::vector<std::string>{"m1", "m2"});
        CHECK(trace->named.trace.requests.size() == 3);
        CHECK(trace->named.trace.models[0].size_bytes == 300);
        CHECK(trace->named.trace.models[0].load_ns == second);
        CHECK(trace->capacity_bytes == 1000);
        CHECK(trace->notes.empty());
    }
    append(ledger, 40, {AllocationAccessed{{2, 0}, 40 * second, 0}});
    CHECK(read_trace(folder.path)->named.trace.requests.size() == 4);
}
