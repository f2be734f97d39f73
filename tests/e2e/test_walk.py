#!/usr/bin/env python3
"""docs/api.md walked from top to bottom: every `$ ` line of its console blocks runs in one shell against a daemon that is started as the page says.

Each must end with 0 and be answered as the page shows: with the same status class, and JSON with the same fields and kinds of value. `…` on the page
stands for what was left out. Strings without a digit must be equal too; numbers, ids and times differ from run to run, and so does how tight memory is. "its `id` is `$id`" in
an entry's heading hands a field of the answer on to later lines.

`tests/e2e/test_walk.py --write` puts the answers of a live run into the page, in the shape that is there (an empty answer gets one).
"""
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import unittest

from daemon import ROOT, Answer, Daemon
from document import Document

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
SAMPLES_SHOWN = "/home/ada/vramd/.cache/samples"
PAGE = os.path.join(ROOT, "docs", "api.md")
REST = "…"
MACHINES_WORDS = {"driver", "name", "action", "band", "recordedBand", "cause", "decisivePart", "direction"}  # A test's machine may be under pressure.
WALK_SECONDS = 120
SHOWN_CHARACTERS = 260  # Of an answer that --write shortens by itself.
ENTRY = re.compile(r"^\*\*`(?P<method>[A-Z]+) (?P<path>[^`]+)`\*\*: (?P<heading>[^\n]*(?:\n[^\n`][^\n]*)*)\n```console\n(?P<block>.*?)^```", re.M | re.S)


class Figure(float):
    """A number that keeps how it was written."""

    def __new__(cls, text):
        made = super().__new__(cls, text)
        made.text = text
        return made


class Pairs(list):
    """An object with its order, and with `…` where the page has it."""


def read(text):
    """JSON, as it came or with `…` for what was left out; None if it is neither."""
    plain, opened, quoted, escaped = [], [], False, False
    for character in text:
        if not quoted and character == REST:
            plain.append('"…": 0' if opened and opened[-1] == "{" else '"…"')
            continue
        if character == '"' and not escaped:
            quoted = not quoted
        elif not quoted and character in "{[":
            opened.append(character)
        elif not quoted and character in "}]" and opened:
            opened.pop()
        escaped = quoted and character == "\\" and not escaped
        plain.append(character)
    try:
        return json.loads("".join(plain), object_pairs_hook=Pairs, parse_float=Figure, parse_int=Figure)
    except ValueError:
        return None


def write(value):
    """The page's form of a value."""
    if isinstance(value, Pairs):
        return "{" + ", ".join(REST if name == REST else f"{json.dumps(name)}: {write(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(REST if item == REST else write(item) for item in value) + "]"
    return value.text if isinstance(value, Figure) else json.dumps(value, ensure_ascii=False)


def shorten(value, left=SHOWN_CHARACTERS):
    """The first fields of a value, about as many characters as are left."""
    if isinstance(value, Pairs):
        kept, used = Pairs(), 0
        for name, item in value:
            if used > left:
                return Pairs(kept + [(REST, 0)])
            kept.append((name, shorten(item, left - used - len(name) - 6)))
            used += len(name) + 6 + len(write(kept[-1][1]))
        return kept
    if isinstance(value, list) and len(value) > 1 and len(write(value)) > left:
        return [shorten(value[0], left), REST]
    return [shorten(item, left) for item in value] if isinstance(value, list) else value


def refill(shown, answer):
    """The answer in the shape that the page shows."""
    if isinstance(shown, Pairs) and isinstance(answer, Pairs):
        told, open_ = dict(answer), any(name == REST for name, _ in shown)
        known = {name for name, _ in shown}
        if not open_ and known != set(told):
            return Pairs((name, refill(dict(shown)[name], item) if name in known else shorten(item)) for name, item in answer)
        return Pairs((name, item if name == REST else refill(item, told[name])) for name, item in shown if name == REST or name in told)
    if isinstance(shown, list) and isinstance(answer, list) and REST in shown:
        first = shown.index(REST)
        return [refill(one, other) for one, other in zip(shown[:first], answer)] + [REST]
    if isinstance(shown, list) and isinstance(answer, list) and len(shown) == len(answer):
        return [refill(one, other) for one, other in zip(shown, answer)]
    return answer if isinstance(answer, Pairs) and len(write(answer)) < SHOWN_CHARACTERS else shorten(answer)


def kind_of(value):
    return "number" if isinstance(value, Figure) else "object" if isinstance(value, Pairs) else type(value).__name__


