// clang-format off
// links: terms core/memory core/model core core/report ledger ipc http device device/host device/sim transfer worker keeper engine api attach
// clang-format on
// The bytes as packets of two clients, one per line, and as decisions of a generator of calls that are nearly right, against a real engine
// on memory of this process. Every call must be answered once and by JSON that fits a packet, whatever is asked; and when both clients have
// gone and the rest is freed, nothing may be held, handed out or wrong in the books.
#include <stdlib.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>

#include "attach/session.hpp"
#include "base/choices.hpp"
#include "device/host/host.hpp"
#include "engine/runner.hpp"

using namespace vramd;
using namespace vramd::attach;

namespace {
void demand(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "wrong: %s\n", what);
    std::abort();
}

/// Keeps nothing: no block outlives this process.
class NoVault final : public engine::Vault {
public:
    Result<void> store(BlockKey, u64, const Fd&) override { return {}; }
    Result<void> drop(BlockKey) override { return {}; }
};

/// Work is done when the fuzzer drains it; time stands still, so what waits for a deadline waits for ever.
class Drained final : public engine::Executor {
public:
    void post(std::move_only_function<void()> work) override { work_.push_back(std::move(work)); }
    void post_at(u64, std::move_only_function<void()>) override {}
    bool step() {
        if (work_.empty()) return false;
        auto first = std::move(work_.front());
        work_.pop_front();
        first();
        return true;
    }

private:
    std::deque<std::move_only_function<void()>> work_;
};

/// Files "0" to "3", of so many hundred tensors; others are not there.
class FewModels final : public engine::Loading {
public:
    void inspect(u64, const std::string& path, Inspected done) override {
        if (path.size() != 1 || path[0] < '0' || path[0] > '3') return done(refuse(Code::not_found, "/path", "There is no such file."));
        const u64 number = static_cast<u64>(path[0] - '0');
        Inspection inspection{ModelFormat::gguf, {1, number + 1, 64, 3, 4}, 4000, 4000, {}};
        for (u64 i = 0; i < number * 200 + 1; ++i) inspection.tensors.push_back({"t" + std::to_string(i), "u8", {1}, i, 1});
        done(std::move(inspection));
    }
    void load(u64, const std::string&, const Inspection&, Destination, std::move_only_function<void(u64)>,
              std::move_only_function<void(Result<void>)> done) override {
        done({});
    }
    void cancel(u64) override {}
    std::vector<Running> running() override { return {}; }
    std::vector<File> files() override { return {}; }
};

const Caller admin{"uid:0", Role::admin, {}};

