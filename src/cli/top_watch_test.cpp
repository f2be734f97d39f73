#include "cli/top_watch.hpp"

#include <doctest/doctest.h>
#include <poll.h>

namespace vramd::cli::top {
TEST_CASE("an event of the stream is its number, its type and its data, and a bare number only moves the place on") {
    const StreamEvent event = stream_event("id: 42\nevent: allocationFreed\ndata: {\"sequence\":42}\n");
    CHECK(event.id == 42);
    CHECK(event.type == "allocationFreed");
    CHECK(event.data == "{\"sequence\":42}");
    CHECK(stream_event("id: 7\n").id == 7);
    CHECK(stream_event("id: 7\n").data.empty());
    CHECK(!stream_event(": still here\n").id.has_value());
    CHECK(!stream_event("id: x\nevent").id.has_value());
    CHECK(stream_event("event: problem\ndata: {}").type == "problem");
}

TEST_CASE("what an action did is told with the bytes that came back, and where they are if none did") {
    const auto told = [](std::string_view answer) {
        return outcome_text("Freed alc_1", parse_document(answer).value().as_object(), Sizes::figures);
    };
    CHECK(told(R"({"freedBytes":2097152,"status":"freed"})") == "Freed alc_1: 2.00 MiB came back.");
    CHECK(told(R"({"freedBytes":4096,"status":"zombie"})") == "Freed alc_1: 4.00 KiB come back when the last client lets go.");
    CHECK(told(R"({"freedBytes":0,"status":"cached"})") == "Freed alc_1: the RAM cache keeps its bytes until somebody needs the room.");
    CHECK(told(R"({"id":"xfr_1","status":"cancelled"})") == "Freed alc_1: it is cancelled.");
    CHECK(told("{}") == "Freed alc_1.");
}

TEST_CASE("whoever watches a daemon that is not there hears so, and need not wait for it to end") {
    Wishes wishes;
    wishes.socket = "/tmp/vramd-there-is-no-such-folder/vramd.sock";
    auto watch = Watch::begin(wishes, Tab::processes);
    REQUIRE(watch.has_value());
    std::optional<std::string> lost;
    while (!lost) {
        pollfd waiting{(*watch)->descriptor(), POLLIN, 0};
        REQUIRE(poll(&waiting, 1, 60'000) == 1);
        News news = (*watch)->take();
        CHECK(!news.answered);
        lost = std::move(news.lost);
    }
    CHECK(lost->find("Nobody answers at /tmp/vramd-there-is-no-such-folder/vramd-http.sock") != std::string::npos);
}
}  // namespace vramd::cli::top
