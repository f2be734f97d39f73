#include "cli/show.hpp"

#include <doctest/doctest.h>

#include "cli/completion.hpp"
#include "cli/progress.hpp"
#include "cli/verb.hpp"

namespace vramd::cli {
TEST_CASE("a table's columns are padded, numbers to the right, names in any script counted by their letters") {
    constexpr Column columns[] = {{"NAME", "name"}, {"SIZE", "sizeBytes", As::size}, {"OWNER", "owner"}};
    const std::vector<std::vector<std::string>> rows = {{"caf\xc3\xa9", "1.00 KiB", "me"}, {"x", "12 B", ""}};
    CHECK(table_text(columns, rows, When::never) ==
          "NAME      SIZE  OWNER\n"
          "caf\xc3\xa9  1.00 KiB  me\n"
          "x         12 B\n");
    CHECK(table_text(columns, rows, When::never).find('\x1b') == std::string::npos);
    CHECK(table_text(columns, rows, When::always).starts_with("\x1b[1mNAME"));
}

TEST_CASE("a table wider than the screen loses the middle of its longest names, and nothing where there is no screen") {
    constexpr Column columns[] = {{"NAME", "name"}, {"DTYPE", "dtype"}, {"SIZE", "sizeBytes", As::size}};
    const std::string letters = "abcdefghijklmnopqrstuvwxyz";
    const std::string accented = "\xc3\xa9" + letters + letters;
    const std::vector<std::vector<std::string>> whole = {
        {letters + letters, "f32", "64 B"}, {"short", "i64", "1.00 KiB"}, {accented, "", ""}};
    auto rows = whole;
    fit_to_screen(columns, rows, 0);
    CHECK(rows == whole);
    fit_to_screen(columns, rows, 53 + 2 + 5 + 2 + 8);
    CHECK(rows == whole);
    fit_to_screen(columns, rows, 25 + 2 + 5 + 2 + 8);
    CHECK(rows[0][0] == "abcdefgh\xe2\x80\xa6klmnopqrstuvwxyz");
    CHECK(rows[1][0] == "short");
    CHECK(rows[2][0] ==
          "\xc3\xa9"
          "abcdefg\xe2\x80\xa6klmnopqrstuvwxyz");
    rows = whole;
    fit_to_screen(columns, rows, 1);
    CHECK(rows[0][0] == "abcdefg\xe2\x80\xa6klmnopqrstuvwxyz");
    CHECK(rows[0][1] == "f32");
}

TEST_CASE("numbers are told as the daemon wrote them, never with an exponent") {
    const auto body =
        parse_document(R"({"a":0.836,"b":[{"durationMs":0.02,"n":-1,"big":9223372036854775807}],"c":"x\"","d":{},"e":[]})").value();
    CHECK(exact_text(body) == R"({"a":0.836,"b":[{"durationMs":0.02,"n":-1,"big":9223372036854775807}],"c":"x\"","d":{},"e":[]})");
    CHECK(text_at(body.get_object(), "a") == "0.836");
    CHECK(text_at(body.get_object(), "b") == R"({"durationMs":0.02,"n":-1,"big":9223372036854775807})");
}

TEST_CASE("CSV quotes what has commas, quotes or line ends, and nothing else") {
    const std::vector<std::string> cells = {"a", "b,c", "d\"e", "f\ng", ""};
    CHECK(csv_line(cells) == "a,\"b,c\",\"d\"\"e\",\"f\ng\",\n");
}

TEST_CASE("a list's items are cut out as they stand, whatever they hold") {
    const std::string body =
        R"({"nextCursor":"]}","other":[{"items":[9]}], "items" : [ {"a":"x]\"}","b":[1,{"c":2}]} ,{"p":12.50},7 , "s"],"z":{}})";
    const auto items = raw_items(body, "items");
    REQUIRE(items.size() == 4);
    CHECK(items[0] == R"({"a":"x]\"}","b":[1,{"c":2}]})");
    CHECK(items[1] == R"({"p":12.50})");
    CHECK(items[2] == "7");
    CHECK(items[3] == R"("s")");
    CHECK(raw_items(R"({"items":[]})", "items").empty());
    CHECK(raw_items(R"({"other":1})", "items").empty());
    CHECK(raw_items("{}", "items").empty());
}

TEST_CASE("a field's name becomes words without its unit") {
    CHECK(label_of("sizeBytes") == "Size");
    CHECK(label_of("usagePercentage") == "Usage");
    CHECK(label_of("loadBytesPerSecond") == "Load rate");
    CHECK(label_of("bytesPerSecond") == "Rate");
    CHECK(label_of("totalMs") == "Total");
    CHECK(label_of("isPinned") == "Is pinned");
    CHECK(label_of("availableBytesBefore") == "Available before");
    CHECK(label_of("timeToCriticalSeconds") == "Time to critical");
    CHECK(label_of("bytes") == "Bytes");
    CHECK(label_of("id") == "Id");
}

