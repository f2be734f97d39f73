/// Pressure, history and model upkeep of the engine, in a time that only the test moves.
#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
/// Runs what is posted when told to, on the test's own clock.
class ManualTime final : public Executor {
public:
    Moment now{1'700'000'000 * ns_per_second, 1000 * ns_per_second};
    void post(std::move_only_function<void()> work) override { due_.push_back(std::move(work)); }
    void post_at(u64 deadline_ns, std::move_only_function<void()> work) override { later_.emplace(deadline_ns, std::move(work)); }
    void run_due() {
        while (!due_.empty()) {
            auto work = std::move(due_.front());
            due_.pop_front();
            work();
        }
    }
    void pass(u64 ns) {
        const u64 until = now.monotonic_ns + ns;
        run_due();
        while (!later_.empty() && later_.begin()->first <= until) {
            move_to(std::max(later_.begin()->first, now.monotonic_ns));
            auto work = std::move(later_.begin()->second);
            later_.erase(later_.begin());
            work();
            run_due();
        }
        move_to(until);
    }
    /// The same, but what was asked for last is done first.
    void run_last_first() {
        while (!due_.empty()) {
            auto work = std::move(due_.back());
            due_.pop_back();
            work();
        }
    }
    /// Time goes by in one go: nothing was looked at in between.
    void jump(u64 ns) { move_to(now.monotonic_ns + ns); }
    void forget() {
        due_.clear();
        later_.clear();
    }

private:
    void move_to(u64 monotonic_ns) {
        now.wall_ns += monotonic_ns - now.monotonic_ns;
        now.monotonic_ns = monotonic_ns;
    }
    std::deque<std::move_only_function<void()>> due_;
    std::multimap<u64, std::move_only_function<void()>> later_;
};

struct Timed {
    Timed() {
        char pattern[] = "/tmp/vramd-insight-XXXXXX";
        REQUIRE(mkdtemp(pattern) != nullptr);
        folder = pattern;
        start();
    }
    ~Timed() {
        end();
        std::error_code ignored;  // A folder under /tmp that stays behind harms nobody.
        std::filesystem::remove_all(folder, ignored);
    }
    void start() {
        Ports ports;
        ports.clock = [this] { return time->now; };
        ports.secret = random_secret;
        ports.vault = vault;
        ports.executor = time;
        ports.loading = loading;
        ports.transfer = std::make_shared<transfer::Engine>(transfer::Options{});
        device::host::Options host;
        host.id = "a";
        host.capacity_bytes = 64 * mib;
        device = std::move(device::host::open(host).value());
        ports.devices.push_back({"a", host.capacity_bytes, device->facts().granularity_bytes, device});
        ports.kept = vault->kept();
        Options options;
        options.state_directory = folder / "ledger";
        options.life = "test";
        options.ledger_segment_bytes = mib;
        options.sample_every_ns = ns_per_second / 10;
        core = std::make_unique<Runner>(std::move(options), std::move(ports));
        REQUIRE(core->recover().has_value());
        time->run_due();
    }
    void end() {
        core->stop(0);
        time->forget();
        core.reset();
    }
    void restart() {
        end();
        start();
    }
    AllocationId allocate(u64 size_bytes, const std::string& owner = "anna", const std::string& purpose = "scratch") {
        AllocateCommand command;
        command.caller = {owner, Role::user};
        command.size_bytes = size_bytes;
        command.purpose = purpose;
        AllocationId id;
        core->allocate(std::move(command), 0, [&id](Result<Allocated> made) {
            if (made) id = made->record.id;
        });
        time->run_due();
        REQUIRE(id);
        return id;
    }
    void free(AllocationId id) {
        core->free({admin, id}, false, [](const Result<Freed>& freed) { CHECK(freed.has_value()); });
        time->run_due();
    }
    void load(const std::string& name, bool pinned = false) {
        loading->inspection->identity.inode += 1;
        LoadModelCommand command;
        command.caller = admin;
        command.request.name = name;
        command.request.path = name;
        command.request.pinned = pinned;
        bool loaded = false;
        REQUIRE(core->load_model(
            command, [&loaded](const Result<report::OperationTold>& told) { loaded = told && told->state == OperationState::succeeded; }));
        time->run_due();
        REQUIRE(loaded);
    }
    OptimizedModels optimize(OptimizeModelsRequest request) {
        request.caller = admin;
        std::optional<Result<OptimizedModels>> answer;
        core->optimize_models(std::move(request), [&answer](Result<OptimizedModels> result) { answer = std::move(result); });
        time->pass(ns_per_second);
        REQUIRE(answer.has_value());
        REQUIRE(answer->has_value());
        return **std::move(answer);
    }
    std::vector<report::Advice> advice(const Caller& caller) {
        std::optional<Result<std::vector<report::Advice>>> answer;
        core->advice(caller, [&answer](Result<std::vector<report::Advice>> result) { answer = std::move(result); });
        time->run_due();
        REQUIRE(answer.has_value());
        return std::move(**answer);
    }
    PressureTold pressure() { return core->pressure(admin, "a").value(); }
    u64 sequence() { return core->system().ledger_sequence; }