/// One engine for all inputs; each leaves it empty.
class Bed {
public:
    Bed() {
        char pattern[] = "/tmp/vramd-fuzz-XXXXXX";
        demand(mkdtemp(pattern) != nullptr, "no folder");
        folder_ = pattern;
        device::host::Options host;
        host.id = "a";
        host.capacity_bytes = 2 * mib;
        host.pool_max_bytes = mib;
        std::shared_ptr<device::Device> device = std::move(device::host::open(host).value());
        transfer::Options stepped;
        stepped.mode = transfer::Options::Mode::stepped;
        transfer_ = std::make_shared<transfer::Engine>(stepped);
        engine::Ports ports;
        ports.clock = [] { return Moment{1'000'000'000, 1'700'000'000'000'000'000}; };
        ports.secret = [this] { return ++secrets_; };
        ports.vault = std::make_shared<NoVault>();
        ports.executor = executor_;
        ports.loading = std::make_shared<FewModels>();
        ports.transfer = transfer_;
        ports.devices.push_back({"a", host.capacity_bytes, device->facts().granularity_bytes, device});
        engine::Options options;
        options.state_directory = folder_ / "ledger";
        options.life = "fuzz";
        options.ledger_segment_bytes = mib;
        runner_ = std::make_unique<engine::Runner>(std::move(options), std::move(ports));
        demand(runner_->recover().has_value(), "no engine");
        drain();
        streams_ = std::make_unique<api::EventStreams>(runner_->events());
        world_ = std::make_unique<World>(
            World{*runner_, [this](u64 session, Later work) { later_.emplace_back(session, std::move(work)); }, *streams_, *pipes_});
    }
    ~Bed() {
        runner_->stop(0);
        drain();
        world_.reset();
        pipes_.reset();  // Before those who send through them.
        streams_.reset();
        runner_.reset();
        std::error_code ignored;  // A folder under /tmp that stays behind harms nobody.
        std::filesystem::remove_all(folder_, ignored);
    }

    World& world() { return *world_; }
    void drain() {
        while (executor_->step() || transfer_->step() > 0 || run_later()) {
        }
    }
    void know(u64 number, Session* session) { sessions_[number] = session; }
    void forget(u64 number) { sessions_.erase(number); }
    u64 next_number() { return ++numbers_; }

    /// Frees what clients left on purpose, and looks whether that was all.
    void clear() {
        drain();
        for (const report::ModelTold& model : runner_->models())
            for (const std::string& name : model.names)
                runner_->unload_model({admin, name, {}, UnloadModelCommand::Cached::drop}, [](const Result<engine::Freed>&) {});
        report::AllocationFilter all;
        all.limit = 10'000;
        for (const report::AllocationTold& told : runner_->allocations(admin, all).items) {
            demand(told.attached_clients == 0, "a hold outlives its client");
            // What another client had attached stays until its lease is over, for which time would have to pass.
            demand(told.persistent || told.shareable, "what was not persistent outlives its client");
            runner_->free({admin, told.id}, false,
                          [](const Result<engine::Freed>& freed) { demand(freed.has_value(), "it cannot be freed"); });
        }
        drain();
        demand(runner_->allocations(admin, all).items.empty() && runner_->models().empty(), "something is left");
        demand(runner_->devices()[0].books.live_bytes == 0, "bytes are left");
        demand(runner_->findings().empty(), "the books are wrong");
    }

private:
    bool run_later() {
        if (later_.empty()) return false;
        auto [number, work] = std::move(later_.front());
        later_.pop_front();
        const auto found = sessions_.find(number);
        work(found == sessions_.end() ? nullptr : found->second);
        return true;
    }

    std::filesystem::path folder_;
    std::shared_ptr<Drained> executor_ = std::make_shared<Drained>();
    std::shared_ptr<transfer::Engine> transfer_;
    std::deque<std::pair<u64, Later>> later_;
    std::map<u64, Session*> sessions_;
    u64 numbers_ = 0;
    u64 secrets_ = 0;
    std::unique_ptr<engine::Runner> runner_;
    std::unique_ptr<api::EventStreams> streams_;
    std::unique_ptr<EventPipes> pipes_ = EventPipes::open().value();
    std::unique_ptr<World> world_;
};

/// A client: says, and counts what it hears.
class Client {
public:
    Client(Bed& bed, const char* owner)
        : bed_(bed),
          number_(bed.next_number()),
          session_(bed.world(), number_, {owner, Role::user, {}}, [this](Outgoing packet) { hear(packet); }) {
        bed_.know(number_, &session_);
    }
    ~Client() {
        bed_.forget(number_);
        session_.end();
        bed_.drain();
    }
    void say(std::string_view packet) {
        if (packet.empty()) return;  // An empty packet is the end of a connection.
        ++said_;
        session_.receive(packet);
        session_.tick();
    }
    /// Who waits for room may have to wait on; nobody else.
    void check() const { demand(heard_ <= said_ && said_ - heard_ <= waiting_max, "calls without answers, or answers without calls"); }
    std::vector<std::string> ids;
    static constexpr u64 waiting_max = 32;

private:
    void hear(const Outgoing& packet) {
        demand(packet.text.size() <= packet_bytes_max, "an answer that no packet holds");
        const auto node = api::read_json(packet.text);
        demand(node.has_value() && node->kind == api::Node::Kind::object, "an answer that is not JSON");
        if (node->member("method") != nullptr) return;
        ++heard_;
        demand((node->member("result") != nullptr) != (node->member("error") != nullptr), "neither a result nor a refusal");
        if (const api::Node* const error = node->member("error"))
            demand(!error->member("message")->text.empty() && code_named(error->member("data")->member("code")->text).has_value(),
                   "a refusal without its reason");
        for (const Fd& fd : packet.descriptors) demand(static_cast<bool>(fd), "a descriptor that is none");
        if (const api::Node* const result = node->member("result"))
            if (const api::Node* const memory = result->member("memory"); memory != nullptr && memory->kind == api::Node::Kind::object)
                ids.push_back(memory->member("allocationId")->text);
    }

    Bed& bed_;
    u64 number_;
    u64 said_ = 0;
    u64 heard_ = 0;
    Session session_;
};

Bed& bed() {
    static Bed one;
    return one;
}

void play(std::string_view bytes) {
    {
        Client clients[] = {{bed(), "me"}, {bed(), "other"}};
        for (Client& client : clients) client.say(R"({"jsonrpc":"2.0","id":0,"method":"hello","params":{"version":1}})");
        for (u64 turn = 0; !bytes.empty(); ++turn) {
            const std::size_t end = std::min(bytes.find('\n'), bytes.size());
            clients[turn % 2].say(bytes.substr(0, end));
            bytes.remove_prefix(std::min(end + 1, bytes.size()));
            bed().drain();
        }
        for (const Client& client : clients) client.check();
    }
    bed().clear();
}

std::string one_of(Choices& choices, std::initializer_list<const char*> texts) { return texts.begin()[choices.below(texts.size())]; }

std::string id_for(Choices& choices, const Client& one, const Client& other) {
    const std::vector<std::string>& ids = choices.one_in(3) ? other.ids : one.ids;
    if (ids.empty() || choices.one_in(10)) return "alc_0q3xw8c5k2mznd1";
    return ids[choices.below(ids.size())];
}

std::string params_for(Choices& choices, const std::string& method, const Client& one, const Client& other) {
    if (method == "allocate")
        return R"("sizeBytes":)" + one_of(choices, {"1", "4096", "100000", "3000000", "0", "-1", "18446744073709551616", "1e3"}) +
               one_of(choices, {"", R"(,"persistent":true)", R"(,"shareable":true)", R"(,"allocationType":"default")",
                                R"(,"allocationType":"texture")", R"(,"timeoutSeconds":5)", R"(,"owner":"else")", R"(,"alignment":3)"});
    if (method == "free") return R"("allocationId":")" + id_for(choices, one, other) + '"' + one_of(choices, {"", R"(,"force":true)"});
    if (method == "detach") return R"("allocationId":")" + id_for(choices, one, other) + '"';
    const std::string mode = one_of(choices, {"", R"(,"mode":"read")", R"(,"mode":"private")", R"(,"mode":"write")", R"(,"mode":"none")"});
    if (method == "attach" && choices.one_in(2)) return R"("allocationId":")" + id_for(choices, one, other) + '"' + mode;
    if (method == "attach")
        return R"("model":")" + one_of(choices, {"0", "1", "2", "3", "x"}) + '"' + mode +
               one_of(choices, {"", R"(,"path":"1")", R"(,"tensors":["t0"])", R"(,"tensors":["t0","t900"])", R"(,"deviceId":"b")"});
    if (method == "worker.load_model")
        return R"("name":")" + one_of(choices, {"0", "1", "m"}) + R"(","path":")" + one_of(choices, {"0", "1", "2", "x"}) + '"' +
               one_of(choices, {"", R"(,"type":"vae")", R"(,"estimated_size_mb":1)", R"(,"estimated_size_mb":9)", R"(,"type":"x")"});
    if (method == "worker.unload_model") return R"("name":")" + one_of(choices, {"0", "1", "2", "m", ""}) + '"';
    if (method == "worker.initialize") return one_of(choices, {"", R"("device_id":"a")", R"("memory_limit_mb":1)", R"("device_id":"b")"});
    if (method.starts_with("worker.")) return one_of(choices, {"", "", R"("x":1)"});
    if (method == "subscribe")
        return one_of(choices, {"", R"("from":0)", R"("from":1,"follow":false)", R"("type":"allocationFreed")", R"("type":"x")",
                                R"("deviceId":"b")"});
    if (method == "list") return one_of(choices, {"", R"("kind":"models")", R"("limit":1)", R"("cursor":"p3")", R"("cursor":"q")"});
    return R"("version":1)";
}

void converse(Choices choices) {
    {
        Client clients[] = {{bed(), "me"}, {bed(), "other"}};
        for (Client& client : clients) client.say(R"({"jsonrpc":"2.0","id":0,"method":"hello","params":{"version":1}})");
        while (!choices.exhausted()) {
            const u64 who = choices.below(2);
            const std::string method = one_of(
                choices, {"allocate", "allocate", "attach", "attach", "free", "detach", "list", "subscribe", "hello", "worker.initialize",
                          "worker.load_model", "worker.unload_model", "worker.optimize_memory", "worker.get_status", "worker.cleanup"});
            std::string packet = R"({"jsonrpc":"2.0","id":1,"method":")" + method + R"(","params":{)" +
                                 params_for(choices, method, clients[who], clients[1 - who]) + "}}";
            if (choices.one_in(20)) packet.resize(choices.below(packet.size()));
            clients[who].say(packet);
            if (!choices.one_in(4)) bed().drain();  // Else more is asked before it is answered.
        }
        bed().drain();
        for (const Client& client : clients) client.check();
    }
    bed().clear();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
    play({reinterpret_cast<const char*>(data), size});
    converse(Choices::replay({data, data + std::min<std::size_t>(size, 400)}));
    return 0;
}
