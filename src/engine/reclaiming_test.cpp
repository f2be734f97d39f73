/// Clients that are asked to let go of models: who, when, for what, and what comes of their answers.
#include "engine/test_bench.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {
constexpr u64 long_time = 3600 * ns_per_second;

/// A client of the attach protocol, as the engine sees it.
struct Client {
    enum class When : u8 { asked, never };
    Client(Bench& bench_then, u64 session_then) : bench(bench_then), session(session_then) {}
    void attach(const std::string& name) {
        hold = bench.core->attach({"me", Role::user, {}, session}, bench.core->model(name)->best().allocation, std::nullopt).value();
        hold->let_ask([this](const Ask& ask) {
            asks.push_back(ask);
            if (gives) bench.executor->post([this] { hold.reset(); });  // As a process: never at once.
        });
        bench.settle();
    }
    void let_go() {
        hold.reset();
        bench.settle();
    }
    void keep() {
        hold->keeps();
        bench.settle();
    }
    Bench& bench;
    u64 session;
    bool gives = false;
    std::vector<Ask> asks;
    std::unique_ptr<Attachment> hold;
};
}  // namespace

TEST_CASE("a load asks who holds the room that it needs, and has it when they have let go") {
    Bench bench;
    bench.load("held", 40 * mib);
    Client one(bench, 1), other(bench, 2);
    one.attach("held");
    other.attach("held");
    const auto fate = bench.begin_load("wanted", 40 * mib);
    CHECK(!fate->told);
    for (const Client* client : {&one, &other}) {
        REQUIRE(client->asks.size() == 1);
        CHECK(client->asks[0].model == "held");
        CHECK(client->asks[0].bytes == 40 * mib);
        CHECK(client->asks[0].within_ns == 10 * ns_per_second);
    }
    one.let_go();
    CHECK(!fate->told);
    CHECK(bench.core->model("held").has_value());
    other.let_go();
    CHECK(fate->succeeded());
    CHECK(!bench.core->model("held").has_value());
    CHECK(bench.core->work().asked == 2);
    CHECK(bench.core->work().given == 2);
}

TEST_CASE("an allocation that waits asks too, and one that waits for nothing asks nobody") {
    Bench bench;
    bench.load("held", 60 * mib);
    Client client(bench, 1);
    client.gives = true;
    client.attach("held");
    CHECK(bench.ask("me", 30 * mib)->error);
    CHECK(client.asks.empty());
    const auto fate = bench.ask("me", 30 * mib, 3 * ns_per_second);
    CHECK(fate->id);
    REQUIRE(client.asks.size() == 1);
    CHECK(client.asks[0].within_ns == 3 * ns_per_second);
}

TEST_CASE("whoever does not answer costs those that wait their time and nothing more, and they are told what is held") {
    Bench bench;
    bench.load("held", 60 * mib);
    Client client(bench, 1);
    client.attach("held");
    const auto load = bench.begin_load("wanted", 40 * mib);
    const auto request = bench.ask("me", 30 * mib, 5 * ns_per_second);
    bench.pass(6 * ns_per_second);
    REQUIRE(request->error);
    CHECK(request->error->code == Code::timed_out);
    CHECK(request->error->detail.ends_with("Clients that were asked to let go hold 62914560 bytes."));
    CHECK(!load->told);
    bench.pass(5 * ns_per_second);
    REQUIRE(load->error);
    CHECK(load->error->code == Code::timed_out);
    CHECK(load->error->detail.ends_with("Clients that were asked to let go hold 62914560 bytes."));
    CHECK(bench.core->model("held").has_value());
    CHECK(bench.core->findings().empty());
    CHECK(client.asks.size() == 1);
}

TEST_CASE("whoever answers that it keeps what it has is not waited for, and not asked again before the time is over") {
    Bench bench;
    bench.load("held", 60 * mib);
    Client client(bench, 1);
    client.attach("held");
    const auto first = bench.begin_load("first", 40 * mib);
    CHECK(!first->told);
    client.keep();
    REQUIRE(first->error);
    CHECK(first->error->code == Code::insufficient_memory);
    CHECK(first->error->detail.find("hold 62914560 bytes") != std::string::npos);
    CHECK(bench.begin_load("second", 40 * mib)->error);
    CHECK(client.asks.size() == 1);
    bench.pass(10 * ns_per_second);
    CHECK(!bench.begin_load("third", 40 * mib)->told);
    CHECK(client.asks.size() == 2);
    CHECK(bench.core->work().kept == 1);
}

TEST_CASE("many that wait ask a holder once, and the oldest has its room first") {
    Bench bench;
    bench.load("held", 60 * mib);
    Client client(bench, 1);
    client.attach("held");
    std::vector<std::shared_ptr<Fate>> fates;
    for (int i = 0; i < 20; ++i) fates.push_back(bench.ask("me", 30 * mib, long_time));
    const auto load = bench.begin_load("wanted", 40 * mib);
    CHECK(client.asks.size() == 1);
    client.let_go();
    CHECK(fates[0]->id);
    CHECK(fates[1]->id);
    CHECK(!fates[2]->told);
}

