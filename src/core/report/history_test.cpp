#include "core/report/history.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>

#include "base/choices.hpp"
#include "core/driver.hpp"
#include "core/report/report.hpp"

using namespace vramd;
using namespace vramd::report;

namespace {
constexpr u64 begin_ns = 1'700'000'000 * ns_per_second;

LoadRequest named(std::string name) {
    LoadRequest request;
    request.name = std::move(name);
    request.path = "f";
    return request;
}

/// A core whose every batch is noted by a live history and kept as the ledger would.
struct Watched {
    struct Batch {
        u64 wall_ns;
        std::vector<Event> events;
    };
    core::State state;
    History live;
    std::vector<Batch> ledger;
    std::deque<Effect> effects;
    u64 now_ns = begin_ns;
    u64 secret = 1;

    Watched() {
        give(AddDeviceCommand{"a", 64 * mib, 4096});
        give(AddDeviceCommand{"b", 16 * mib, 4096});
    }
    bool give(const Command& command) {
        const auto decision = core::decide(state, command, {now_ns, now_ns});
        if (!decision) return false;
        for (const Event& event : decision->events) {
            live.note(state, event, now_ns);
            core::apply(state, event);
        }
        live.settle(state, now_ns);
        if (!decision->events.empty()) ledger.push_back({now_ns, decision->events});
        effects.insert(effects.end(), decision->effects.begin(), decision->effects.end());
        return true;
    }
    void finish() {
        while (!effects.empty()) {
            const Effect effect = effects.front();
            effects.pop_front();
            if (const auto* create = std::get_if<CreateBlockEffect>(&effect)) give(BlockCreatedCommand{create->block});
            if (const auto* release = std::get_if<ReleaseBlockEffect>(&effect)) give(BlockReleasedCommand{release->block});
            if (const auto* zero = std::get_if<ZeroEffect>(&effect)) give(ZeroedCommand{zero->id});
            if (const auto* move = std::get_if<MoveEffect>(&effect)) give(MovedCommand{move->id, false, {}});
            if (std::holds_alternative<ScheduleTransfersEffect>(effect)) give(ScheduleTransfersCommand{});
            if (const auto* transfer = std::get_if<TransferEffect>(&effect)) give(TransferredCommand{transfer->id, {77, 1, 5, 0}, {}});
            if (const auto* load = std::get_if<LoadModelEffect>(&effect)) give(LoadedCommand{load->operation, 5});
            if (const auto* inspect = std::get_if<InspectModelEffect>(&effect)) {
                Inspection inspection{ModelFormat::gguf, {1, secret, 5000, 3, 4}, 5000 + secret, 5000, {}};
                give(InspectedCommand{inspect->operation, inspection, secret, secret});
                ++secret;
            }
        }
    }
    void allocate(const std::string& owner, const std::string& purpose, u64 size_bytes) {
        AllocateCommand command;
        command.caller = {owner, Role::user};
        command.size_bytes = size_bytes;
        command.purpose = purpose;
        command.secret = ++secret;
        give(command);
        finish();
    }
    AllocationId some(Choices& choices) const {
        const auto& all = state.books.allocations();
        if (all.empty()) return {1, 1};
        auto at = all.begin();
        std::advance(at, static_cast<std::ptrdiff_t>(choices.below(all.size())));
        return at->second.row.id;
    }
    void step(Choices& choices) {
        now_ns += choices.one_in(4) ? choices.below(1000) * ns_per_second : choices.below(2 * ns_per_second);
        switch (choices.below(10)) {
            case 0:
            case 1:
            case 2:
                return allocate("o" + std::to_string(choices.below(4)), "p" + std::to_string(choices.below(5)), 1 + choices.below(3 * mib));
            case 3:
            case 4:
                give(FreeCommand{{"root", Role::admin}, some(choices)});
                return finish();
            case 5:
                give(LoadModelCommand{{"o1", Role::user}, named("m" + std::to_string(choices.below(4))), ++secret});
                return finish();
            case 6:
                give(UnloadModelCommand{{"o1", Role::user}, "m" + std::to_string(choices.below(4)), {}});
                return finish();
            case 7:
            case 8: {
                TransferCommand command;
                command.caller = {"root", Role::admin};
                command.source = some(choices);
                command.target_device_id = choices.one_in(2) ? "a" : "b";
                command.mode = choices.one_in(2) ? TransferMode::move : TransferMode::copy;
                command.secret = ++secret;
                command.allocation_secret = ++secret;
                give(command);
                return finish();
            }
            default:
                give(MoveCommand{1, some(choices), 1 + choices.below(state.books.next_block()), false, {}});
                return finish();
        }
    }
    History rebuilt() const {
        Rebuilding rebuilding;
        for (const Batch& batch : ledger) {
            for (const Event& event : batch.events) rebuilding.event(event, batch.wall_ns);
            rebuilding.settle(batch.wall_ns);
        }
        return std::move(rebuilding).finish(now_ns);
    }
};

void check_same(const Span& a, const Span& b) {
    REQUIRE(a.all.level_max == b.all.level_max);
    REQUIRE(a.all.level_min == b.all.level_min);
    REQUIRE(a.all.level_ns == b.all.level_ns);
    REQUIRE(a.all.covered_ns == b.all.covered_ns);
    REQUIRE(a.all.arrived_count == b.all.arrived_count);
    REQUIRE(a.all.arrived_bytes == b.all.arrived_bytes);
    REQUIRE(a.all.left_count == b.all.left_count);
    REQUIRE(a.all.left_bytes == b.all.left_bytes);
    REQUIRE(a.all.moved_bytes == b.all.moved_bytes);
    REQUIRE(a.all.moved_ns == b.all.moved_ns);
}

/// `cover` says whether they know the same stretch of time.
void check_same(History& a, History& b, u64 now_ns) {
    for (const Window window : {Window::minute, Window::five_minutes, Window::hour, Window::day, Window::week})
        for (const std::string device : {"a", "b"}) {
            const auto ours = a.span(device, window, now_ns);
            const auto theirs = b.span(device, window, now_ns);
            REQUIRE(ours.has_value());
            REQUIRE(theirs.has_value());
            check_same(*ours, *theirs);
            for (const NameKind kind : {NameKind::owner, NameKind::purpose, NameKind::model}) {
                const auto our_names = a.named(device, kind, window, now_ns);
                const auto their_names = b.named(device, kind, window, now_ns);
                REQUIRE(our_names.size() == their_names.size());
                for (const auto& ours_named : our_names) {
                    const auto same = std::ranges::find(their_names, ours_named.name, &History::Named::name);
                    REQUIRE_MESSAGE(same != their_names.end(), ours_named.name);
                    REQUIRE(ours_named.span.all.level_max == same->span.all.level_max);
                    REQUIRE(ours_named.span.all.level_ns == same->span.all.level_ns);
                    REQUIRE(ours_named.span.all.arrived_bytes == same->span.all.arrived_bytes);
                    REQUIRE(ours_named.span.all.left_bytes == same->span.all.left_bytes);
                }
            }
        }
}
}  // namespace

