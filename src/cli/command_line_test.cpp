#include "cli/command_line.hpp"

#include <doctest/doctest.h>

namespace vramd::cli {
namespace {
std::variant<Command, Ended> read(std::vector<const char*> words) {
    words.insert(words.begin(), "vramctl");
    return read_command_line(static_cast<int>(words.size()), words.data());
}
Exit exit_of_words(const std::vector<const char*>& words) {
    const auto ended = read(words);
    const Ended* const end = std::get_if<Ended>(&ended);
    return end == nullptr ? Exit::failed : end->exit;
}
}  // namespace

TEST_CASE("words and flags stand in any order, the global ones before or after the verb") {
    const std::vector<std::vector<const char*>> orders = {
        {"-o", "json", "--bytes", "alloc", "2G", "--device", "host0", "--shareable"},
        {"alloc", "--shareable", "--device=host0", "2G", "-o", "json", "--bytes"},
        {"alloc", "-ojson", "2G", "--bytes", "--device", "host0", "--shareable"},
    };
    for (const auto& words : orders) {
        const auto command = read(words);
        REQUIRE(std::holds_alternative<Command>(command));
        const Command& got = std::get<Command>(command);
        CHECK(got.verb->name == "alloc");
        CHECK(got.given.size("size").value() == 2 * gib);
        CHECK(got.given.text("device") == "host0");
        CHECK(got.given.has("shareable"));
        CHECK(!got.given.has("purpose"));
        CHECK((got.wishes.format == Format::json));
        CHECK((got.wishes.sizes == Sizes::exact));
    }
}

TEST_CASE("a verb takes many words where it says so, and no more than it names elsewhere") {
    const auto many = read({"free", "a", "b", "--force", "c"});
    REQUIRE(std::holds_alternative<Command>(many));
    CHECK(std::get<Command>(many).given.all("id") == std::vector<std::string>{"a", "b", "c"});
    const auto two = read({"put", "alc_1", "--offset", "5", "file"});
    REQUIRE(std::holds_alternative<Command>(two));
    CHECK(std::get<Command>(two).given.text("file") == "file");
    CHECK((exit_of_words({"unload", "a", "b"}) == Exit::usage));
}

TEST_CASE("--watch takes its seconds with an equals sign, and repeats only what looks") {
    const auto plain = read({"--watch", "status"});
    REQUIRE(std::holds_alternative<Command>(plain));
    CHECK(std::get<Command>(plain).wishes.watch_seconds == 1.0);
    const auto slow = read({"ps", "--watch=2.5"});
    REQUIRE(std::holds_alternative<Command>(slow));
    CHECK(std::get<Command>(slow).wishes.watch_seconds == 2.5);
    CHECK((exit_of_words({"alloc", "1G", "--watch"}) == Exit::usage));
    CHECK((exit_of_words({"status", "--watch=0"}) == Exit::usage));
}

TEST_CASE("usage errors end with 2 and help with 0") {
    CHECK((exit_of_words({}) == Exit::usage));
    CHECK((exit_of_words({"no-such-verb"}) == Exit::usage));
    CHECK((exit_of_words({"alloc"}) == Exit::usage));
    CHECK((exit_of_words({"alloc", "1G", "--type", "huge"}) == Exit::usage));
    CHECK((exit_of_words({"status", "-o", "xml"}) == Exit::usage));
    CHECK((exit_of_words({"status", "--no-such-flag"}) == Exit::usage));
    CHECK((exit_of_words({"--help"}) == Exit::done));
    CHECK((exit_of_words({"help"}) == Exit::done));
    CHECK((exit_of_words({"help", "top"}) == Exit::done));
    CHECK((exit_of_words({"help", "no-such-verb"}) == Exit::usage));
    for (const Verb* verb : verbs()) {
        const std::string name(verb->name);
        CHECK((exit_of_words({name.c_str(), "--help"}) == Exit::done));
    }
}

TEST_CASE("a size that is none is a usage error that names its argument") {
    Given given;
    given.add("size", "5Q");
    CHECK((given.size("size").error().exit == Exit::usage));
    CHECK(given.size("size").error().what.starts_with("size: "));
    given.add("fill", "-1");
    CHECK((given.number("fill").error().exit == Exit::usage));
}
}  // namespace vramd::cli
