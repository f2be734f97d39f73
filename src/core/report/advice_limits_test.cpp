#include "core/report/advice_limits.hpp"

#include <doctest/doctest.h>

#include "core/driver.hpp"

using namespace vramd;
using namespace vramd::core;
using namespace vramd::report;

namespace {
const Caller admin{"uid:0", Role::admin};

struct Limited : Driver {
    Limited() { add_device("a", 64 * mib); }
    void set(LimitsChange change) { REQUIRE(give(SetLimitsCommand{admin, "a", std::move(change), {}, Enforce::later, {}, {}})); }
    /// The first of this kind, with what was advised beside it left out.
    std::optional<Advice> advised(AdviceKind kind, std::vector<AllocateCommand> waiting = {}, const Caller& caller = admin) {
        Surroundings around;
        around.machine.emplace_back(memory::PressureInput{});
        around.now_wall_ns = now.wall_ns;
        around.waiting = std::move(waiting);
        const auto list = advise(state, caller, around);
        const auto found = std::ranges::find(list, kind, &Advice::kind);
        return found == list.end() ? std::nullopt : std::optional(*found);
    }
    /// Does what was advised.
    void follow(const Advice& advice) {
        CHECK(advice.call.method == "PUT");
        CHECK(advice.call.path == "/api/memory/limits/a");
        REQUIRE(give(SetLimitsCommand{admin, "a", advice.call.limits, {}, advice.call.enforce, {}, {}}));
        finish();
    }
};

LimitsChange quota_of(std::string owner, u64 bytes) {
    LimitsChange change;
    change.owner_quotas.emplace();
    change.owner_quotas->emplace("other", mib);
    change.owner_quotas->emplace(std::move(owner), bytes);
    return change;
}
AllocateCommand want(u64 size_bytes) {
    AllocateCommand command;
    command.caller = {"me", Role::user};
    command.size_bytes = size_bytes;
    command.secret = 9;
    return command;
}
}  // namespace

TEST_CASE("an owner near the end of its quota on a device with room is advised a larger quota, which gives what was told") {
    Limited core;
    core.set(quota_of("me", 10 * mib));
    core.allocate("me", 8 * mib);
    CHECK(!core.advised(AdviceKind::raise_quota));  // 80 %.
    core.allocate("me", mib);
    const u64 before = core.state.books.available_for(0, "me");
    const auto advice = core.advised(AdviceKind::raise_quota);
    REQUIRE(advice);
    CHECK(advice->call.limits.owner_quotas->at("me") == 12 * mib);
    CHECK(advice->call.limits.owner_quotas->at("other") == mib);  // The call sets the whole table.
    core.follow(*advice);
    CHECK(core.state.books.available_for(0, "me") - before == advice->freed_bytes);
    CHECK(!core.advised(AdviceKind::raise_quota));
}

TEST_CASE("nobody is advised a larger quota on a device that is full, and who may not set limits is not told of them") {
    Limited core;
    core.set(quota_of("me", 9 * mib));
    core.allocate("me", 9 * mib);
    CHECK(core.advised(AdviceKind::raise_quota));
    CHECK(!core.advised(AdviceKind::raise_quota, {}, {"me", Role::user}));
    core.allocate("else", 54 * mib);
    CHECK(!core.advised(AdviceKind::raise_quota));
}

TEST_CASE("a limit below what is held is advised to be raised by as much as lets something be had again") {
    Limited core;
    core.allocate("me", 20 * mib);
    LimitsChange change;
    change.max_bytes = 12 * mib;
    change.reserve_bytes = 2 * mib;
    core.set(change);
    CHECK(!core.advised(AdviceKind::enforce_limit));  // There is nothing to reclaim.
    const auto advice = core.advised(AdviceKind::raise_limit);
    REQUIRE(advice);
    CHECK(advice->call.limits.max_bytes == 24 * mib);
    CHECK(advice->before.uncommitted_bytes == 0);
    core.follow(*advice);
    CHECK(core.state.books.uncommitted_bytes(0) == advice->after.uncommitted_bytes);
    CHECK(core.state.books.free_bytes(0) == advice->freed_bytes);
    CHECK(advice->freed_bytes == 2 * mib);
    CHECK(!core.advised(AdviceKind::raise_limit));
}

TEST_CASE("where a reclaim would bring a device under its limits, that is advised, and it gives back what was told") {
    Limited core;
    core.allocate("me", 20 * mib);
    const AllocationId small = core.allocate("me", 4096);
    REQUIRE(core.free("me", small));
    const u64 committed = core.state.books.sums(0).committed;
    REQUIRE(committed > 20 * mib);  // An arena that holds nothing.
    LimitsChange change;
    change.max_bytes = 20 * mib;
    core.set(change);
    CHECK(!core.advised(AdviceKind::raise_limit));
    const auto advice = core.advised(AdviceKind::enforce_limit);
    REQUIRE(advice);
    core.follow(*advice);
    CHECK(committed - core.state.books.sums(0).committed == advice->freed_bytes);
    CHECK(advice->freed_bytes > 0);
    CHECK(!core.advised(AdviceKind::enforce_limit));
}

TEST_CASE("a reserve that alone keeps somebody waiting is advised to be lowered by just enough") {
    Limited core;
    LimitsChange change;
    change.reserve_bytes = 32 * mib;
    core.set(change);
    core.allocate("me", 16 * mib);
    CHECK(!core.advised(AdviceKind::lower_reserve));
    CHECK(!core.advised(AdviceKind::lower_reserve, {want(8 * mib)}));   // It fits.
    CHECK(!core.advised(AdviceKind::lower_reserve, {want(60 * mib)}));  // No reserve would do.
    const auto advice = core.advised(AdviceKind::lower_reserve, {want(60 * mib), want(40 * mib)});
    REQUIRE(advice);
    CHECK(advice->call.limits.reserve_bytes == 8 * mib);
    CHECK(advice->freed_bytes == 24 * mib);
    CHECK(!core.give(want(40 * mib)));
    core.follow(*advice);
    CHECK(core.give(want(40 * mib)));
}