TEST_CASE("values are found by their path, and what is missing is nothing") {
    const json::value body = parse_document(R"({"a":{"b":[{"c":5},{"c":"x"}]},"t":true,"r":12.5,"n":null,"neg":-3})").value();
    const json::object& object = body.get_object();
    CHECK(number_at(object, "a.b.0.c") == 5);
    CHECK(text_at(object, "a.b.1.c") == "x");
    CHECK(text_at(object, "a.b.2.c").empty());
    CHECK(text_at(object, "a.b.x").empty());
    CHECK(text_at(object, "t") == "yes");
    CHECK(text_at(object, "r") == "12.5");
    CHECK(real_at(object, "r") == 12.5);
    CHECK(text_at(object, "n").empty());
    CHECK(!number_at(object, "neg").has_value());
    CHECK(!parse_document("{").has_value());
}

TEST_CASE("a problem becomes at most three lines in the server's words, and its code the exit code") {
    const Failure failure = failure_of_reply(507, R"({"title":"There is not enough memory","status":507,"code":"insufficient-memory",
        "detail":"cuda0 has 3.1 GiB free; 4.0 GiB asked.","requestedBytes":4294967296,"availableBytes":3328599654,"largestFreeBytes":1288490188,
        "remedy":"Follow one of the suggestions.","suggestions":["vramctl free alc_1","vramctl unload x"]})");
    CHECK(failure.exit == Exit::refused);
    CHECK(lines_of(failure) ==
          "vramctl: cuda0 has 3.1 GiB free; 4.0 GiB asked.\n"
          "  asked 4.00 GiB, available 3.10 GiB, largest hole 1.20 GiB.\n"
          "  Try: vramctl free alc_1\n");
    CHECK(failure_of_reply(404, R"({"code":"not-found","detail":"x","remedy":"y"})").exit == Exit::not_found);
    CHECK(failure_of_reply(409, R"({"code":"pinned","detail":"x"})").exit == Exit::conflict);
    CHECK(failure_of_reply(504, R"({"code":"timed-out","detail":"x"})").exit == Exit::timed_out);
    CHECK(failure_of_reply(502, "<html>").exit == Exit::failed);
    CHECK(Failure(Error{Code::system_failed, "connect", 0, 0, "Nobody answers."}).exit == Exit::unreachable);
}

TEST_CASE("progress never goes backwards, and without a terminal says one line per tenth") {
    Progress progress(Drawn::as_lines);
    for (u64 done = 0; done <= 1000; ++done) progress.show({"reading", done, 1000, {}, {}});
    CHECK(progress.lines() == 10);
    progress.show({"reading", 10, 1000, {}, {}});
    CHECK(progress.lines() == 10);
    Progress jumping(Drawn::as_lines);
    jumping.show({"", 550, 1000, {}, {}});
    jumping.show({"", 100, 1000, {}, {}});
    CHECK(jumping.lines() == 1);
    CHECK(progress_text({"reading", 512 * mib, gib, 2 * gib, 250.0}) ==
          "[############------------]   50 %  512 MiB of 1.00 GiB  2.00 GiB/s  250 ms left  reading");
    CHECK(progress_text({"done", gib, gib, {}, 0.0}).find("left") == std::string::npos);
    CHECK(progress_text({"", gib - 1, gib, {}, {}}).find(" 99 %") != std::string::npos);
}

TEST_CASE("the HTTP socket lies beside the attach socket") {
    CHECK(http_socket_beside("/run/vramd/vramd.sock") == "/run/vramd/vramd-http.sock");
    CHECK(http_socket_beside("/tmp/x/my.sock") == "/tmp/x/vramd-http.sock");
    CHECK(http_socket_beside("/tmp/x/vramd-http.sock") == "/tmp/x/vramd-http.sock");
    CHECK(http_socket_beside("a.sock") == "vramd-http.sock");
    Wishes wishes;
    wishes.url = "http://[::1]:9";
    CHECK(places_of_daemon(wishes).value().size() == 1);
    CHECK(Query().add("a b", "c&d").add_if("e", "").add("f", "1").text() == "?a%20b=c%26d&f=1");
}

TEST_CASE("every verb is described: a summary, told arguments, and words where words are offered") {
    CHECK(verbs().size() >= 22);
    for (const Verb* verb : verbs()) {
        CAPTURE(verb->name);
        CHECK(!verb->summary.empty());
        CHECK((verb->run != nullptr));
        CHECK(verb_named(verb->name) == verb);
        for (const Argument& argument : verb->arguments) {
            CHECK(!argument.tells.empty());
            CHECK((argument.offers == Offers::words) == !argument.words.empty());
        }
    }
    CHECK(verb_named("no-such-verb") == nullptr);
}

TEST_CASE("completion knows verbs, flags and fixed words without a daemon") {
    CHECK(completions({"sta"}) == std::vector<std::string>{"status"});
    CHECK(completions({""}).size() == verbs().size());
    CHECK(completions({"alloc", "1G", "--ty"}) == std::vector<std::string>{"--type"});
    CHECK(completions({"alloc", "1G", "--type", "p"}) == std::vector<std::string>{"pinned"});
    CHECK(completions({"simulate", "trace.csv", "--policy", ""}) == std::vector<std::string>{"fifo", "lru", "smart", "all"});
    CHECK(completions({"simulate", "--c"}) == std::vector<std::string>{"--color", "--curl", "--capacity"});
    CHECK(completions({"status", "-o", "json"}) == std::vector<std::string>{"json", "jsonl"});
    CHECK(completions({"completion", ""}) == std::vector<std::string>{"bash", "zsh", "fish"});
    CHECK(completions({"explain", "insu"}) == std::vector<std::string>{"insufficient-memory"});
}
}  // namespace vramd::cli
