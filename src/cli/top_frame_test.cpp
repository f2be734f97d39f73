#include "cli/top_frame.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "cli/test_top_samples.hpp"
#include "cli/top_keys.hpp"
#include "cli/top_text.hpp"

namespace vramd::cli::top::testing {
namespace {
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// Each line has as many columns as the screen, wide characters counted twice.
void check_shape(const Frame& frame, Size size) {
    REQUIRE(frame.lines.size() == size.lines);
    for (const std::vector<Cell>& cells : frame.lines) {
        REQUIRE(cells.size() == size.columns);
        std::string line;
        for (const Cell& cell : cells) line += cell.text;
        CHECK(columns_of(line) == size.columns);
    }
}
std::string line_at(const std::string& text, std::size_t number) {
    std::size_t begin = 0;
    for (; number > 0; --number) begin = text.find('\n', begin) + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
}
}  // namespace

TEST_CASE("a screen of 80 by 24 shows where the daemon is, each device's bar, the tabs, and a row for each allocation") {
    const State state = full_state();
    const Frame frame = frame_of(state, {24, 80}, noon);
    check_shape(frame, {24, 80});
    const std::string text = text_of(frame);
    CHECK(line_at(text, 0) == "vramd 0.1.0 at unix:/run/vramd/vramd-http.sock  core 1                      live");
    CHECK(line_at(text, 1) == "a [##################zzzzzrrrrroooo.............]        500 B of 1000 B  50.0 %");
    CHECK(line_at(text, 2).starts_with("b [....."));
    CHECK(has(line_at(text, 3), "# ours  z zombie  r reserved  o other programs  . free"));
    CHECK(line_at(text, 4) == " 1 Devices [2 Processes] 3 Models  4 Transfers  5 Events                  3 rows");
    CHECK(line_at(text, 5) == " ID    SIZE\xe2\x86\x93 DEVICE OWNER HOLDS      STATUS CLIENTS AGE   TYPE    USED USES");
    CHECK(line_at(text, 6) == ">alc_2 300 B a      vramd model 模型 live         0 1 min default 30 s    0");
    CHECK(line_at(text, 7) == " alc_1 100 B a      uid:7 scratch    live         2 30 s  default 30 s    0");
    CHECK(line_at(text, 23) == keys_line);
}

TEST_CASE("the chosen row, the tab and the order are told by characters, not by style alone") {
    State state = full_state();
    (void)press(state, {Key::Name::down}, 10, noon);
    const Frame frame = frame_of(state, {24, 80}, noon);
    const std::string text = text_of(frame);
    CHECK(line_at(text, 7).starts_with(">alc_1"));
    CHECK(line_at(text, 6).starts_with(" alc_2"));
    CHECK((frame.lines[7][40].style == Style::chosen));
    CHECK((frame.lines[6][40].style == Style::plain));
    (void)press(state, {Key::Name::text, "N"}, 10, noon);
    const std::string heads = line_at(text_of(frame_of(state, {24, 80}, noon)), 5);
    CHECK(heads.starts_with(" ID\xe2\x86\x91"));
    CHECK(has(heads, std::string("SIZE\xe2\x86\x93") + "2"));
}

TEST_CASE("whatever the size of the screen, the frame has exactly its lines and columns") {
    State state = full_state();
    take_details(state, "Allocation alc_1", "Id  alc_1\nName  模型模型模型模型模型模型模型模型模型模型\n");
    for (const Mode mode : {Mode::rows, Mode::filter, Mode::question, Mode::details, Mode::help})
        for (const Tab tab : all_tabs)
            for (const Size size : {Size{24, 80}, Size{40, 120}, Size{10, 40}, Size{5, 20}, Size{1, 1}, Size{2, 3}, Size{3, 200},
                                    Size{100, 7}, Size{0, 0}, Size{60, 300}}) {
                state.mode = mode;
                state.tab = tab;
                state.question = "Unload 模型模型模型? 608 B on a, b go back.";
                check_shape(frame_of(state, size, noon), size);
            }
}

TEST_CASE("a small screen keeps what matters most: one bar, the tabs in short, rows, and who holds how much") {
    const State state = full_state();
    const std::string text = text_of(frame_of(state, {10, 40}, noon));
    CHECK(has(line_at(text, 0), "live"));
    CHECK(line_at(text, 1).starts_with("a ["));
    CHECK(has(line_at(text, 1), "50.0 %"));
    CHECK(line_at(text, 2).starts_with(" 1Dev [2Proc] 3Mod  4Xfer  5Ev"));
    CHECK(has(line_at(text, 3), "ID"));
    CHECK(has(line_at(text, 4), "alc_2 300 B a      vramd"));
    CHECK(!has(text, "o other programs"));
}

TEST_CASE("a wide screen shows what a narrow one has no room for") {
    State state = full_state();
    CHECK(!has(text_of(frame_of(state, {24, 70}, noon)), "USES"));
    CHECK(has(text_of(frame_of(state, {40, 120}, noon)), "USES"));
    state.tab = Tab::models;
    CHECK(has(text_of(frame_of(state, {40, 120}, noon)), "m.gguf"));
    state.tab = Tab::devices;
    const std::string text = text_of(frame_of(state, {40, 120}, noon));
    CHECK(has(text, "DEVICE\xe2\x86\x91     TOTAL   OURS  ZOMBIE  RESERVED  OTHERS      FREE     USE  HEALTH"));
    CHECK(has(text, ">a          1000 B  400 B   100 B     100 B   100 B     300 B  50.0 %  good"));
}

TEST_CASE("an event tells what it is about, and what is left of it where there is room") {
    State state = full_state();
    state.tab = Tab::events;
    CHECK(has(text_of(frame_of(state, {24, 80}, noon)), ">     9 20:26:30 allocationReady a      alc_3 anna"));
    const std::string event =
        R"({"sequence":10,"type":"transferEnded","at":"2026-05-28T20:26:31.000Z","transferId":"xfr_1","bytes":4096,"state":"failed","durationMs":2.5})";
    take_events(state, std::span(&event, 1), noon);
    CHECK(has(text_of(frame_of(state, {24, 120}, noon)), "4.00 KiB  state=failed  durationMs=2.50 ms"));
}

TEST_CASE("a bar's cells sum to its width, and what there is of has a cell where there is room") {
    for (std::size_t cells = 0; cells < 60; ++cells)
        for (const Parts& parts : {Parts{1, 1, 1, 1, 1'000'000}, Parts{}, Parts{number_max, number_max / 2, 1, 0, 9}, Parts{3, 3, 3, 3, 3},
                                   Parts{0, 0, 0, 0, 7}, Parts{5, 0, 0, 0, 0}}) {
            const auto shares = shares_of(parts, cells);
            CHECK(std::accumulate(shares.begin(), shares.end(), std::size_t{0}) == cells);
            if (cells < 5) continue;
            CHECK((shares[0] > 0) == (parts.live_bytes > 0));
            CHECK((shares[1] > 0) == (parts.zombie_bytes > 0));
            CHECK((shares[2] > 0) == (parts.reserved_bytes > 0));
            CHECK((shares[3] > 0) == (parts.others_bytes > 0));
        }
    CHECK((shares_of({50, 0, 0, 0, 50}, 10) == std::array<std::size_t, 5>{5, 0, 0, 0, 5}));
}

TEST_CASE("names in any script stand in their columns, and what is after them stays where it is") {
    State state;
    take_rows(state, Tab::models,
              parsed(R"({"loadedModels":[{"name":"模型模型","sizeBytes":1,"state":"x"},{"name":"abcdefgh","sizeBytes":1,"state":"x"},
        {"name":"e\u0301\u0301tat","sizeBytes":1,"state":"x"},{"name":"\u001b[31m\u202e","sizeBytes":1,"state":"x"}]})"),
              noon);
    state.tab = Tab::models;
    const Frame frame = frame_of(state, {24, 80}, noon);
    check_shape(frame, {24, 80});
    const Layout layout = layout_of(state, {24, 80});
    for (std::size_t i = 0; i < 4; ++i) {
        const auto& cells = frame.lines[layout.rows_at + i];
        CHECK(cells[11 + 1].text == "1");
        CHECK(cells[13 + 1].text == "B");
    }
    CHECK(has(text_of(frame), "?[31m?"));
    CHECK(!has(text_of(frame), "\x1b"));
}