    std::shared_ptr<ManualTime> time = std::make_shared<ManualTime>();
    std::shared_ptr<ScriptedLoading> loading = std::make_shared<ScriptedLoading>();
    std::shared_ptr<HoldingVault> vault = std::make_shared<HoldingVault>();
    std::shared_ptr<device::Device> device;
    std::filesystem::path folder;
    std::unique_ptr<Runner> core;
};
constexpr u64 second = ns_per_second;
}  // namespace

TEST_CASE("a threshold that is crossed for a second is recorded once, a short peak never, and a restarted core does not repeat it") {
    Timed daemon;
    daemon.time->pass(2 * second);
    CHECK(daemon.pressure().recorded == PressureBand::low);
    AllocationId id = daemon.allocate(50 * mib);
    u64 before = daemon.sequence();
    CHECK(daemon.pressure().pressure.band == PressureBand::moderate);  // At once: measured on that call.
    daemon.time->pass(second / 2);
    daemon.free(id);
    daemon.time->pass(3 * second);
    CHECK(daemon.pressure().recorded == PressureBand::low);

    id = daemon.allocate(50 * mib);
    before = daemon.sequence();
    daemon.time->pass(5 * second);
    CHECK(daemon.sequence() == before + 1);
    const PressureTold told = daemon.pressure();
    CHECK(told.recorded == PressureBand::moderate);
    CHECK(told.pressure.level == 78'12);
    CHECK(told.pressure.cause == PressureCause::this_service);
    CHECK(told.since_wall_ns > 0);
    REQUIRE(!told.actions.empty());
    CHECK(told.actions.back().kind == report::AdviceKind::look_at_usage);

    before = daemon.sequence();
    daemon.restart();
    daemon.time->pass(5 * second);
    CHECK(daemon.pressure().recorded == PressureBand::moderate);
    CHECK(daemon.pressure().since_wall_ns == told.since_wall_ns);
    CHECK(daemon.sequence() <= before + 1);  // What the start itself records.
    daemon.free(id);
    daemon.time->pass(2 * second);
    CHECK(daemon.pressure().recorded == PressureBand::low);
    CHECK(daemon.pressure().since_wall_ns == 0);
    CHECK(daemon.core->findings().empty());
}

TEST_CASE("what grows steadily is told with its rate and the time until it is critical") {
    Timed daemon;
    daemon.time->pass(2 * second);
    for (int i = 0; i < 10; ++i) {
        (void)daemon.allocate(mib, "anna", "steady");
        daemon.time->pass(second);
    }
    const PressureTold told = daemon.pressure();
    // The device may not be what is tightest on a busy machine; its own room grows at a MiB a second.
    if (told.pressure.decisive == memory::PressurePart::room) {
        REQUIRE(told.bytes_per_second.has_value());
        CHECK(*told.bytes_per_second > static_cast<i64>(mib / 2));
        CHECK(*told.bytes_per_second < static_cast<i64>(2 * mib));
    }
    REQUIRE(told.seconds_to_critical.has_value());
    CHECK(*told.seconds_to_critical <= 110);
}

TEST_CASE("usage over a window tells peak, mean and counts, also of before a restart") {
    Timed daemon;
    const AllocationId first = daemon.allocate(10 * mib);
    daemon.time->pass(10 * second);
    daemon.free(first);
    (void)daemon.allocate(mib, "bert", "keeps");
    daemon.time->pass(10 * second);
    const auto check = [&daemon] {
        const auto told = daemon.core->past("a", report::Window::hour);
        REQUIRE(told.size() == 1);
        CHECK(told[0].span.all.level_max == 10 * mib);
        CHECK(told[0].span.all.arrived_count == 2);
        CHECK(told[0].span.all.left_count == 1);
        REQUIRE(told[0].owners.size() == 2);
        CHECK(told[0].owners[0].name == "anna");
        CHECK(told[0].owners[1].name == "bert");
        CHECK(told[0].owners[1].span.all.level_max == mib);
        return told[0].span.all.level_mean();
    };
    const u64 mean = check();
    CHECK(mean > 4 * mib);
    CHECK(mean < 7 * mib);
    daemon.restart();
    const u64 after = check();
    CHECK(after == mean);
    CHECK(daemon.core->past("b", report::Window::hour).empty());
    const auto analysis = daemon.core->analysis({}, report::Window::hour);
    REQUIRE(analysis.size() == 1);
    CHECK(analysis[0].granted_bytes == mib);
    CHECK(analysis[0].requested_bytes == mib);
}

TEST_CASE("models are unloaded until the pressure is below the target; a dry run says exactly what will happen and does nothing") {
    Timed daemon;
    daemon.loading->inspection->memory_bytes = 10 * mib;
    for (const char* name : {"one", "two", "three", "four", "five"}) {
        daemon.load(name, std::string_view(name) == "two");
        daemon.time->pass(second);
    }
    CHECK(daemon.pressure().pressure.level == 78'12);
    CHECK(daemon.pressure().reclaimable_bytes == 40 * mib);
    OptimizeModelsRequest request;
    request.target_level = 50'00;
    request.exclude = {"one"};
    request.run = Run::dry;
    const OptimizedModels dry = daemon.optimize(request);
    CHECK(daemon.core->models().size() == 5);
    request.run = Run::really;
    const OptimizedModels done = daemon.optimize(request);
    REQUIRE(done.devices.size() == 1);
    CHECK(done.devices[0].freed_bytes == 20 * mib);
    CHECK(done.devices[0].before.level == 78'12);
    CHECK(done.devices[0].after.level == 46'87);
    CHECK(dry.devices[0].freed_bytes == done.devices[0].freed_bytes);
    CHECK(dry.devices[0].after.used_bytes == done.devices[0].after.used_bytes);
    CHECK(dry.devices[0].after.uncommitted_bytes == done.devices[0].after.uncommitted_bytes);
    CHECK(dry.devices[0].after.level == done.devices[0].after.level);
    std::map<std::string, std::optional<model::Stays>> fate;
    for (const ModelOutcome& model : done.models) fate[model.name] = model.stays;
    CHECK(fate["one"] == model::Stays::excluded);
    CHECK(fate["two"] == model::Stays::pinned);
    CHECK(!fate["three"].has_value());
    CHECK(!fate["four"].has_value());
    CHECK(fate["five"] == model::Stays::not_needed);
    CHECK(daemon.core->models().size() == 3);
    CHECK(daemon.core->findings().empty());
    request.exclude = {"nobody"};
    std::optional<Error> refused;
    daemon.core->optimize_models(request, [&refused](const Result<OptimizedModels>& result) { refused = result.error(); });
    REQUIRE(refused.has_value());
    CHECK(refused->code == Code::not_found);
}

TEST_CASE("a model with two names goes by both, and what is advised is what then happens") {
    Timed daemon;
    daemon.loading->inspection->memory_bytes = 55 * mib;
    daemon.load("one");
    LoadModelCommand again;
    again.caller = admin;
    again.request.name = "uno";
    again.request.path = "one";
    REQUIRE(daemon.core->load_model(again, {}));
    daemon.time->run_due();
    REQUIRE(daemon.core->model("uno").has_value());
    const auto advice = daemon.advice(admin);
    REQUIRE(!advice.empty());
    const report::Advice& best = advice.front();
    CHECK(best.kind == report::AdviceKind::evict_models);
    CHECK(best.freed_bytes == 55 * mib);
    const OptimizedModels done = daemon.optimize({.caller = admin,
                                                  .device_id = "a",
                                                  .policy = model::EvictionPolicy::balanced,
                                                  .target_level = best.call.target_level,
                                                  .exclude = {},
                                                  .bounds = {},
                                                  .run = Run::really});
    CHECK(daemon.core->models().empty());
    CHECK(done.devices[0].after.used_bytes == best.after.used_bytes);
    CHECK(done.devices[0].after.uncommitted_bytes == best.after.uncommitted_bytes);
    CHECK(done.devices[0].after.largest_free_bytes == best.after.largest_free_bytes);
    CHECK(daemon.pressure().actions.empty());
}

TEST_CASE("model memory and device memory agree, model by model") {
    Timed daemon;
    daemon.load("one");
    const auto told = daemon.core->model_memory();
    REQUIRE(told.size() == 1);
    CHECK(told[0].catalogue_bytes == told[0].books_bytes);
    REQUIRE(told[0].models.size() == 1);
    CHECK(told[0].models[0].on_device);
    CHECK(told[0].models[0].differences.empty());
    // Behind the engine's back the device loses the block: the model says so, and the others go on agreeing.
    daemon.load("two");
    const auto lost = daemon.core->model_memory()[0].models[0];
    std::vector<device::BlockSpec> blocks = daemon.device->blocks();
    std::erase_if(blocks, [&lost](const device::BlockSpec& block) { return block.size_bytes != lost.block_bytes; });
    REQUIRE(!blocks.empty());
    REQUIRE(daemon.device->release(blocks.front().key).has_value());
    const auto broken = daemon.core->model_memory();
    REQUIRE(broken[0].models.size() == 2);
    CHECK(std::ranges::count_if(broken[0].models, &ModelMemoryTold::on_device) == 1);
    for (const ModelMemoryTold& model : broken[0].models)
        CHECK(model.differences ==
              (model.on_device ? std::vector<std::string>{} : std::vector<std::string>{"The device has no block for it."}));
}

TEST_CASE("an empty arena that could go back, and memory nobody touched for a day, are advised with what they bring") {
    Timed daemon;
    const AllocationId kept = daemon.allocate(3 * mib);
    const AllocationId gone = daemon.allocate(1000, "bert");
    daemon.free(gone);
    daemon.time->jump(86'400 * second);
    const auto advice = daemon.advice(admin);
    const auto unused = std::ranges::find(advice, report::AdviceKind::free_unused, &report::Advice::kind);
    REQUIRE(unused != advice.end());
    CHECK(unused->call.path == "/api/memory/allocations/" + to_text(kept));
    CHECK(unused->freed_bytes == 3 * mib);
    const auto empty = std::ranges::find(advice, report::AdviceKind::release_empty_arenas, &report::Advice::kind);
    REQUIRE(empty != advice.end());
    CHECK(empty->after.uncommitted_bytes == empty->before.uncommitted_bytes + empty->freed_bytes);
    // Another user is told nothing of it.
    const auto others = daemon.advice({"carl", Role::user});
    for (const report::Advice& one : others) CHECK(one.kind != report::AdviceKind::free_unused);
}

TEST_CASE("an optimize ends when what it let go is back, whatever is done first") {
    Timed daemon;
    daemon.free(daemon.allocate(1000));
    REQUIRE(daemon.core->devices()[0].books.blocks == 1);
    UpkeepCommand command;
    command.caller = admin;
    command.request.kind = OperationKind::optimize;
    command.request.actions = {UpkeepAction::garbage_collect};
    std::optional<u64> left;
    REQUIRE(daemon.core->upkeep(command, [&](const Result<report::OperationTold>&) { left = daemon.core->devices()[0].books.blocks; }));
    daemon.time->run_last_first();
    CHECK(left == 0);
}

TEST_CASE("the books are gone over once an hour by themselves, and each time is counted") {
    Timed daemon;
    daemon.time->pass(2 * second);
    CHECK(daemon.core->work().audits == 0);
    for (const u64 hours : {1, 2}) {
        daemon.time->jump(3600 * second);
        daemon.time->pass(2 * second);
        CHECK(daemon.core->work().audits == hours);
    }
    CHECK((daemon.core->audit().ok && daemon.core->work().audits == 3));
    CHECK(daemon.core->work().audits_failed == 0);
}

TEST_CASE("a model that goes for another's room is counted as evicted with its bytes, one that is unloaded is not") {
    Timed daemon;
    daemon.load("asked");
    daemon.core->unload_model({admin, "asked", {}, {}}, [](const Result<Freed>& freed) { CHECK(freed.has_value()); });
    daemon.time->run_due();
    CHECK(daemon.core->work().evicted.empty());
    daemon.load("victim");
    const u64 taken = daemon.core->models().front().places.front().size_bytes;
    (void)daemon.allocate(64 * mib - 4096);
    REQUIRE(daemon.core->work().evicted.contains("a"));
    CHECK(daemon.core->work().evicted["a"].copies == 1);
    CHECK(daemon.core->work().evicted["a"].bytes >= taken);
}
