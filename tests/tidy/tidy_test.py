#!/usr/bin/env python3
"""Every rule of tidy.py, held against a tree that breaks it and one that does not."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules_code  # noqa: E402
import rules_tree  # noqa: E402
import tidy  # noqa: E402

ROOMS = "base : | threads\nterms : base\ncore : base terms core/memory\ncore/memory : base terms\nengine : base core\nprogram : *\n"


def found(rule, files):
    """The words of what the rule finds in these files."""
    return [f"{path}:{line} {words}" for path, line, words in rule(tidy.Tree({"src/rooms.txt": ROOMS, **files}))]


class IncludeDirections(unittest.TestCase):
    def test_a_room_may_include_itself_and_what_its_line_lists(self):
        self.assertEqual(found(rules_code.include_directions, {"src/engine/a.cpp": '#include "engine/a.hpp"\n#include "core/b.hpp"\n'}), [])

    def test_an_include_upwards_is_found_with_its_line(self):
        words = found(rules_code.include_directions, {"src/terms/a.hpp": '#pragma once\n#include "engine/a.hpp"\n'})
        self.assertEqual(words, ["src/terms/a.hpp:2 terms may not include engine (src/rooms.txt)"])

    def test_a_room_within_a_room_is_a_room_of_its_own(self):
        self.assertEqual(len(found(rules_code.include_directions, {"src/core/memory/a.cpp": '#include "core/state.hpp"\n'})), 1)
        self.assertEqual(len(found(rules_code.include_directions, {"src/engine/a.cpp": '#include "core/memory/books.hpp"\n'})), 1)

    def test_the_mains_may_include_all(self):
        self.assertEqual(found(rules_code.include_directions, {"src/program/vramd.cpp": '#include "engine/a.hpp"\n'}), [])

    def test_a_file_in_no_room_and_an_include_without_its_room_are_found(self):
        self.assertEqual(len(found(rules_code.include_directions, {"src/attic/a.cpp": ""})), 1)
        self.assertEqual(len(found(rules_code.include_directions, {"src/base/a.cpp": '#include "b.hpp"\n'})), 1)


class BannedWords(unittest.TestCase):
    def test_a_pure_room_has_no_thread_clock_random_or_unordered_container(self):
        for line in ("std::thread t;", "std::mutex m;", "std::atomic<int> a;", "auto t = std::chrono::seconds(1);", "std::random_device d;",
                     "std::unordered_map<int, int> m;", "#include <mutex>", "#include <sys/mman.h>", '#include "base/mutex.hpp"'):
            self.assertEqual(len(found(rules_code.banned_words, {"src/core/memory/a.cpp": line + "\n"})), 1, line)
            self.assertEqual(found(rules_code.banned_words, {"src/engine/a.cpp": line + "\n"}), [], line)

    def test_words_in_comments_and_texts_are_free(self):
        self.assertEqual(found(rules_code.banned_words, {"src/core/a.cpp": '// no std::mutex here\nauto x = "std::mutex";\n'}), [])

    def test_nobody_catches_everything_or_sleeps(self):
        for line in ("} catch (...) {", "std::this_thread::sleep_for(1s);", "usleep(5);", "using namespace std;", "int x = atoi(s);"):
            self.assertEqual(len(found(rules_code.banned_words, {"src/engine/a.cpp": line + "\n"})), 1, line)

    def test_a_line_may_say_why_it_breaks_a_ban(self):
        self.assertEqual(found(rules_code.banned_words, {"src/engine/a.cpp": "} catch (...) {  // tidy: the library throws what it likes\n"}), [])

    def test_a_python_test_waits_for_events_not_for_time(self):
        self.assertEqual(len(found(rules_code.python_waits, {"tests/e2e/a.py": "    time.sleep(1)\n"})), 1)


class Sizes(unittest.TestCase):
    def test_a_file_of_401_lines_is_found_unless_its_header_says_why(self):
        self.assertEqual(found(rules_code.file_sizes, {"src/base/a.cpp": "x\n" * 400}), [])
        self.assertEqual(len(found(rules_code.file_sizes, {"src/base/a.cpp": "x\n" * 401})), 1)
        self.assertEqual(found(rules_code.file_sizes, {"src/base/a.cpp": "// Longer than 400 lines because it is one table.\n" + "x\n" * 401}), [])

    def test_a_function_of_61_lines_is_found_wherever_it_lies(self):
        body = "    x();\n"
        for head in ("int f(int a) {", "    Result<u64> f() const noexcept {", "void A::f(int a) : b_(a) {", "auto f() -> int {"):
            self.assertEqual(found(rules_code.function_sizes, {"src/base/a.cpp": head + "\n" + body * 58 + "}\n"}), [], head)
            self.assertEqual(len(found(rules_code.function_sizes, {"src/base/a.cpp": head + "\n" + body * 59 + "}\n"})), 1, head)

    def test_a_long_class_or_namespace_is_no_long_function(self):
        self.assertEqual(found(rules_code.function_sizes, {"src/base/a.hpp": "namespace a {\nclass B {\n" + "    int x;\n" * 90 + "};\n}\n"}), [])


class Trees(unittest.TestCase):
    def test_a_header_opens_with_a_docstring(self):
        self.assertEqual(found(rules_code.header_docstrings, {"src/base/a.hpp": "/// What.\n#pragma once\n"}), [])
        self.assertEqual(len(found(rules_code.header_docstrings, {"src/base/a.hpp": "#pragma once\n"})), 1)

    def test_a_lambda_with_captures_inside_co_await_is_found(self):
        for line, count in (("co_await f([x]{ g(x); });", 1), ("co_await f([&] (int) { });", 1), ("co_await f([] { });", 0), ("co_await std::move(named);", 0),
                            ("co_await f(a[1]);", 0)):
            self.assertEqual(len(found(rules_code.captures_in_await, {"src/engine/a.cpp": line + "\n"})), count, line)

    def test_names_that_say_nothing_are_found(self):
        for name in ("utils", "string_utils", "common", "memory_manager", "misc", "test_helpers"):
            self.assertEqual(len(found(rules_tree.vague_names, {f"src/base/{name}.hpp": ""})), 1, name)
        self.assertEqual(found(rules_tree.vague_names, {"src/base/range.hpp": "", "src/core/memory/commonest.hpp": ""}), [])

    def test_unfinished_words_are_found_in_every_file(self):
        for word in ("TO" + "DO", "FIX" + "ME", "place" + "holder", "for n" + "ow", "Simpl" + "ified"):
            self.assertEqual(len(found(rules_tree.unfinished_words, {"docs/a.md": f"so {word} it is\n"})), 1, word)

    def test_a_room_with_files_is_told_in_the_architecture_and_no_other_is(self):
        files = {"src/base/a.hpp": "", "ARCHITECTURE.md": "| `base` | mechanisms |\n"}
        self.assertEqual(found(rules_tree.rooms_are_told, files), [])
        self.assertEqual(len(found(rules_tree.rooms_are_told, {**files, "src/core/memory/b.cpp": ""})), 1)
        self.assertEqual(len(found(rules_tree.rooms_are_told, {"ARCHITECTURE.md": "| `engine` | runs |\n"})), 1)

    def test_a_file_that_no_target_builds_or_nothing_includes_is_found(self):
        self.assertEqual(found(rules_tree.dead_files, {"src/base/a.cpp": '#include "base/a.hpp"\n', "src/base/a.hpp": ""}), [])
        self.assertEqual(len(found(rules_tree.dead_files, {"src/base/a.hpp": ""})), 1)
        self.assertEqual(len(found(rules_tree.dead_files, {"tests/hostile/a.cpp": ""})), 1)
        self.assertEqual(found(rules_tree.dead_files, {"tests/hostile/a.cpp": "", "tests/hostile/tests.cmake": "add_executable(a a.cpp)\n"}), [])

    def test_a_test_name_is_a_sentence_and_said_once(self):
        twice = {"src/base/a_test.cpp": 'TEST_CASE("a range fits") {\n}\nTEST_CASE("a range fits") {\n}\n'}
        self.assertEqual(len(found(rules_tree.unique_test_names, twice)), 1)
        self.assertEqual(len(found(rules_tree.unique_test_names, {"src/base/a_test.cpp": 'TEST_CASE("range") {\n'})), 1)


class Whole(unittest.TestCase):
    def test_two_checks_of_one_tree_find_the_same(self):
        tree = tidy.Tree({"src/rooms.txt": ROOMS, "src/base/utils.hpp": "x\n", "docs/a.md": "TO" + "DO\n"})
        self.assertEqual(tidy.check(tree), tidy.check(tree))


if __name__ == "__main__":
    unittest.main()