def differences(shown, answer, where="$"):
    """A sentence for each thing in which an answer is not what the page shows."""
    if kind_of(shown) != kind_of(answer):
        return [f"{where} is shown as {write(shown)} and was {write(answer)}"]
    if isinstance(shown, Pairs):
        told, names = dict(answer), [name for name, _ in shown]
        found = [f"{where} lacks {name}" for name in names if name != REST and name not in told]
        if REST not in names:
            found += [f"{where} has {name} besides" for name in told if name not in names]
        for name, item in shown:
            if name != REST and name in told:
                found += differences(item, told[name], f"{where}.{name}")
        return found
    if isinstance(shown, list):
        first = shown.index(REST) if REST in shown else len(shown)
        if len(answer) < first or (REST not in shown and len(answer) != first):
            return [f"{where} is shown with {first} items and had {len(answer)}"]
        return [fault for index in range(first) for fault in differences(shown[index], answer[index], f"{where}[{index}]")]
    if shown == "running":
        return []  # What runs may have ended by then.
    if isinstance(shown, str) and where.rsplit(".", 1)[-1] not in MACHINES_WORDS and not re.search(r"\d", shown + answer) and shown != answer:
        return [f"{where} is shown as {shown!r} and was {answer!r}"]
    return []


def line_differences(shown, said):
    """The same for text that is no JSON as a whole: server-sent events, metrics, pages, bytes."""
    found, lines = [], said.split("\n")
    for index, line in enumerate(shown.split("\n")):
        if line == REST:
            return found
        there = lines[index] if index < len(lines) else ""
        if line.startswith("data: {"):
            found += differences(read(line[6:]), read(there[6:]), there[:5])
        elif line.endswith(REST):
            found += [] if there.startswith(line[:-1]) else [f"{there[:len(line)]!r} instead of {line!r}"]
        elif re.sub(r"[\d.]+", "0", line) != re.sub(r"[\d.]+", "0", there):
            found.append(f"{there!r} instead of {line!r}")
    return found + ([] if len(lines) <= shown.count("\n") + 1 else ["more lines than are shown"])


def refill_lines(shown, said):
    told, lines = [], said.split("\n")
    for line, there in zip(shown.split("\n"), lines):
        data = read(line[6:]) if line.startswith("data: {") else None
        told.append(line if line == REST else f"data: {write(refill(data, read(there[6:])))}" if data is not None else there[:len(line) - 1] + REST if line.endswith(REST) else there)
    return "\n".join(told)


class Step:
    """One command of the page with what is shown below it."""

    def __init__(self, entry, command, shown):
        self.entry, self.command, self.shown = entry, command, shown.strip("\n")
        self.said, self.code, self.status, self.media = "", "", 0, ""

    def faults(self, document):
        found = [] if self.code == "0" else [f"ended with {self.code}"]
        shown, said = read(self.shown), read(self.said)
        if not isinstance(shown, (Pairs, list)):
            found += line_differences(self.shown, self.said)
        elif said is None:
            found.append("did not answer JSON")
        else:
            found += differences(shown, said)
        expected = int(dict(shown)["status"]) if isinstance(shown, Pairs) and isinstance(dict(shown).get("status"), Figure) else 200
        if self.command.startswith("curl") and self.status // 100 != expected // 100:
            found.append(f"answered {self.status}, not {expected}")
        if self.media and "|" not in self.command and not found:
            try:
                document.check(self.method(), self.target(), Answer(self.status, {"Content-Type": self.media}, self.said.encode()))
            except AssertionError as fault:
                found.append(str(fault))
        return found

    def words(self):
        return shlex.split(self.command.split(" | ")[0])

    def method(self):
        words = self.words()
        return words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"

    def target(self):
        """The path and query of its URL."""
        return re.sub(r"^(\$vramd|http://localhost)", "", next(word for word in self.words() if word.startswith(("$vramd", "http://localhost"))))

    def rewritten(self):
        shown, said = read(self.shown), read(self.said)
        if isinstance(said, (Pairs, list)):
            return write(shorten(said) if not isinstance(shown, (Pairs, list)) else refill(shown, said))
        return refill_lines(self.shown, self.said) if self.shown else self.said[:1000]


class Entry:
    def __init__(self, match):
        self.method, self.path, self.block = match["method"], match["path"], match["block"]
        self.handed = re.findall(r"its `(\w+)` is `\$(\w+)`", match["heading"])
        parts = re.split(r"^\$ ", self.block, flags=re.M)[1:]
        self.steps = [Step(self, *part.partition("\n")[::2]) for part in parts]

    def pattern(self):
        return "/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in self.path.split("/")) + r"(\?.*)?$"