TEST_CASE("usage over a window tells peak, mean, counts and bytes of a device") {
    Watched core;
    core.now_ns = begin_ns + 10 * ns_per_second;
    core.allocate("anna", "scratch", mib);
    core.now_ns = begin_ns + 20 * ns_per_second;
    core.give(FreeCommand{{"anna", Role::user}, core.state.books.allocations().begin()->second.row.id});
    const auto told = core.live.span("a", Window::minute, begin_ns + 40 * ns_per_second);
    REQUIRE(told.has_value());
    CHECK(told->all.level_max == mib);
    CHECK(told->all.level_mean() == mib / 4);
    CHECK(told->all.arrived_count == 1);
    CHECK(told->all.left_count == 1);
    const auto owners = core.live.named("a", NameKind::owner, Window::minute, begin_ns + 40 * ns_per_second);
    REQUIRE(owners.size() == 1);
    CHECK(owners[0].name == "anna");
    CHECK(owners[0].span.all.level_max == mib);
    CHECK(!core.live.span("c", Window::minute, begin_ns).has_value());
}

TEST_CASE("usage by owner, purpose and model is what a count over all allocations gives, whatever was done before") {
    using Counted = std::map<std::string, std::pair<u64, u64>>;
    const auto told_as = [](const std::vector<OwnerUsage>& list) {
        Counted table;
        u64 last_bytes = UINT64_MAX;
        for (const OwnerUsage& told : list) {
            CHECK(told.live_bytes <= last_bytes);
            last_bytes = told.live_bytes;
            CHECK(table.emplace(told.owner, std::pair(told.live_bytes, told.allocations)).second);
        }
        return table;
    };
    const auto count = [](Counted& table, const std::string& name, u64 bytes) {
        table[name].first += bytes;
        table[name].second += 1;
    };
    for (u64 seed = 1; seed <= 25; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Watched core;
        for (int i = 0; i < 60; ++i) {
            core.step(choices);
            const std::array<std::optional<u16>, 3> wherever = {std::nullopt, u16{0}, u16{1}};
            const std::optional<u16> device = wherever[choices.below(wherever.size())];
            const Caller caller = choices.one_in(2) ? Caller{"root", Role::admin} : Caller{"o1", Role::user};
            Counted owners;
            Counted purposes;
            Counted models;
            const memory::Books& books = core.state.books;
            for (const auto& [serial, allocation] : books.allocations()) {
                const memory::AllocationRow& row = allocation.row;
                if (device && books.block(row.block)->row.device != *device) continue;
                count(owners, books.name(row.owner), row.granted_bytes);
                if (core::may_see(core.state, caller, allocation)) count(purposes, books.name(row.purpose), row.granted_bytes);
                if (const model::Model* model = core.state.catalogue.model(row.model))
                    count(models, model->names.front(), row.granted_bytes);
            }
            const UsageTold told = usage(core.state, caller, device);
            REQUIRE(told_as(told.by_owner) == owners);
            REQUIRE(told_as(told.by_purpose) == purposes);
            REQUIRE(told_as(told.by_model) == models);
        }
    }
}

