#include <doctest/doctest.h>

#include "core/driver.hpp"
#include "core/reclaim.hpp"

using namespace vramd;
using namespace vramd::core;

namespace {
const Caller admin{"uid:0", Role::admin};

SetLimitsCommand set(LimitsChange change, Enforce enforce = Enforce::later) {
    SetLimitsCommand command;
    command.caller = admin;
    command.device_id = "a";
    command.change = std::move(change);
    command.enforce = enforce;
    return command;
}
LimitsChange max_of(u64 bytes) {
    LimitsChange change;
    change.max_bytes = bytes;
    return change;
}
LimitsChange quota_of(std::string owner, u64 bytes) {
    LimitsChange change;
    change.owner_quotas.emplace();
    change.owner_quotas->emplace(std::move(owner), bytes);
    return change;
}
AllocateCommand want(const std::string& owner, u64 size_bytes, AllocationType type = AllocationType::default_) {
    AllocateCommand command;
    command.caller = {owner, Role::user};
    command.size_bytes = size_bytes;
    command.type = type;
    command.secret = 7;
    return command;
}
struct Bench : Driver {
    explicit Bench(u64 capacity_bytes = 64 * mib) { add_device("a", capacity_bytes); }
    /// Loads a model of this size; its serial.
    u64 load(const std::string& name, u64 size_bytes, bool pinned = false) {
        LoadModelCommand command;
        command.caller = {"me", Role::user};
        command.request.name = name;
        command.request.path = name + ".gguf";
        command.request.pinned = pinned;
        command.operation_secret = 1;
        const auto started = give(command);
        REQUIRE(started);
        InspectedCommand inspected;
        inspected.operation = started->operation;
        inspected.inspection.memory_bytes = size_bytes;
        inspected.inspection.identity.inode = state.catalogue.next_operation();
        inspected.model_secret = 2;
        inspected.allocation_secret = 3;
        now.wall_ns += ns_per_second;
        for (int attempt = 0; attempt < 3 && state.catalogue.model_named(name) == nullptr; ++attempt) {
            REQUIRE(give(inspected));
            finish();
        }
        REQUIRE(give(LoadedCommand{started->operation, 5}));
        finish();
        effects.clear();
        const model::Model* model = state.catalogue.model_named(name);
        return model == nullptr ? 0 : state.catalogue.copies_of(model->id.serial).front()->allocation.serial;
    }
    void check() {
        const auto findings = audit(state);
        CHECK_MESSAGE(findings.empty(), (findings.empty() ? "" : findings.front()));
    }
};
Code code_of(const Result<Decision>& decision) {
    REQUIRE(!decision.has_value());
    return decision.error().code;
}
}  // namespace

TEST_CASE("a device's limit holds back what is above it, and what lies there already stays") {
    Bench bench;
    const AllocationId before = bench.allocate("me", 40 * mib);
    REQUIRE(bench.give(set(max_of(48 * mib))));
    CHECK(bench.state.books.reserved_bytes(0) == 16 * mib);
    CHECK(bench.state.books.free_bytes(0) == 8 * mib);
    CHECK(code_of(bench.give(want("me", 9 * mib))) == Code::insufficient_memory);
    CHECK(bench.allocate("me", 8 * mib).serial != 0);
    REQUIRE(bench.give(set(max_of(1 * mib))));
    CHECK(bench.state.books.reserved_bytes(0) == 16 * mib);  // All that is not in use: 64 − 48.
    CHECK(bench.state.books.free_bytes(0) == 0);
    CHECK(bench.state.books.allocation(before) != nullptr);
    CHECK(code_of(bench.give(want("me", 4096))) == Code::insufficient_memory);
    bench.check();
}

TEST_CASE("a request that the limits could never allow is told so, and with it what they do allow") {
    Bench bench;
    REQUIRE(bench.give(set(max_of(16 * mib))));
    const auto refused = bench.give(want("me", 17 * mib));
    CHECK(code_of(refused) == Code::limit_exceeded);
    CHECK(refused.error().limit == 16 * mib);
    CHECK(!can_ever_fit(bench.state, want("me", 17 * mib)));
    CHECK(can_ever_fit(bench.state, want("me", 16 * mib)));
    CHECK(bench.allocate("me", 16 * mib).serial != 0);
    // Without a limit it is the device that is too small.
    Bench free_bench;
    CHECK(code_of(free_bench.give(want("me", 65 * mib))) == Code::insufficient_memory);
    CHECK(!can_ever_fit(free_bench.state, want("me", 65 * mib)));
}