class Walk:
    """The page, and the shell in which it is walked."""

    def __init__(self):
        with open(PAGE, encoding="utf-8") as file:
            self.page = file.read()
        self.entries = [Entry(match) for match in ENTRY.finditer(self.page)]
        self.devices = re.findall(r"--device (host:\w+=\w+)", self.page.split("\n## ", 1)[0])
        self.document = None

    def run(self):
        """Runs every command, in order; each step then has what it said."""
        with Daemon(devices=self.devices, model_dirs=[SAMPLES]) as daemon:
            self.document = Document(daemon.get("/openapi.json").body)
            told = os.path.join(daemon.folder, "told")
            names = {"vramd": f"http://127.0.0.1:{daemon.port}", "socket": daemon.http_socket, "told": told}
            # The shell's curl is curl, which also leaves the status where the test finds it.
            wrapped = "curl() { command curl -w '%{stderr}%{http_code} %{content_type}\\n' \"$@\" 2>\"$told\"; }\n"
            with subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **names}) as shell:
                watchdog = threading.Timer(WALK_SECONDS, shell.kill)  # A line that waits for what never comes ends the walk.
                watchdog.start()
                shell.stdin.write(wrapped.encode())
                for step in (step for entry in self.entries for step in entry.steps):
                    self.ask(shell, step, told)
                watchdog.cancel()
                shell.stdin.close()
        return self

    @staticmethod
    def ask(shell, step, told):
        open(told, "w", encoding="utf-8").close()
        shell.stdin.write(f"{step.command}\ncode=$?; echo; echo the-end-of-it $code\n".encode())
        shell.stdin.flush()
        said = b""
        for line in shell.stdout:
            if line.startswith(b"the-end-of-it"):
                step.code = line.split()[1].decode()
                break
            said += line
        else:
            raise AssertionError(f"the shell ended at: $ {step.command}\n{said.decode(errors='replace')}")
        step.said = said.decode(errors="replace").replace("\r\n", "\n").replace(os.path.realpath(SAMPLES), SAMPLES_SHOWN).strip("\n")
        with open(told, encoding="utf-8") as file:
            words = (file.read().split("\n")[0] + "  ").split(" ")
        step.status, step.media = int(words[0]) if words[0].isdigit() else 0, words[1]
        answer = read(step.said)
        for field, name in step.entry.handed if isinstance(answer, Pairs) else ():
            if isinstance(dict(answer).get(field), str):
                shell.stdin.write(f"{name}={shlex.quote(dict(answer)[field])}\n".encode())

    def rewritten(self):
        """The page with the answers of this run."""
        page = self.page
        for entry in self.entries:
            block = "".join(f"$ {step.command}\n{step.rewritten()}\n" if step.rewritten() else f"$ {step.command}\n" for step in entry.steps)
            page = page.replace(f"```console\n{entry.block}```", f"```console\n{block}```", 1)
        return page


class WalkOfTheApi(unittest.TestCase):
    def test_every_line_of_the_page_runs_and_answers_what_is_shown(self):
        walk = Walk().run()
        self.assertGreater(len(walk.entries), 50)
        for entry in walk.entries:
            for step in entry.steps:
                with self.subTest(f"{entry.method} {entry.path}"):
                    self.assertEqual(step.faults(walk.document), [], f"$ {step.command}\nanswered\n{step.said[:3000]}")

    def test_each_entry_calls_what_it_is_about(self):
        for entry in Walk().entries:
            called = [step for step in entry.steps if step.command.startswith("curl")]
            self.assertTrue(any(step.method() == entry.method and re.fullmatch(entry.pattern(), step.target()) for step in called), f"{entry.method} {entry.path}")

    def test_what_the_page_shows_otherwise_is_found(self):
        answer = read('{"id": "alc_1", "status": "live", "sizeBytes": 1, "items": [{"a": 1}, {"a": 2}], "nextCursor": null}')
        for shown, faults in (('{"id": "alc_2", …}', 0), ('{"id": "alc_2"}', 4), ('{"other": 1, …}', 1), ('{"status": "freed", …}', 1), ('{"sizeBytes": "1", …}', 1),
                              ('{"items": [{"a": 3}, …], …}', 0), ('{"items": [{"b": 3}, …], …}', 2), ('{"items": [], …}', 1), ('{"nextCursor": "p1", …}', 1)):
            self.assertEqual(len(differences(read(shown), answer)), faults, shown)
        self.assertEqual(line_differences("id: 4\nevent: made\n…", "id: 9\nevent: made\ndata: {}"), [])
        self.assertEqual(len(line_differences("id: 4\nevent: made\n…", "id: 9\nevent: gone\ndata: {}")), 1)


if __name__ == "__main__":
    if "--write" in sys.argv:
        walked = Walk().run()
        for asked in (step for entry in walked.entries for step in entry.steps):
            if asked.status >= 400 or asked.code != "0":
                print(f"to be looked at: {asked.entry.method} {asked.entry.path} answered {asked.status}, exit {asked.code}")
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(walked.rewritten())
        sys.exit(0)
    unittest.main()
