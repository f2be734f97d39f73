"""README.md followed to the letter: every `$ ` line of its console blocks is run, in one shell, and must say what the page says it says.

A line must end with 0, and each word of the output shown must come (words without figures: times, sizes, ids and pids differ from run to run).
"""
import os
import re
import shlex
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BIN = os.environ.get("VRAMD_BIN", os.path.join(ROOT, "build", "bin"))
SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
END = "=== ended with"
PICTURE_BYTES_MAX = 150_000
# How tight memory is, and whose doing: the machine's own affair.
OF_THE_MACHINE = {"moderate", "high", "critical", "otherProcesses", "thisService", "system", "rising", "falling", "steady"}


def steps(text):
    """[(command, the lines shown below it)] of the console blocks."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def words(lines):
    return set(re.findall(r"(?<![\w.])[A-Za-z][A-Za-z-]{3,}(?![\w.])", " ".join(lines)))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Readme(unittest.TestCase):
    def test_every_command_of_the_readme_does_what_it_shows(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            told = steps(file.read())
        self.assertGreater(len(told), 15)
        folder = tempfile.mkdtemp(prefix="vramd-")
        port = str(free_port())
        script = ["set -m"]
        for command, lines in told:
            for here, there in (("/tmp/vramd-try", folder), (":7070", ":" + port), ("$PWD/build/bin", BIN), (".cache/samples", shlex.quote(SAMPLES))):
                command = command.replace(here, there)
            # The first command to answer waits for the ready line, which comes through a fifo.
            if command.startswith("vramd serve"):
                command = f"mkfifo {folder}/ready; {command.removesuffix('&')} > {folder}/ready & read -r line < {folder}/ready; echo $line"
            script += [f"{{ {command}\n}} 2>&1", f'echo "{END} $?"']
        try:
            ran = subprocess.run(["bash", "-c", "\n".join(script)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        parts = re.split(f"^{END} (\\d+)\n", ran.stdout, flags=re.M)
        self.assertEqual(len(parts) // 2, len(told), ran.stdout + ran.stderr)
        for (command, lines), said, code in zip(told, parts[0::2], parts[1::2]):
            with self.subTest(command):
                self.assertEqual(code, "0", said)
                shown = [line.replace("/tmp/vramd-try", folder) for line in lines]
                self.assertEqual(words(shown) - words([said]) - OF_THE_MACHINE, set(), f"not said by {command}:\n{said}")

    def test_the_pictures_are_there_small_named_and_told_in_words(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            named = dict(reversed(each) for each in re.findall(r"!\[([^\]]*)\]\((docs/pictures/[^)]+)\)", file.read()))
        folder = os.path.join(ROOT, "docs", "pictures")
        self.assertEqual(sorted(named), sorted(f"docs/pictures/{name}" for name in os.listdir(folder)))
        self.assertGreaterEqual(len(named), 2)
        for path, alternative in named.items():
            with self.subTest(path), open(os.path.join(ROOT, path), "rb") as file:
                picture = file.read()
                self.assertLessEqual(len(picture), PICTURE_BYTES_MAX)
                self.assertEqual((picture[:8], picture[-8:-4]), (b"\x89PNG\r\n\x1a\n", b"IEND"))
                self.assertEqual(struct.unpack(">II", picture[16:24]), (1280, 800))
                self.assertGreater(len(alternative), 40)


if __name__ == "__main__":
    unittest.main()