TEST_CASE("what is rebuilt from the ledger after a restart is what was known before") {
    for (u64 seed = 1; seed <= 25; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Watched core;
        for (int i = 0; i < 120; ++i) core.step(choices);
        History rebuilt = core.rebuilt();
        check_same(core.live, rebuilt, core.now_ns);
        for (u16 i = 0; i < 2; ++i)
            REQUIRE(rebuilt.span(core.state.books.devices()[i].id, Window::minute, core.now_ns)->points.back().level_max >=
                    core.state.books.sums(i).live);
    }
}

TEST_CASE("a history that begins at a restart and takes in the rebuilt one knows all of it") {
    for (u64 seed = 1; seed <= 25; ++seed) {
        CAPTURE(seed);
        Choices choices = Choices::from_seed(seed);
        Watched core;
        for (int i = 0; i < 60; ++i) core.step(choices);
        History earlier = core.rebuilt();
        History after;
        after.begin(core.state, core.now_ns);
        History before_the_restart = std::move(core.live);
        core.live = std::move(after);
        Watched& same = core;
        const std::size_t restarted_at = same.ledger.size();
        for (int i = 0; i < 60; ++i) same.step(choices);
        same.live.absorb(earlier);
        // The one that was never interrupted.
        core::State state;
        History whole = std::move(before_the_restart);
        std::size_t number = 0;
        for (const auto& batch : same.ledger) {
            for (const Event& event : batch.events) {
                if (number >= restarted_at) whole.note(state, event, batch.wall_ns);
                core::apply(state, event);
            }
            if (number >= restarted_at) whole.settle(state, batch.wall_ns);
            ++number;
        }
        check_same(same.live, whole, same.now_ns);
    }
}

TEST_CASE("a ledger that begins in the middle is told as far as it goes, and no event of it does harm") {
    for (u64 seed = 1; seed <= 20; ++seed) {
        Choices choices = Choices::from_seed(seed);
        Watched core;
        for (int i = 0; i < 80; ++i) core.step(choices);
        Rebuilding rebuilding;
        for (const auto& batch : core.ledger)
            for (const Event& event : batch.events)
                if (!choices.one_in(3)) {
                    rebuilding.event(event, batch.wall_ns);
                    if (choices.one_in(2)) rebuilding.settle(batch.wall_ns);
                }
        History told = std::move(rebuilding).finish(core.now_ns);
        (void)told.span("a", Window::week, core.now_ns);
    }
}

TEST_CASE("a rebuild that starts from a snapshot knows what was live then") {
    Choices choices = Choices::from_seed(9);
    Watched core;
    for (int i = 0; i < 60; ++i) core.step(choices);
    Rebuilding rebuilding(core.state);
    rebuilding.settle(core.now_ns);
    const std::size_t from = core.ledger.size();
    for (int i = 0; i < 60; ++i) core.step(choices);
    for (std::size_t i = from; i < core.ledger.size(); ++i) {
        for (const Event& event : core.ledger[i].events) rebuilding.event(event, core.ledger[i].wall_ns);
        rebuilding.settle(core.ledger[i].wall_ns);
    }
    History told = std::move(rebuilding).finish(core.now_ns);
    for (u16 i = 0; i < 2; ++i) {
        const auto span = told.span(core.state.books.devices()[i].id, Window::minute, core.now_ns + ns_per_second);
        CHECK(span->points.back().level_max == core.state.books.sums(i).live);
    }
}

