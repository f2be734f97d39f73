#include "cli/top_state.hpp"

#include <doctest/doctest.h>

#include "cli/test_top_samples.hpp"
#include "cli/top_keys.hpp"

namespace vramd::cli::top::testing {
namespace {
using Ids = std::vector<std::string>;

Wish press_letter(State& state, std::string_view letter) { return press(state, {Key::Name::text, std::string(letter)}, 10, noon); }
Wish press_named(State& state, Key::Name name) { return press(state, {name}, 10, noon); }
void type(State& state, std::string_view text) {
    for (const char letter : text) (void)press_letter(state, std::string(1, letter));
}
Ids shown(const State& state) { return shown_ids(state.table()); }
}  // namespace

TEST_CASE("the five parts of a device sum to its capacity, whatever the daemon tells") {
    const json::value told = two_devices();
    const Parts parts = parts_of(told.at("devices").at(0).as_object());
    CHECK((parts == Parts{400, 100, 100, 100, 300}));
    const json::value odd =
        parsed(R"({"totalBytes":100,"liveBytes":90,"zombieBytes":30,"reservedBytes":5,"freeBytes":1,"availableBytes":9})");
    CHECK((parts_of(odd.as_object()) == Parts{90, 10, 0, 0, 0}));
    CHECK((parts_of(json::object{}) == Parts{}));
}

TEST_CASE("rows are sorted by the column that was chosen, and by the one before where they are equal") {
    State state = full_state();
    CHECK(shown(state) == Ids{"alc_2", "alc_1", "alc_3"});  // By size, the largest first.
    (void)press_letter(state, "N");
    CHECK(shown(state) == Ids{"alc_1", "alc_2", "alc_3"});
    (void)press_letter(state, "R");
    CHECK(shown(state) == Ids{"alc_3", "alc_2", "alc_1"});
    (void)press_letter(state, "M");  // Equal sizes stand as the id had them.
    CHECK(shown(state) == Ids{"alc_2", "alc_3", "alc_1"});
    CHECK((state.table().sort == std::vector<SortKey>{{1, Order::falling}, {0, Order::falling}}));
    (void)press_letter(state, "T");
    CHECK(shown(state) == Ids{"alc_3", "alc_1", "alc_2"});
    (void)press_letter(state, "<");
    CHECK(state.table().sort.front().column == 6);
    (void)press_named(state, Key::Name::right);
    CHECK(state.table().sort.front().column == 7);
}

TEST_CASE("columns to sort by may be named beforehand, and a wrong one is told with those that there are") {
    State state = full_state();
    REQUIRE(sort_by(state, "size,-owner").has_value());
    arrange(state, Tab::processes);
    CHECK(shown(state) == Ids{"alc_2", "alc_1", "alc_3"});
    REQUIRE(sort_by(state, "-SIZE,owner").has_value());
    arrange(state, Tab::processes);
    CHECK(shown(state) == Ids{"alc_3", "alc_1", "alc_2"});
    const auto wrong = sort_by(state, "colour");
    REQUIRE(!wrong.has_value());
    CHECK((wrong.error().exit == Exit::usage));
    CHECK(wrong.error().what.find("'colour' is no column of processes: id, size, device") != std::string::npos);
}

TEST_CASE("a filter shows only rows that have the text, in any case and script, while it is typed") {
    State state = full_state();
    (void)press_letter(state, "/");
    type(state, "ANN");
    CHECK(shown(state) == Ids{"alc_3"});
    (void)press_named(state, Key::Name::backspace);
    CHECK(state.table().filter == "AN");
    (void)press_named(state, Key::Name::enter);
    CHECK((state.mode == Mode::rows));
    CHECK(shown(state) == Ids{"alc_3"});
    (void)press_named(state, Key::Name::escape);
    CHECK(shown(state).size() == 3);
    (void)press_letter(state, "/");
    (void)press_letter(state, "模");
    CHECK(shown(state) == Ids{"alc_2"});
    (void)press_letter(state, "q");  // Here it is a letter like any other.
    CHECK(shown(state).empty());
    CHECK(chosen_row(state) == nullptr);
}

TEST_CASE("the chosen row stays chosen when others come before it, and the next one is chosen when it goes") {
    State state = full_state();
    (void)press_named(state, Key::Name::down);
    CHECK(chosen_row(state)->id == "alc_1");
    (void)press_letter(state, "N");
    CHECK(chosen_row(state)->id == "alc_1");
    CHECK(state.table().at == 0);
    take_rows(state, Tab::processes, parsed(R"({"items":[{"id":"alc_0","sizeBytes":1},{"id":"alc_3","sizeBytes":1}]})"), noon);
    CHECK(chosen_row(state)->id == "alc_0");
    (void)press_named(state, Key::Name::end);
    CHECK(chosen_row(state)->id == "alc_3");
    (void)press_named(state, Key::Name::home);
    take_rows(state, Tab::processes, parsed(R"({"items":[{"id":"alc_!","sizeBytes":1},{"id":"alc_0","sizeBytes":1}]})"), noon);
    CHECK(chosen_row(state)->id == "alc_!");  // The first, whichever it is.
}

TEST_CASE("while paused nothing that is shown changes, and afterwards nothing is missing") {
    State state = full_state();
    (void)press_letter(state, "p");
    take_rows(state, Tab::processes, parsed(R"({"items":[]})"), noon + 5);
    const std::string event = R"({"sequence":10,"type":"allocationFreed","at":"2026-05-28T20:26:31.000Z"})";
    take_events(state, std::span(&event, 1), noon + 5);
    CHECK(shown(state).size() == 3);
    CHECK(state.table_of(Tab::events).rows.size() == 1);
    CHECK((press_letter(state, "p").what == Wish::What::turn));
    CHECK(shown_ids(state.table_of(Tab::events)) == Ids{"10", "9"});
    take_rows(state, Tab::processes, parsed(R"({"items":[]})"), noon + 5);
    CHECK(shown(state).empty());
}

TEST_CASE("events beyond the newest thousand go, and what is no event is passed over") {
    State state;
    std::vector<std::string> events = {"{", "[]"};
    for (u64 i = 1; i <= event_rows_max + 50; ++i) events.push_back(R"({"sequence":)" + std::to_string(i) + R"(,"type":"x"})");
    take_events(state, events, noon);
    CHECK(state.table_of(Tab::events).rows.size() == event_rows_max);
    CHECK(shown_ids(state.table_of(Tab::events)).front() == "1050");
}

TEST_CASE("unloading asks first, names the bytes of all places, and only y does it") {
    State state = full_state();
    (void)press_letter(state, "3");
    CHECK((press_letter(state, "u").what == Wish::What::nothing));
    CHECK(state.question == "Unload 模型? 608 B on a, b go back, or stay in the RAM cache while it has room.");
    CHECK((press_named(state, Key::Name::enter).what == Wish::What::nothing));
    CHECK((state.mode == Mode::rows));
    CHECK(state.notice == "Nothing was done.");
    (void)press_letter(state, "u");
    const Wish wish = press_letter(state, "y");
    CHECK((wish.what == Wish::What::act));
    CHECK(wish.method == "DELETE");
    CHECK(wish.target == "/api/model/unload?name=%E6%A8%A1%E5%9E%8B");
    (void)press_named(state, Key::Name::down);
    (void)press_letter(state, "u");
    CHECK(state.question.ends_with(" 1 client holds it, so the daemon may refuse."));
}

TEST_CASE("the memory of a model is unloaded from where it is, and what holds no model is not") {
    State state = full_state();
    (void)press_letter(state, "u");
    CHECK(state.question.starts_with("Unload 模型 from a? 300 B go back"));
    CHECK(press_letter(state, "y").target == "/api/model/unload/a?name=%E6%A8%A1%E5%9E%8B");
    (void)press_named(state, Key::Name::down);
    (void)press_letter(state, "u");
    CHECK((state.mode == Mode::rows));
    CHECK(state.notice.starts_with("u unloads a model"));
}

TEST_CASE("ending a row frees its memory by force or cancels its transfer, after a question that names the bytes") {
    State state = full_state();
    (void)press_letter(state, "K");
    CHECK(state.notice == "It holds the model 模型: u unloads it.");
    (void)press_named(state, Key::Name::down);
    (void)press_letter(state, "K");
    CHECK(
        state.question ==
        "Free alc_1 by force? 100 B of uid:7 on a (scratch): 2 clients hold it and can go on with it; the memory comes back when the last "
        "lets go.");
    CHECK(press_letter(state, "y").target == "/api/memory/allocations/alc_1?force=true");
    (void)press_named(state, Key::Name::down);
    (void)press(state, {Key::Name::function, "9"}, 10, noon);
    CHECK(state.notice.starts_with("It is freed already"));
    (void)press_letter(state, "4");
    (void)press_letter(state, "K");
    CHECK(state.question == "Cancel xfr_1? 4.00 KiB from a to b; the source stays as it is.");
    CHECK(press_letter(state, "Y").target == "/api/memory/transfer/xfr_1");
    (void)press_named(state, Key::Name::down);
    (void)press_letter(state, "K");
    CHECK(state.notice == "The transfer has ended already (succeeded).");
    (void)press_letter(state, "1");
    (void)press_letter(state, "K");
    CHECK((state.mode == Mode::rows));
}

TEST_CASE("tabs are turned by number and in a row, and each row can be looked at in full") {
    State state = full_state();
    const std::vector<std::string> targets = {"/api/memory/status/a?includeUsageStats=true&includeFragmentation=true",
                                              "/api/memory/allocation/alc_2?includeHistory=true", "/api/model/info?name=%E6%A8%A1%E5%9E%8B",
                                              "/api/memory/transfer/xfr_1", ""};
    (void)press_letter(state, "1");
    for (std::size_t i = 0; i < tab_count; ++i) {
        CHECK((state.tab == all_tabs[i]));
        const Wish wish = press_named(state, Key::Name::enter);
        CHECK((wish.what == Wish::What::look));
        CHECK(wish.target == targets[i]);
        CHECK((press_named(state, Key::Name::tab).what == Wish::What::turn));
    }
    CHECK((state.tab == Tab::devices));
    (void)press_named(state, Key::Name::back_tab);
    CHECK((state.tab == Tab::events));
    take_details(state, "Event 9", "one\ntwo\nthree\n");
    CHECK(state.details == Ids{"one", "two", "three"});
    (void)press(state, {Key::Name::down}, 2, noon);
    CHECK(state.details_at == 1);
    CHECK((press_letter(state, "q").what == Wish::What::nothing));
    CHECK((state.mode == Mode::rows));
    CHECK((press_letter(state, "q").what == Wish::What::quit));
}

TEST_CASE("a daemon that is lost and comes back is told with how long it was away, and another core too") {
    State state = full_state();
    take_loss(state, "Nobody answers at x.", noon + 1);
    take_loss(state, "Nobody answers at x.", noon + 3);
    CHECK(state.contact_since == noon + 1);
    take_contact(state, noon + 9);
    CHECK((state.contact == Contact::live));
    CHECK(state.notice == "The daemon answers again, after 8.0 s.");
    take_system(state, parsed(R"({"version":"0.1.0","generation":2})"));
    CHECK(state.notice == "The daemon answers again, after 8.0 s. It is core 2 now.");
    state.notice.clear();
    take_system(state, parsed(R"({"version":"0.1.0","generation":3})"));
    CHECK(state.notice == "The core was started again. It is core 3 now.");
    take_loss(state, "Nobody answers at x.", noon + 10);
    take_system(state, parsed(R"({"version":"0.1.0","generation":1})"));  // Whichever of the two comes first.
    take_contact(state, noon + 12);
    CHECK(state.notice == "The daemon answers again, after 2.0 s. The core was started again. It is core 1 now.");
}
}  // namespace vramd::cli::top::testing
