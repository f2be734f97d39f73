#include "core/report/advice_limits.hpp"

#include <doctest/doctest.h>

#include <map>

#include "base/choices.hpp"
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
    [[nodiscard]] Outlook outlook() const { return outlook_of(state, 0, {}); }
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
    CHECK(core.outlook() == advice->after);
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

namespace {
constexpr u64 sizes[] = {4096, 300'000, mib, 3 * mib, 9 * mib};

/// A device of some owners, each with a quota that it may be near or beyond, under limits that may have come later than what is held.
Limited limited_at_random(Choices& choices) {
    Limited core;
    std::vector<std::pair<std::string, AllocationId>> held;
    for (u64 step = 5 + choices.below(20); step > 0; --step) {
        const std::string owner = std::string("owner") + std::to_string(choices.below(3));
        if (const AllocationId id = core.allocate(owner, sizes[choices.below(std::size(sizes))])) held.emplace_back(owner, id);
        if (held.empty() || !choices.one_in(3)) continue;
        const auto gone = held.begin() + static_cast<std::ptrdiff_t>(choices.below(held.size()));
        (void)core.free(gone->first, gone->second);
        held.erase(gone);
    }
    LimitsChange change;
    change.owner_quotas.emplace();
    for (const char* owner : {"owner0", "owner1", "owner2"})
        if (const u64 bytes = core.state.books.held_by(0, owner); bytes > 0 && !choices.one_in(4))
            change.owner_quotas->emplace(owner, bytes / 8 * (6 + choices.below(4)));
    if (choices.one_in(2)) change.reserve_bytes = choices.below(32) * mib;
    if (choices.one_in(2)) change.max_bytes = (32 + choices.below(10)) * mib;
    core.set(std::move(change));
    return core;
}

/// Whose quota the call changes; nobody's: it changes another limit.
std::string owner_advised(const Limited& core, const Advice& advice) {
    if (advice.kind != AdviceKind::raise_quota) return {};
    const auto& now = core.state.books.devices()[0].limits.owner_quotas;
    for (const auto& [owner, quota] : *advice.call.limits.owner_quotas)
        if (now.at(owner) != quota) return owner;
    return {};
}
/// What following the advice is to make larger.
u64 had(const Limited& core, AdviceKind kind, const std::string& owner) {
    const memory::Books& books = core.state.books;
    if (kind == AdviceKind::raise_quota) return books.available_for(0, owner);
    return kind == AdviceKind::enforce_limit ? 64 * mib - books.sums(0).committed : books.free_bytes(0);
}
}  // namespace

TEST_CASE("whoever follows any advice about quotas and limits gets what it said, to the byte") {
    std::map<AdviceKind, u64> followed;
    for (u64 seed = 1; seed <= 500; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        const Limited core = limited_at_random(choices);
        for (const AdviceKind kind :
             {AdviceKind::raise_quota, AdviceKind::enforce_limit, AdviceKind::raise_limit, AdviceKind::lower_reserve}) {
            Limited world = core;
            const auto advice = world.advised(kind, {want((1 + choices.below(32)) * mib)});
            if (!advice) continue;
            followed[kind] += 1;
            CHECK(advice->before == world.outlook());
            const std::string owner = owner_advised(world, *advice);
            const u64 before = had(world, kind, owner);
            world.follow(*advice);
            CHECK(had(world, kind, owner) - before == advice->freed_bytes);
            CHECK(world.outlook() == advice->after);
        }
    }
    for (const auto& [kind, times] : followed) CHECK_MESSAGE(times > 10, name_of(kind));
    CHECK(followed.size() == 4);
}