TEST_CASE("another life of the memory begins empty, and the one before is still told of") {
    Watched core;
    core.now_ns += 10 * ns_per_second;
    core.allocate("anna", "", mib);
    Rebuilding rebuilding;
    const auto feed = [&] {
        for (const auto& batch : core.ledger) {
            for (const Event& event : batch.events) rebuilding.event(event, core.now_ns);
            rebuilding.settle(core.now_ns);
        }
    };
    feed();
    core.now_ns += 100 * ns_per_second;
    core.ledger.resize(2);  // The next life has only its devices yet.
    feed();
    core.now_ns += 10 * ns_per_second;
    History told = std::move(rebuilding).finish(core.now_ns);
    CHECK(told.span("a", Window::hour, core.now_ns)->all.level_max == mib);
    CHECK(told.span("a", Window::hour, core.now_ns + 1)->all.arrived_count == 1);
    CHECK(told.span("a", Window::minute, core.now_ns + 2)->points.back().level_max == 0);
}

TEST_CASE("ten thousand owners take no more memory than a few: who has no track of its own is told together") {
    Watched core;
    for (int i = 0; i < 300; ++i) {
        core.now_ns += ns_per_second / 10;
        core.allocate("owner" + std::to_string(i), "same", 256);
        if (i % 2 == 0) {
            core.give(FreeCommand{{"root", Role::admin}, core.state.books.allocations().rbegin()->second.row.id});
            core.finish();
        }
    }
    CHECK(core.live.names() <= names_max + 6);
    u64 arrived = 0;
    for (const std::string device : {"a", "b"})
        for (const auto& owner : core.live.named(device, NameKind::owner, Window::five_minutes, core.now_ns))
            arrived += owner.span.all.arrived_count;
    CHECK(arrived >= core.state.books.allocations().size());  // All that is still there; those who left long ago made room.
    const auto all = core.live.named("a", NameKind::owner, Window::minute, core.now_ns);
    CHECK(std::ranges::find(all, other_name, &History::Named::name) != all.end());
}

TEST_CASE("a minute and an hour keep the worst that was seen in them") {
    Watched core;
    core.live.sample("a", {1000, 1000, 1, 10'00}, begin_ns);
    core.live.sample("a", {1000, 250, 9, 80'00}, begin_ns + ns_per_second);
    core.live.sample("a", {1000, 500, 3, 20'00}, begin_ns + 2 * ns_per_second);
    const auto minutes = core.live.samples("a", Window::hour, begin_ns + 3 * ns_per_second);
    REQUIRE(minutes.size() == 1);
    CHECK(minutes[0].samples == 3);
    CHECK(minutes[0].fragmentation_max == 75'00);
    CHECK(minutes[0].fragmentation_last == 50'00);
    CHECK(minutes[0].largest_free_min == 250);
    CHECK(minutes[0].holes_max == 9);
    CHECK(minutes[0].level_max == 80'00);
    CHECK(core.live.samples("a", Window::week, begin_ns).size() == 1);
    CHECK(core.live.samples("b", Window::week, begin_ns).empty());
}

TEST_CASE("copies and clears are told apart, by the window in which they were") {
    Watched core;
    const u64 later_ns = begin_ns + 30 * 60 * ns_per_second;
    core.live.worked("a", Work::copy, 100, 7, begin_ns);
    core.live.worked("a", Work::copy, 50, 3, later_ns);
    core.live.worked("a", Work::clear, 8, 1, later_ns);
    core.live.worked("nowhere", Work::clear, 8, 1, later_ns);
    const auto told = [&](Work work, Window window) { return core.live.worked("a", work, window, later_ns + ns_per_second); };
    CHECK(told(Work::copy, Window::hour).count == 2);
    CHECK(told(Work::copy, Window::hour).bytes == 150);
    CHECK(told(Work::copy, Window::hour).duration_ns == 10);
    CHECK(told(Work::copy, Window::minute).bytes == 50);
    CHECK(told(Work::clear, Window::hour).bytes == 8);
    CHECK(core.live.worked("nowhere", Work::clear, Window::hour, later_ns).count == 0);
}