TEST_CASE("a long name is shortened and leaves room for the columns after it") {
    State state;
    const std::string name(200, 'x');
    take_rows(state, Tab::models, parsed(R"({"loadedModels":[{"name":")" + name + R"(","sizeBytes":2048,"state":"resident"}]})"), noon);
    state.tab = Tab::models;
    CHECK(has(text_of(frame_of(state, {24, 80}, noon)), "x 2.00 KiB resident"));
}

TEST_CASE("a lost daemon is told with its reason and the age of what is shown") {
    State state = full_state();
    take_loss(state, "Nobody answers at unix:/x.", noon + 2);
    const std::string text = text_of(frame_of(state, {24, 80}, noon + 12));
    CHECK(has(line_at(text, 0), "LOST for 10 s, shown: 12 s old"));
    CHECK(has(text, "Nobody answers at unix:/x. Trying again."));
    CHECK(has(text, "alc_2"));
    take_contact(state, noon + 13);
    CHECK(has(text_of(frame_of(state, {24, 80}, noon + 13)), "The daemon answers again, after 11.0 s."));
    state.paused = true;
    CHECK(has(text_of(frame_of(state, {24, 80}, noon + 70)), "PAUSED, shown: 1 min 10 s old"));
}

TEST_CASE("a question stands whole at the foot of a small screen too") {
    State state = full_state();
    state.tab = Tab::models;
    (void)press(state, {Key::Name::text, "u"}, 10, noon);
    const std::string text = text_of(frame_of(state, {12, 40}, noon));
    CHECK(has(text, "608 B on a, b"));
    CHECK(has(text, "y: yes, any other key: no"));
}

TEST_CASE("the row that is chosen is on the screen however many there are") {
    State state;
    std::string items;
    for (int i = 100; i < 300; ++i)
        items += (items.empty() ? "" : ",") + std::string(R"({"sizeBytes":1,"id":"alc_)") + std::to_string(i) + "\"}";
    take_rows(state, Tab::processes, parsed(R"({"items":[)" + items + R"(],"nextCursor":"p1"})"), noon);
    for (int i = 0; i < 150; ++i) (void)press(state, {Key::Name::down}, 10, noon);
    const std::string text = text_of(frame_of(state, {24, 80}, noon));
    CHECK(has(text, ">alc_250"));
    CHECK(has(text, "newest 200"));
    state.interactive = false;
    CHECK(has(text_of(frame_of(state, {24, 80}, noon)), " alc_100"));
    CHECK(!has(text_of(frame_of(state, {24, 80}, noon)), ">alc"));
}

TEST_CASE("the help fits a screen of 80 by 24 and names every key") {
    State state = full_state();
    (void)press(state, {Key::Name::text, "?"}, 10, noon);
    const std::string text = text_of(frame_of(state, {24, 80}, noon));
    for (const std::string_view line : help_lines()) {
        CHECK(columns_of(line) <= 80);
        CHECK(has(text, line));
    }
}
}  // namespace vramd::cli::top::testing
