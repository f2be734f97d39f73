/// Starts on a ledger whose last records cannot be trusted: what was handed out and forgotten is zero before it is handed out again.
#include <algorithm>

#include "engine/test_daemon.hpp"

namespace vramd::engine {
namespace {
constexpr u64 piece_bytes = 64 * kib;

/// How many of so many new allocations do not read as zero.
u64 count_stale(Daemon& daemon, u64 pieces) {
    u64 stale = 0;
    for (u64 i = 0; i < pieces; ++i) {
        const auto made = daemon.allocate("anna", piece_bytes);
        REQUIRE(made.has_value());
        const auto content = daemon.core->open_content({"anna", Role::user}, made->record.id, Access::read);
        REQUIRE(content.has_value());
        const auto bytes = (*content)->view(0, piece_bytes);
        REQUIRE(bytes.has_value());
        if (std::ranges::any_of(*bytes, [](std::byte byte) { return byte != std::byte{0}; })) ++stale;
    }
    return stale;
}

/// One allocation that the ledger keeps, then eight full of 7 whose records are spoiled while nothing runs.
void forget_full_allocations(Daemon& daemon) {
    REQUIRE(daemon.allocate("anna", piece_bytes).has_value());
    const std::filesystem::path file = daemon.folder / "ledger" / "ledger-00000000000000000001";
    const u64 kept_events = daemon.core->system().ledger_sequence;
    for (int i = 0; i < 8; ++i) {
        const auto made = daemon.allocate("anna", piece_bytes);
        REQUIRE(made.has_value());
        ClearRequest fill;
        fill.caller = {"anna", Role::user};
        fill.allocation = made->record.id;
        fill.fill_value = 7;
        REQUIRE(daemon.clear(fill).has_value());
    }
    daemon.end();
    // Record after record: a commit, then the first event's number, the time, the count and the size of what follows.
    std::fstream ledger(file, std::ios::binary | std::ios::in | std::ios::out);
    u64 at = 512;
    for (;;) {
        struct {
            u64 commit, first, wall;
            u32 count, size;
        } head{};
        ledger.seekg(static_cast<std::streamoff>(at));
        ledger.read(reinterpret_cast<char*>(&head), sizeof head);
        REQUIRE((ledger.good() && head.commit != 0));
        if (head.first > kept_events) break;
        at += sizeof head + (head.size + 7) / 8 * 8;
    }
    ledger.seekp(static_cast<std::streamoff>(at));
    ledger.put('\x01');
}
}  // namespace

TEST_CASE("memory whose handing out a damaged ledger forgot reads as zero for whoever gets it next") {
    Daemon daemon;
    forget_full_allocations(daemon);
    daemon.start();
    CHECK(count_stale(daemon, 16) == 0);
}

TEST_CASE("a read-only start on a damaged ledger leaves what it means to the next one") {
    Daemon daemon;
    forget_full_allocations(daemon);
    daemon.read_only = true;
    daemon.start();
    daemon.end();
    daemon.read_only = false;
    daemon.start();
    CHECK(count_stale(daemon, 16) == 0);
    daemon.end();
    daemon.start();
    for (const std::string& finding : daemon.core->system().recovery.findings)
        CHECK_MESSAGE(finding.find("damaged") == std::string::npos, finding);
}
}  // namespace vramd::engine
