#!/usr/bin/env python3
"""Counts what test logs say, and ends with the line `N passed, N failed`.

Reads CTest's LastTest.log, where a test program of doctest or unittest counts by its cases and any other program as one, and plain
logs of unittest, of node's own test runner and of vitest. Exits with 1 when anything failed, or when nothing was counted at all.
"""
import argparse
import os
import re
import sys

DOCTEST = re.compile(r"\[doctest\] test cases: *(\d+) *\| *(\d+) passed *\| *(\d+) failed")
UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in", re.M)
UNITTEST_BAD = re.compile(r"^FAILED \((.*)\)", re.M)
UNITTEST_SKIPPED = re.compile(r"^OK \(.*?skipped=(\d+)", re.M)
# "ℹ pass 12" or "# pass 12", then "fail 0"; "Tests  1 failed | 12 passed (13)".
NODE_ENDED = re.compile(r"^(?:#|ℹ) pass (\d+)\n(?:#|ℹ) fail (\d+)$", re.M)
VITEST_ENDED = re.compile(r"^ *Tests +(?:(\d+) failed)?(?: \| )?(?:(\d+) passed)?.*\(\d+\)$", re.M)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CTEST_PARTS = re.compile(r"^\d+/\d+ Testing: ", re.M)


def count_output(text):
    """(passed, failed) by the runner's own closing lines, or None where there are none."""
    text = COLOURS.sub("", text)
    passed = failed = 0
    found = False
    for good, bad in NODE_ENDED.findall(text):
        found = True
        passed += int(good)
        failed += int(bad)
    for bad, good in VITEST_ENDED.findall(text):
        found = True
        passed += int(good or 0)
        failed += int(bad or 0)
    for total, good, bad in DOCTEST.findall(text):
        found = True
        passed += int(good)
        failed += int(bad)
    for ran in UNITTEST_RAN.finditer(text):
        found = True
        rest = text[ran.end():]
        bad_line = UNITTEST_BAD.search(rest)
        counts = dict(re.findall(r"(failures|errors|skipped)=(\d+)", bad_line.group(1))) if bad_line else {}
        skipped_line = UNITTEST_SKIPPED.search(rest)
        skipped = int(skipped_line.group(1)) if skipped_line else int(counts.get("skipped", 0))
        bad = int(counts.get("failures", 0)) + int(counts.get("errors", 0))
        failed += bad
        passed += max(0, int(ran.group(1)) - bad - skipped)
    return (passed, failed) if found else None


def count_log(text):
    """(passed, failed) of one log, CTest's or a plain one."""
    parts = CTEST_PARTS.split(text)
    if len(parts) == 1:
        return count_output(text) or (0, 0)
    passed = failed = 0
    for part in parts[1:]:
        good = "\nTest Passed." in part
        counts = count_output(part)
        if counts is None:
            counts = (1, 0) if good else (0, 1)
        elif not good and counts[1] == 0:  # It crashed or hung after, or before, its cases.
            counts = (counts[0], 1)
        passed += counts[0]
        failed += counts[1]
    return passed, failed


def failed_parts(text, lines):
    """What the failed tests of a CTest log said, the last `lines` of each: CTest prints it between what passed meanwhile."""
    told = []
    for part in CTEST_PARTS.split(text)[1:]:
        if "\nTest Passed." not in part:
            said = part.splitlines()
            told += [f"-- {said[0]}", *said[1:][-lines:]]
    return told


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--failed-steps", type=int, default=0, help="steps that failed, beside what the logs count")
    parser.add_argument("--show-failed", type=int, metavar="LINES", help="count nothing: print so many last lines of each failed test")
    parser.add_argument("logs", nargs="*")
    options = parser.parse_args(arguments)
    if options.show_failed:
        for log in options.logs:
            with open(log, encoding="utf-8", errors="replace") as file:
                print("\n".join(failed_parts(file.read(), options.show_failed)))
        return 0
    passed = failed = 0
    for log in options.logs:
        if not os.path.exists(log):
            print(f"  no log {log}")
            continue
        with open(log, encoding="utf-8", errors="replace") as file:
            counts = count_log(file.read())
        passed += counts[0]
        failed += counts[1]
    failed = max(failed, options.failed_steps)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