TEST_CASE("holes in an arena are held back by a limit as the rest is") {
    Bench bench;
    std::vector<AllocationId> held;
    for (int i = 0; i < 8; ++i) held.push_back(bench.allocate("me", 256 * kib));
    for (int i = 0; i < 8; i += 2) REQUIRE(bench.free("me", held[static_cast<std::size_t>(i)]));
    REQUIRE(bench.give(set(max_of(1 * mib + 256 * kib))));  // 1 MiB live: one more hole's worth.
    CHECK(bench.allocate("me", 256 * kib).serial != 0);
    CHECK(code_of(bench.give(want("me", 256))) == Code::insufficient_memory);
    bench.check();
}

TEST_CASE("an owner gets no more than its quota, and another owner gets what is left") {
    Bench bench;
    REQUIRE(bench.give(set(quota_of("me", 10 * mib))));
    const AllocationId first = bench.allocate("me", 6 * mib);
    REQUIRE(first.serial != 0);
    const auto refused = bench.give(want("me", 4 * mib + 1));
    CHECK(code_of(refused) == Code::quota_exceeded);
    CHECK(refused.error().limit == 4 * mib);
    CHECK(can_ever_fit(bench.state, want("me", 10 * mib)));
    CHECK(!can_ever_fit(bench.state, want("me", 10 * mib + 1)));
    CHECK(bench.allocate("you", 40 * mib).serial != 0);
    REQUIRE(bench.free("me", first));
    CHECK(bench.allocate("me", 10 * mib).serial != 0);
    bench.check();
}

TEST_CASE("a quota counts what an owner holds on this device only") {
    Bench bench;
    bench.add_device("b", 64 * mib);
    REQUIRE(bench.give(set(quota_of("me", 4 * mib))));
    AllocateCommand there = want("me", 20 * mib);
    there.device_id = "b";
    REQUIRE(bench.give(there));
    bench.finish();
    CHECK(bench.state.books.held_by(0, "me") == 0);
    CHECK(bench.state.books.held_by(1, "me") == 20 * mib);
    AllocateCommand here = want("me", 4 * mib);
    here.device_id = "a";
    CHECK(bench.give(here).has_value());
    // Without a name it goes where it may.
    CHECK(bench.give(want("me", 8 * mib)).has_value());
    bench.check();
}

TEST_CASE("a percentage follows the capacity, a number of bytes does not") {
    Bench bench;
    LimitsChange half;
    half.max_hundredths = 50'00;
    half.reserve_bytes = 2 * mib;
    REQUIRE(bench.give(set(half)));
    CHECK(bench.state.books.usable_bytes(0) == 30 * mib);
    REQUIRE(bench.give(AddDeviceCommand{"a", 128 * mib, 4096}));
    CHECK(bench.state.books.usable_bytes(0) == 62 * mib);
    REQUIRE(bench.give(set(max_of(40 * mib))));
    CHECK(bench.state.books.usable_bytes(0) == 38 * mib);  // What a change does not name stays: the reserve.
    REQUIRE(bench.give(AddDeviceCommand{"a", 32 * mib, 4096}));
    CHECK(bench.state.books.usable_bytes(0) == 30 * mib);
}

TEST_CASE("limits are set by admins only, with values that can be, and not over somebody's newer ones") {
    Bench bench;
    SetLimitsCommand command = set(max_of(1 * mib));
    command.caller.role = Role::user;
    CHECK(code_of(bench.give(command)) == Code::forbidden);
    CHECK(code_of(bench.give(set(max_of(65 * mib)))) == Code::invalid_field);
    LimitsChange both = max_of(1 * mib);
    both.max_hundredths = 50'00;
    CHECK(code_of(bench.give(set(both))) == Code::invalid_field);
    command = set(max_of(60 * mib));
    command.device_id = "none";
    CHECK(code_of(bench.give(command)) == Code::not_found);
    command.device_id = "a";
    command.if_revision = 0;
    REQUIRE(bench.give(command));
    CHECK(bench.state.books.devices()[0].limits_revision == 1);
    CHECK(code_of(bench.give(command)) == Code::precondition_failed);
    command.if_revision = 1;
    CHECK(bench.give(command)->events.empty());  // The same limits: nothing changed, so nothing is recorded.
    CHECK(bench.state.books.devices()[0].limits_revision == 1);
}

TEST_CASE("limits, their revision and their quotas are in a saved state") {
    Bench bench;
    bench.allocate("me", 40 * mib);
    LimitsChange change = quota_of("me", 1 * mib);
    change.max_bytes = 8 * mib;
    REQUIRE(bench.give(set(change)));
    auto copy = restore(save(bench.state));
    REQUIRE(copy);
    CHECK(state_hash(*copy) == state_hash(bench.state));
    CHECK(copy->books.usable_bytes(0) == 8 * mib);
    CHECK(code_of(decide(*copy, want("me", 4096), bench.now)) == Code::quota_exceeded);
    CHECK(audit(*copy).empty());
}

