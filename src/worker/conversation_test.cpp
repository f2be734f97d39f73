#include "worker/conversation.hpp"

#include <doctest/doctest.h>

#include <array>

#include "base/choices.hpp"
#include "base/clock.hpp"

namespace vramd::worker {
namespace {
std::string started() { return ipc::write_message(ipc::Notification{"started", {{"seccomp", 1}, {"landlock_abi", 7}, {"uid", 65534}}}); }
std::string parsed(u64 bytes) { return ipc::write_message(ipc::Notification{"parsed", {{"table_bytes", bytes}}}); }
std::string progress(u64 bytes, u64 total) {
    return ipc::write_message(ipc::Notification{"progress", {{"bytes", bytes}, {"total", total}}});
}
std::string answer(boost::json::object result) { return ipc::write_message(ipc::Answer{request_id, std::move(result)}); }
}  // namespace

TEST_CASE("a load is heard from its start to its end") {
    Conversation talk(Subject::load, 0);
    CHECK(talk.hear(started(), 0)->kind == Heard::Kind::started);
    CHECK(talk.told().confinement.landlock_abi == 7);
    CHECK(talk.hear(parsed(100), 0)->bytes == 100);
    CHECK(talk.hear(progress(5, 10), 0)->bytes == 5);
    CHECK(talk.hear(progress(10, 10), 0)->kind == Heard::Kind::progress);
    CHECK(talk.hear(answer({}), 0)->kind == Heard::Kind::answered);
}

TEST_CASE("a word at the wrong moment ends the process") {
    const auto after = [](std::initializer_list<std::string> said, const std::string& last, Subject subject = Subject::load) {
        Conversation talk(subject, 0);
        for (const std::string& frame : said) REQUIRE(talk.hear(frame, 0).has_value());
        return talk.hear(last, 0).has_value();
    };
    CHECK(!after({}, parsed(1)));
    CHECK(!after({}, progress(0, 1)));
    CHECK(!after({}, answer({{"table_bytes", 1}})));
    CHECK(!after({started()}, started()));
    CHECK(!after({started()}, progress(0, 1)));
    CHECK(!after({started()}, parsed(1), Subject::inspect));
    CHECK(!after({started()}, parsed(0)));
    CHECK(!after({started()}, parsed(ipc::table_bytes_max + 1)));
    CHECK(!after({started()}, answer({})));
    CHECK(!after({started()}, answer({{"table_bytes", 0}})));
    CHECK(!after({started(), parsed(1)}, parsed(1)));
    CHECK(!after({started(), parsed(1)}, progress(2, 1)));
    CHECK(!after({started(), parsed(1), progress(2, 5)}, progress(1, 5)));
    CHECK(!after({started(), parsed(1), progress(2, 5)}, progress(3, 6)));
    CHECK(!after({started(), parsed(1), answer({})}, answer({})));
    CHECK(!after({started(), parsed(1)}, ipc::write_message(ipc::Answer{2, {}})));
    CHECK(!after({started()}, ipc::write_message(ipc::Request{1, "inspect", {}})));
    CHECK(!after({started()}, "garbage"));
}

TEST_CASE("a process cannot make the daemon answer with a code that is not its to give") {
    const auto told = [](Code code) {
        Conversation talk(Subject::inspect, 0);
        return talk.hear(ipc::write_message(ipc::Failure{1, {code, "f\x1b[31m", 0, 0, "line\nline"}}), 0)->error;
    };
    CHECK(told(Code::invalid_model).code == Code::invalid_model);
    CHECK(told(Code::forbidden).code == Code::system_failed);
    CHECK(told(Code::cancelled).code == Code::system_failed);
    CHECK(told(Code::invalid_model).detail == "line line");
    CHECK(told(Code::invalid_model).field == "f [31m");
}

TEST_CASE("a flood ends, a steady report does not") {
    Conversation flooding(Subject::load, 0);
    REQUIRE(flooding.hear(started(), 0).has_value());
    REQUIRE(flooding.hear(parsed(1), 0).has_value());
    u64 heard = 0;
    while (heard < 1000 && flooding.hear(progress(0, 1), 0).has_value()) ++heard;
    CHECK(heard == messages_free - 2);

    Conversation steady(Subject::load, 0);
    REQUIRE(steady.hear(started(), 0).has_value());
    REQUIRE(steady.hear(parsed(1), 0).has_value());
    for (u64 i = 0; i < 2000; ++i) REQUIRE(steady.hear(progress(i, 2000), i * 50 * ns_per_ms).has_value());
}

TEST_CASE("whatever comes in whatever order, progress is monotonic and nothing follows the end") {
    const std::array frames = {
        started(),        parsed(10),     progress(1, 4),
        progress(4, 4),   answer({}),     answer({{"table_bytes", 9}}),
        std::string("x"), progress(9, 4), ipc::write_message(ipc::Failure{1, {Code::invalid_model, "", 0, 0, "no"}})};
    for (u64 seed = 0; seed < 3000; ++seed) {
        Choices choices = Choices::from_seed(seed);
        Conversation talk(choices.one_in(2) ? Subject::load : Subject::inspect, 0);
        u64 last = 0;
        bool over = false;
        for (int i = 0; i < 12; ++i) {
            std::string frame = frames[choices.below(frames.size())];
            if (choices.one_in(3)) frame[choices.below(frame.size())] = static_cast<char>(choices.below(256));
            const auto heard = talk.hear(frame, 0);
            if (!heard) break;  // The process would be ended here.
            CHECK(!over);
            if (heard->kind == Heard::Kind::progress) {
                CHECK(heard->bytes >= last);
                CHECK(heard->bytes <= heard->total);
                last = heard->bytes;
            }
            over = heard->kind == Heard::Kind::answered || heard->kind == Heard::Kind::failed;
        }
    }
}
}  // namespace vramd::worker
