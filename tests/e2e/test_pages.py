#!/usr/bin/env python3
"""docs/concepts.md, policies.md, security.md, performance.md and runbook.md: each of their lines runs, one after the other in one shell a page, and answers what the page shows.

A page says in `vramd serve FLAGS` how its daemon was started. What it shows is exact but for ids (any of their kind), … (anything) and how much white space there is.
"""
import os
import re
import shlex
import subprocess
import unittest

from daemon import BIN, ROOT, Daemon

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
END = "=== ended with"
PROGRESS = re.compile(r"^\[[#-]{24}\] .*\n", re.M)  # Of a load, on stderr.
ID = re.compile(r"(alc|op|mdl|xfr|ses|blk)_[a-z0-9]+")


def read(page):
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as file:
        return file.read()


def sessions(text):
    """The (command, answer) pairs of the console blocks."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, answer = part.partition("\n")
            yield command, answer


def pattern_of(shown):
    """What the page shows, as a pattern for all that may be said."""
    words = []
    for word in shown.split():
        pieces = [".*?".join(re.escape(part) for part in piece.split("…")) for piece in ID.split(word)[::2]]
        kinds = ID.findall(word)
        words.append("".join(piece + (rf"{kind}_[a-z0-9]+" if kind else "") for piece, kind in zip(pieces, [*kinds, ""])))
    # An … that stands alone may be nothing at all.
    return re.compile(r"\s*" + r"\s+".join(words).replace(r"\s+.*?", r"\s*.*?").replace(r".*?\s+", r".*?\s*") + r"\s*", re.S)


class Pages(unittest.TestCase):
    def flags_of(self, text):
        """(devices, further flags) of the page's daemon."""
        words = shlex.split(re.search(r"`vramd serve ([^`]*)`", text).group(1))
        pairs = list(zip(words[::2], words[1::2]))
        further = [word for pair in pairs if pair[0] not in ("--device", "--model-dir") for word in pair]
        return [value for flag, value in pairs if flag == "--device"], further

    def walk(self, page, at_least):
        text = read(page)
        told = list(sessions(text))
        self.assertGreaterEqual(len(told), at_least)
        devices, further = self.flags_of(text)
        with Daemon(devices=devices, model_dirs=[SAMPLES], arguments=further) as daemon:
            script = [*(f"{{ {command.replace('127.0.0.1:7070', f'127.0.0.1:{daemon.port}')}\n}} 2>&1\necho; echo \"{END} $?\"" for command, _ in told)]
            ran = subprocess.run(["bash", "-c", "\n".join(script)], capture_output=True, text=True, timeout=300, check=False, cwd=daemon.folder, env={
                **os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "VRAMD_SOCKET": daemon.socket_path, "vramd": f"http://127.0.0.1:{daemon.port}",
                "LC_ALL": "C.UTF-8", "PYTHONPATH": os.path.join(ROOT, "python"), "DOCS": os.path.join(ROOT, "docs")})
        said = re.split(rf"\n{END} \d+\n", ran.stdout)
        self.assertEqual(len(said) - 1, len(told), ran.stdout[-3000:] + ran.stderr)
        for (command, shown), answer in zip(told, said):
            answer = PROGRESS.sub("", answer)
            with self.subTest(command):
                self.assertRegex(answer, re.compile(r"\A" + pattern_of(shown).pattern + r"\Z", re.S), f"\n$ {command}\nanswered\n{answer}\nnot\n{shown}")

    def test_the_page_of_the_concepts(self):
        self.walk("concepts.md", 10)

    def test_the_page_of_the_policies(self):
        self.walk("policies.md", 25)

    def test_the_page_of_security(self):
        self.walk("security.md", 10)

    def test_the_runbook(self):
        self.walk("runbook.md", 20)


class Claims(unittest.TestCase):
    """What the pages name is there."""

    def test_every_test_that_the_page_of_security_names_is_there(self):
        names = set(re.findall(r"`([\w/]+\.py)` \"([^\"]+)\"|`([\w/]+_test\.cpp)` \"([^\"]+)\"", read("security.md")))
        self.assertGreater(len(names), 12)
        for python, sentence, cpp, case in names:
            path, words = (python, sentence) if python else (cpp, case)
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                text = file.read()
            self.assertIn(f"def test_{words.replace(' ', '_')}(" if python else f'TEST_CASE("{words}', text, path)

    def test_every_figure_of_the_page_of_performance_is_in_a_result_that_it_names(self):
        """Its tables end with the result's name; each figure of a row stands in that file."""
        rows = re.findall(r"^\|(.*)\| \[([\w.-]+)\]\(\.\./benchmarks/results/([\w.-]+)\) \|$", read("performance.md"), re.M)
        self.assertGreater(len(rows), 25)
        for cells, _, name in rows:
            with open(os.path.join(ROOT, "benchmarks", "results", name), encoding="utf-8") as file:
                result = file.read().replace(",", "")
            figures = re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)", "|".join(cells.split("|")[1:]).replace(",", ""))
            self.assertGreater(len(figures), 0, cells)
            for figure in figures:
                self.assertRegex(result, rf"(?<![\d.]){re.escape(figure)}(?!\d)", f"{name} says nothing of {figure}: {cells}")

    def test_every_link_to_a_heading_leads_to_one(self):
        pages = [os.path.join(ROOT, "README.md")] + [os.path.join(ROOT, "docs", name) for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md")]
        headings, links = {}, []
        for page in pages:
            with open(page, encoding="utf-8") as file:
                text = file.read()
            headings[page] = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)}
            links += [(page, target or page, anchor) for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text)]
        self.assertGreater(len(links), 10)
        for page, target, anchor in links:
            there = headings.get(os.path.normpath(os.path.join(os.path.dirname(page), target)))
            if there is not None:
                self.assertIn(anchor, there, f"{os.path.basename(page)} points to {target}#{anchor}")


if __name__ == "__main__":
    unittest.main()
