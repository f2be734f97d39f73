#!/usr/bin/env python3
"""docs/reliability.md, made of tests/reliability.toml and of what the long runs left in benchmarks/results/reliability/.

    reliability.py                                       writes the page
    reliability.py --print                               prints it
    reliability.py --record ROW RESULT --command WORDS   keeps a run's result ({"reached": N, "lines": […]}) as ROW's, and writes the page
"""
import argparse
import datetime
import json
import os
import subprocess
import sys
import tomllib

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
RESULTS = os.path.join(ROOT, "benchmarks", "results", "reliability")
PAGE = os.path.join(ROOT, "docs", "reliability.md")
FRAME = """# What vramd withstands, and how far that was driven
Made by `./dev reliability` of `tests/reliability.toml` and the results of the long runs (`benchmarks/results/reliability/`); do not edit it.

The short form of each row is a part of `./test`, on each commit. The long form was run as often as the table says; where it says "not run", the
short form is all that there is. [SECURITY.md](../SECURITY.md) says what is promised by whom to whom, [security.md](security.md) each promise's test.

| what is done to it | aimed at | reached | found and mended | short form | long form | run on |
|---|---|---|---|---|---|---|
"""


def catalogue():
    with open(os.path.join(ROOT, "tests", "reliability.toml"), "rb") as file:
        return tomllib.load(file)


def result_of(row):
    """The kept result of a row, or None."""
    path = os.path.join(RESULTS, row + ".json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def page():
    """The whole page's text."""
    lines = []
    for row, told in catalogue().items():
        result = result_of(row)
        aimed = f"{told['aimed']:,} {told['unit']}" if "aimed" in told else f"every one of its {told['unit']}"
        reached = f"{result['reached']:,}" if result else "not run"
        found = "; ".join(result["found"]) or "nothing" if result else ""
        short = ", ".join(f"`{path}`" for path in told["short"])
        command = f"`{result['command']}`" if result else f"`{told['long']}`" if "long" in told else "none yet"
        lines.append(f"| {told['what']} | {aimed} | {reached} | {found} | {short} | {command} | {result['date'] if result else ''} |")
    return FRAME + "\n".join(lines) + "\n\n" + details()


def details():
    """What the long runs said."""
    text = "## What the runs said\n"
    for row in catalogue():
        result = result_of(row)
        if result:
            text += f"### {row}\n{result['date']}, commit {result['commit']}, {result['machine']}\n```text\n" + "\n".join(result["lines"]) + "\n```\n"
    return text


def machine():
    with open("/proc/meminfo", encoding="ascii") as file:
        kib = int(file.readline().split()[1])
    return f"{os.cpu_count()} cores, {kib / 1048576:.1f} GiB, kernel {os.uname().release.partition('-')[0]}"


def record(row, path, command):
    """Keeps a run's result; what was found by earlier runs stays told."""
    if row not in catalogue():
        sys.exit(f"tests/reliability.toml has no row {row}")
    with open(path, encoding="utf-8") as file:
        run = json.load(file)
    before = result_of(row) or {"found": []}
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    kept = {"row": row, "reached": run["reached"], "found": before["found"], "command": command, "commit": commit, "machine": machine(),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "lines": run["lines"]}
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, row + ".json"), "w", encoding="utf-8") as file:
        json.dump(kept, file, indent=1, ensure_ascii=False)
        file.write("\n")


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--print", action="store_true")
    words.add_argument("--record", nargs=2, metavar=("ROW", "RESULT"))
    words.add_argument("--command", default="")
    asked = words.parse_args()
    if asked.record:
        record(*asked.record, asked.command)
    if asked.print:
        print(page(), end="")
        return
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page())


if __name__ == "__main__":
    main()