TEST_CASE("nobody is asked for the sake of its own session, or beside one who cannot be asked") {
    Bench bench;
    bench.load("held", 60 * mib);
    Client client(bench, 7);
    client.attach("held");
    CHECK(bench.begin_load("own", 40 * mib, 7)->error);
    CHECK(client.asks.empty());
    auto stranger = bench.core->attach({"you", Role::user}, bench.core->model("held")->best().allocation, std::nullopt).value();
    CHECK(bench.begin_load("wanted", 40 * mib, 8)->error);
    CHECK(client.asks.empty());
    const auto waits = bench.ask("me", 30 * mib, long_time);
    CHECK(client.asks.empty());
    stranger.reset();
    bench.settle();
    CHECK(client.asks.size() == 1);  // Now all who hold it can be.
    CHECK(!bench.begin_load("again", 40 * mib, 8)->told);
    CHECK(client.asks.size() == 1);
}

TEST_CASE("no more are asked than are needed, in the order in which models go, and others where one keeps what it has") {
    Bench bench;
    bench.load("first", 20 * mib);
    bench.load("second", 20 * mib);
    bench.load("third", 20 * mib);
    Client first(bench, 1), second(bench, 2), third(bench, 3);
    first.attach("first");
    second.attach("second");
    const auto fate = bench.ask("me", 40 * mib, long_time);  // The third goes as it is.
    CHECK(first.asks.size() == 1);
    CHECK(second.asks.empty());
    first.keep();
    CHECK(second.asks.size() == 1);
    second.let_go();
    CHECK(fate->id);
    CHECK(bench.core->model("first").has_value());
}

TEST_CASE("two that cannot both fit have their models in turn") {
    Bench bench;
    bench.loading->takes_time = true;
    Client one(bench, 1), other(bench, 2);
    one.gives = other.gives = true;
    const std::array<Client*, 2> clients{&one, &other};
    const std::array<std::string, 2> names{"one", "other"};
    std::array<std::shared_ptr<LoadFate>, 2> loads;
    std::array<int, 2> turns{};
    for (int step = 0; step < 400; ++step) {
        for (std::size_t i = 0; i < 2; ++i) {
            if (clients[i]->hold) continue;
            if (!loads[i]) loads[i] = bench.begin_load(names[i], 40 * mib, clients[i]->session);
            if (!loads[i]->told) continue;
            REQUIRE_MESSAGE(!loads[i]->error, describe(*loads[i]->error));
            clients[i]->attach(names[i]);
            bench.core->let_loaded_go(loads[i]->id);
            loads[i].reset();
            turns[i] += 1;
        }
        if (bench.loading->loads()) bench.loading->end_load();
        bench.pass(ns_per_ms);
    }
    CHECK(turns[0] > 20);
    CHECK(turns[1] > 20);
    CHECK(std::abs(turns[0] - turns[1]) <= 1);
}

TEST_CASE("a load waits for the one before it, has its turn after it, and can be cancelled meanwhile") {
    Bench bench;
    bench.load("held", 60 * mib);
    Client client(bench, 1);
    client.attach("held");
    const auto first = bench.begin_load("first", 30 * mib);
    const auto small = bench.begin_load("small", 2 * mib);  // It would fit.
    const auto urgent = bench.begin_load("urgent", 40 * mib, 0, Priority::high);
    CHECK(!small->told);
    CHECK(bench.core->cancel({{"me", Role::user}, first->id}).has_value());
    bench.settle();
    REQUIRE(first->told);
    CHECK(first->error->code == Code::cancelled);
    CHECK(!small->told);
    client.let_go();
    CHECK(urgent->succeeded());
    CHECK(small->succeeded());
    CHECK(bench.core->model("urgent").has_value());
}

TEST_CASE("a load that nothing can make room for fails at once") {
    Bench bench;
    bench.load("held", 60 * mib);
    auto held = bench.core->attach({"you", Role::user}, bench.core->model("held")->best().allocation, std::nullopt).value();
    const auto fate = bench.begin_load("wanted", 40 * mib);
    REQUIRE(fate->error);
    CHECK(fate->error->code == Code::insufficient_memory);
}

TEST_CASE("a stop does not wait for a load that waits for room, and whoever waits for it is told") {
    Bench bench;
    bench.load("held", 40 * mib);
    Client client(bench, 1);
    client.attach("held");
    const auto fate = bench.begin_load("wanted", 40 * mib);
    CHECK(client.asks.size() == 1);
    const u64 begun_ns = monotonic_ns();
    bench.core->stop(60 * ns_per_second);
    CHECK(monotonic_ns() - begun_ns < 30 * ns_per_second);
    CHECK(fate->told);
    client.let_go();
}

TEST_CASE("whoever waits longer than the one for whom a holder was asked has it asked anew when that time is over") {
    Bench bench;
    bench.load("held", 40 * mib);
    Client client(bench, 1);
    client.attach("held");
    const auto hasty = bench.ask("me", 30 * mib, ns_per_second);
    const auto patient = bench.begin_load("wanted", 40 * mib);
    CHECK(client.asks.size() == 1);
    bench.pass(ns_per_second);
    CHECK(hasty->error);
    CHECK(!patient->told);
    REQUIRE(client.asks.size() == 2);
    client.let_go();
    CHECK(patient->succeeded());
}
