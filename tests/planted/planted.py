#!/usr/bin/env python3
"""Plants each bug of bugs.toml in a copy of the tree and expects a test program to notice it.

All bugs are built at once, each behind a switch (planted.hpp), so a bug costs a run and not a build. With no bug switched on, every
program must be green; with one, at least one program must be red, whether by a failure, an abort or a hang. Ends with `N passed, N failed`
and, with --table, writes what caught what as a table.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROGRAMS = {
    "simulation": ["--runs", "120", "--steps", "2500", "--no-shrink"],
    "core_test": [],
    "core_memory_test": [],
    "core_report_test": [],
    "transfer_test": [],
    "engine_test": [],
    "attach_test": [],
    "worker_test": [],
    "http_test": [],
    "ledger_test": [],
}
HANG_SECONDS = 90


def read_bugs():
    with open(os.path.join(HERE, "bugs.toml"), "rb") as file:
        return tomllib.load(file)["bug"]


def switched(number, edit):
    """The right code and the bug beside it."""
    if edit["kind"] == "expression":
        return f"(::vramd::planted({number}) ? ({edit['after']}) : ({edit['before']}))"
    return f"do {{ if (::vramd::planted({number})) {{ {edit['after']} }} else {{ {edit['before']} }} }} while (false);"


def plant(tree, bugs):
    """Puts every bug into the tree's files."""
    texts = {}
    for number, bug in enumerate(bugs, 1):
        for edit in bug["edit"]:
            path = os.path.join(tree, edit["file"])
            if path not in texts:
                with open(path, encoding="utf-8") as file:
                    texts[path] = file.read()
            if texts[path].count(edit["before"]) != 1:
                sys.exit(f"{edit['file']}: the place of the bug '{bug['name']}' is not there exactly once: {edit['before']}")
            texts[path] = texts[path].replace(edit["before"], switched(number, edit))
    for path, text in texts.items():
        with open(path, "w", encoding="utf-8") as file:
            file.write('#include "../tests/planted/planted.hpp"\n' + text)


def export(tree):
    """HEAD's files, in a folder of their own."""
    archive = subprocess.Popen(["git", "-C", ROOT, "archive", "HEAD"], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", tree], stdin=archive.stdout, check=True)
    if archive.wait() != 0:
        sys.exit("git archive failed")


def build(tree, folder, jobs):
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        # Without sanitizers: a bug that only they notice would be one that a release does not.
        flags = ["-DVRAMD_UNITY=ON", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -g0", "-DVRAMD_WEB=OFF"]
        subprocess.run(["cmake", "-G", "Ninja", "-S", tree, "-B", folder, *flags], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", folder, "-j", str(jobs), *PROGRAMS], check=True)


def run(folder, program, number):
    """How the program ends with this bug: empty where it is green."""
    environment = {**os.environ, "VRAMD_PLANTED": str(number)}
    command = [os.path.join(folder, "bin", program), *PROGRAMS[program]]
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        return "hangs"
    if ended.returncode == 0:
        return ""
    text = (ended.stdout + ended.stderr).replace("\r", "\n")
    telling = [line for line in text.splitlines() if line.startswith("seed ") and ": " in line or "nvariant" in line or "ERROR:" in line]
    return telling[-1].strip() if telling else f"ends with {ended.returncode}"


def find(folder, number, bug, programs):
    """(program, how) of the first that notices the bug; (None, '') where none does."""
    for program in sorted(programs, key=lambda name: name != bug["caught_by"]):
        how = run(folder, program, number)
        if how:
            return program, how
    return None, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="numbers of bugs, separated by commas")
    parser.add_argument("--tree", help="a tree to plant in, instead of a fresh copy of HEAD")
    parser.add_argument("--build", help="the folder to build in")
    parser.add_argument("--programs", help="those to try, separated by commas; else all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--planted", action="store_true", help="the tree is planted and built already")
    parser.add_argument("--table", help="a file for the table")
    options = parser.parse_args()
    bugs = read_bugs()
    with tempfile.TemporaryDirectory(prefix="vramd-planted-") as scratch:
        tree = options.tree or os.path.join(scratch, "tree")
        folder = options.build or os.path.join(scratch, "build")
        programs = options.programs.split(",") if options.programs else list(PROGRAMS)
        if not options.tree:
            os.makedirs(tree)
            export(tree)
        if not options.planted:
            plant(tree, bugs)
            build(tree, folder, options.jobs)
        failed = 0
        for program in programs:
            if how := run(folder, program, 0):
                print(f"{program} is red without a bug: {how}")
                failed += 1
        rows = []
        only = {int(number) for number in options.only.split(",")} if options.only else range(1, len(bugs) + 1)
        for number, bug in enumerate(bugs, 1):
            if number not in only:
                continue
            begun = time.monotonic()
            program, how = find(folder, number, bug, programs)
            failed += program is None
            rows.append(f"| {bug['name']} | {program or 'nobody'} |")
            print(f"{number:3} {time.monotonic() - begun:6.1f} s  {program or 'NOBODY':12} {bug['name']}: {how}", flush=True)
        if options.table:
            with open(options.table, "w", encoding="utf-8") as file:
                file.write("| planted | caught by |\n|---|---|\n" + "\n".join(rows) + "\n")
    print(f"{sum(not row.endswith('| nobody |') for row in rows)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
