#!/usr/bin/env python3
"""docs/events.md: each of its lines runs, one after the other in one shell, and answers what the page shows."""
import os
import re
import subprocess
import unittest

from daemon import ROOT, Daemon


def sessions(text):
    """The (command, answer) pairs of the console blocks."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, answer = part.partition("\n")
            yield command, answer


def pattern_of(answer):
    """What the page shows, with any number, id and time for the ones of the day it was written on, and anything for …"""
    text = re.escape(answer.strip("\n"))
    text = re.sub(r"(alc|op|mdl|xfr)_[a-z0-9]+", r"\1_[a-z0-9]+", text)
    text = re.sub(r"20\d\d\\-\d\d\\-\d\dT[\d:\\.]+Z", r"[-0-9T:.]+Z", text)
    text = re.sub(r'(?<!\\\.1\\ )(?<=[:,\s"])\d+(?=[,}\n\\\]]|$)', r"\\d+", text)  # But a status stays.
    return re.compile(text.replace("…", r"(?s:.*?)").replace("\\\n", r"\s*\n"), re.M)


class DocsOfEvents(unittest.TestCase):
    def test_every_line_runs_and_answers_what_the_page_shows(self):
        with open(os.path.join(ROOT, "docs", "events.md"), encoding="utf-8") as file:
            pairs = list(sessions(file.read()))
        self.assertGreater(len(pairs), 14)
        with Daemon(devices=["host:a=64MiB"]) as daemon:
            shell = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                     env={**os.environ, "vramd": f"http://127.0.0.1:{daemon.port}"})
            with shell:
                for command, answer in pairs:
                    shell.stdin.write(command + "\necho; echo the-end-of-it $?\n")
                    shell.stdin.flush()
                    said = ""
                    for line in shell.stdout:
                        if line.startswith("the-end-of-it"):
                            self.assertEqual(line.split()[1], "0", f"{command}: {said}")
                            break
                        said += line
                    said = said.replace("\r\n", "\n").strip("\n")
                    self.assertTrue(pattern_of(answer).match(said), f"$ {command}\nanswered\n{said}\nnot\n{answer}")
                shell.stdin.close()


if __name__ == "__main__":
    unittest.main()