TEST_CASE("enforced at once: arenas that hold nothing go first, then models as they came, and no more than needed") {
    Bench bench;
    REQUIRE(bench.free("me", bench.allocate("me", 4096)));  // Leaves an empty arena of 2 MiB.
    bench.load("first", 10 * mib);
    bench.load("second", 10 * mib);
    bench.load("third", 10 * mib);
    REQUIRE(bench.state.books.sums(0).committed == 32 * mib);
    REQUIRE(bench.give(set(max_of(31 * mib), Enforce::immediately)));
    bench.finish();
    CHECK(bench.state.books.sums(0).committed == 30 * mib);
    CHECK(bench.state.catalogue.models().size() == 3);
    const auto made = bench.give(set(max_of(25 * mib), Enforce::immediately));
    REQUIRE(made);
    CHECK(made->freed_bytes == 10 * mib);
    bench.finish();
    CHECK(bench.state.catalogue.model_named("first") == nullptr);
    CHECK(bench.state.catalogue.model_named("second") != nullptr);
    CHECK(bench.state.books.sums(0).committed == 20 * mib);
    bench.check();
}

TEST_CASE("pinned, used and preserved models stay, whatever is wanted") {
    Bench bench;
    bench.load("pinned", 10 * mib, true);
    const u64 used = bench.load("used", 10 * mib);
    bench.load("preserved", 10 * mib);
    bench.load("other", 10 * mib);
    ReclaimCommand command;
    command.down_to_bytes = 0;
    command.preserve = {"preserved"};
    command.in_use = {used};
    REQUIRE(bench.give(command));
    bench.finish();
    CHECK(bench.state.catalogue.model_named("other") == nullptr);
    for (const char* const name : {"pinned", "used", "preserved"}) CHECK_MESSAGE(bench.state.catalogue.model_named(name) != nullptr, name);
    command.reach = ReclaimReach::empty_blocks;
    command.in_use.clear();
    command.preserve.clear();
    CHECK(bench.give(command)->events.empty());
    bench.check();
}

TEST_CASE("who reclaims by a policy says which models may go and in which order; the others stay, and so do empty arenas") {
    Bench bench;
    const u64 first = bench.load("first", 10 * mib);
    const u64 second = bench.load("second", 10 * mib);
    const u64 pinned = bench.load("pinned", 10 * mib, true);
    bench.load("unnamed", 10 * mib);
    (void)bench.free("me", bench.allocate("me", 4096));
    const u64 arena_bytes = bench.state.books.sums(0).committed - 40 * mib;
    REQUIRE(arena_bytes > 0);
    ReclaimCommand command;
    command.wanted_bytes = 5 * mib;
    command.reach = ReclaimReach::models_only;
    command.copies = {pinned, second, first};
    const auto made = bench.give(command);
    REQUIRE(made);
    CHECK(made->freed_bytes == 10 * mib);
    CHECK(made->passed_over == 1);
    bench.finish();
    CHECK(bench.state.catalogue.model_named("second") == nullptr);
    CHECK(bench.state.books.sums(0).committed == 30 * mib + arena_bytes);
    command.wanted_bytes = number_max;
    CHECK(bench.give(command)->freed_bytes == 10 * mib);
    bench.finish();
    CHECK(bench.state.catalogue.model_named("unnamed") != nullptr);
    CHECK(bench.state.catalogue.models().size() == 2);
    bench.check();
}

TEST_CASE("an allocation and a load make room by evicting models as they came, or leave all if that is not enough") {
    Bench bench;
    bench.load("first", 24 * mib);
    bench.load("second", 24 * mib);
    bench.load("third", 24 * mib);  // Evicts the first.
    CHECK(bench.state.catalogue.model_named("first") == nullptr);
    CHECK(bench.state.catalogue.models().size() == 2);
    bench.allocate("me", 10 * mib);
    CHECK(bench.give(want("you", 20 * mib))->again_after_release);
    bench.finish();
    CHECK(bench.give(want("you", 20 * mib))->allocation.serial != 0);
    bench.finish();
    CHECK(bench.state.catalogue.model_named("second") == nullptr);
    CHECK(code_of(bench.give(want("you", 40 * mib))) == Code::insufficient_memory);
    CHECK(bench.state.catalogue.model_named("third") != nullptr);
    bench.check();
}

TEST_CASE("where room is kept for another, a request gets what lies in its own arenas, and no new block") {
    Bench bench;
    bench.allocate("me", 4096);
    AllocateCommand small = want("me", 4096);
    small.closed = {0};
    CHECK(bench.give(small).has_value());
    AllocateCommand large = want("me", 9 * mib);
    large.closed = {0};
    CHECK(code_of(bench.give(large)) == Code::insufficient_memory);
    AllocateCommand stranger = want("you", 4096);
    stranger.closed = {0};
    CHECK(code_of(bench.give(stranger)) == Code::insufficient_memory);
    bench.check();
}
